"""Augmented images in the form of a new experiment: drawn before it is submitted, and the same once it has begun."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.web.test_own_data import field, fill, part, pictures, use

See = Callable[[str], Page]
DRAWN = "Training images as they are (first row), and as drawn in three updates"
SIZE = ("256", "128")  # px: eight images of 32 x 32 in each of four rows
__all__ = ["pictures"]


def drawn(page: Page) -> str:
    """What the picture of the page shows, once it is painted."""
    canvas = page.get_by_label(DRAWN)
    expect(canvas).to_have_attribute("width", SIZE[0], timeout=60_000)
    expect(canvas).to_have_attribute("height", SIZE[1])
    return str(canvas.evaluate("(canvas) => canvas.toDataURL()"))


def test_the_form_shows_the_augmented_images_that_the_run_begins_with(see: See, pictures: bytes) -> None:
    page = see("new")
    use(page, "pictures.zip", pictures)
    expect(field(part(page, "dataset"), "kind")).to_have_value("images")
    preview = page.get_by_role("button", name="Preview augmentation")
    expect(preview).to_have_count(0)  # there is nothing to augment
    part(page, "More settings").locator("summary").click()
    add = part(page, "More settings").get_by_label("add to augment")
    add.select_option('"vertical_flip"')
    fill(part(page, "run"), "seeds", "3")
    fill(part(page, "run"), "epochs", "1")
    fill(part(page, "More settings"), "pool", "nowhere")
    preview.click()
    expect(page.locator(".preview [role=status]")).to_contain_text("no worker of pool nowhere", timeout=20_000)
    fill(part(page, "More settings"), "pool", "")
    preview.click()
    turned = drawn(page)
    add.select_option('"horizontal_flip"')
    expect(page.get_by_label(DRAWN)).to_have_count(0)  # it is of another list
    preview.click()
    flipped = drawn(page)
    assert flipped != turned
    page.get_by_role("button", name="Train (1 run)").click()
    page.locator("tr[data-row] a[href^='#/run/']").first.click()
    expect(page.locator(".facts")).to_contain_text("succeeded", timeout=120_000)
    page.get_by_role("link", name="Diagnosis", exact=True).click()
    assert drawn(page) == flipped
