"""The table beside its curves: words and terms, chips, groups, eyes, the handle, and Back."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product
from tests.harness.waiting import until

See = Callable[[str], Page]
Trained = dict[str, Any]


@pytest.fixture(scope="module")
def sought(stack: Product, trained: Trained) -> list[str]:
    """Three experiments that a word finds by their name, a tag and their notes."""
    short = SPEC | {"steps": 3, "epochs": None}
    second, third = {"name": "second", "tags": ["gazelle"]}, {"name": "third", "notes": "as a Gazelle"}
    told: list[dict[str, Any]] = [{"name": "gazelle one"}, second, third]
    made = [stack.post("/v1/experiments", short | each) for each in told]
    for each in made:
        stack.wait_for_end(each["runs"][0]["id"])
    return [each["name"] for each in told]


def names(page: Page) -> list[str]:
    return page.locator("tr[data-row] td.name a").all_inner_texts()


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search experiments")


def test_plain_words_find_names_tags_notes_ids_and_persons(see: See, sought: list[str], stack: Product) -> None:
    page = see("experiments")
    box(page).fill("gazelle")
    box(page).press("Enter")
    expect(page.locator(".count").last).to_have_text("3 shown")
    assert sorted(names(page)) == sorted(sought)
    box(page).fill("gazelle one")
    box(page).press("Enter")
    expect(page.locator(".count").last).to_have_text("1 shown")
    made = stack.get("/v1/experiments", filter="name = third")["items"][0]
    by_owner = f"{made['owner']} gazelle name = third"
    for words in (made["id"][-8:], by_owner, 'gazelle NOT tag = gazelle NOT name ~ "one"'):
        box(page).fill(words)
        box(page).press("Enter")
        expect(page.locator("tr[data-row] td.name a")).to_have_text(["third"])
    page.go_back()
    expect(box(page)).to_have_value(by_owner)


def test_fields_and_seen_values_are_completed(see: See, sought: list[str]) -> None:
    page = see("experiments")
    field = box(page)
    field.press_sequentially("optimizer.l")
    options = page.get_by_role("listbox").get_by_role("option")
    expect(options.first).to_have_text("optimizer.lr")
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value("optimizer.lr ")
    field.fill("")
    field.press_sequentially("tag = gaz")
    expect(options).to_have_text(["gazelle"])
    options.first.click()
    expect(field).to_have_value("tag = gazelle")
    field.press("Enter")
    expect(page.locator(".count").last).to_have_text("1 shown")
    field.fill("")
    field.press_sequentially("best(val")
    expect(options.first).to_have_text(re.compile(r"best\(val/"))


def test_a_chip_holds_the_rows_to_a_value_and_back_frees_them(see: See, sought: list[str], trained: Trained) -> None:
    page = see("experiments")
    before = page.locator(".count").last.inner_text()
    page.get_by_label("Tag", exact=True).select_option("gazelle")
    expect(page.locator(".count").last).to_have_text("1 shown")
    page.get_by_role("button", name="Any Tag").click()
    expect(page.locator(".count").last).to_have_text(before)
    page.get_by_label("State", exact=True).select_option("failed")
    expect(page.get_by_role("link", name="broken", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="fast", exact=True)).to_have_count(0)
    assert "state=failed" in page.url
    page.go_back()
    expect(page.locator(".count").last).to_have_text(before)


def test_an_eye_draws_a_row_and_the_heading_says_which_series(see: See, trained: Trained) -> None:
    page = see("experiments?filter=name%20IN%20(fast,%20slow,%20broken)")
    expect(page.get_by_role("columnheader", name="Best val/loss")).to_be_visible()
    chart = page.get_by_role("img", name="Chart of val/loss")
    expect(chart).to_be_visible()

    def drawn() -> set[str]:
        page.mouse.move(5, 5)
        page.get_by_role("img", name="Chart of val/loss").locator(".u-over").hover()
        return {text.split("\t")[1] for text in page.locator(".hover:visible tr").all_inner_texts()}

    assert drawn() == {"fast", "slow", "broken"} & drawn() >= {"fast", "slow"}
    with page.expect_response(lambda answer: "/v1/series?" in answer.url):
        page.get_by_role("button", name="Curve of slow").click()
    page.wait_for_timeout(300)
    assert "slow" not in drawn()
    assert "eyes=" in page.url
    page.reload()
    expect(page.get_by_role("button", name="Curve of slow")).to_have_attribute("aria-pressed", "false")


def test_rows_are_grouped_by_a_field_and_a_group_closes(see: See, trained: Trained) -> None:
    page = see("experiments?filter=name%20IN%20(fast,%20slow)")
    page.get_by_label("Group by", exact=True).select_option("optimizer.lr")
    groups = page.locator("tr.group")
    expect(groups).to_have_count(2)
    expect(groups.first).to_contain_text("optimizer.lr = ")
    expect(groups.first).to_contain_text("1 experiment")
    groups.first.get_by_role("button").click()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.reload()
    expect(page.locator("tr[data-row]")).to_have_count(1)


def test_the_handle_is_moved_by_keys_and_by_the_mouse_and_remembered(see: See, trained: Trained) -> None:
    page = see("experiments")
    assert page.evaluate("document.querySelector('main').clientWidth") == 1280
    handle = page.get_by_role("separator", name="Width of the table")
    before = handle.bounding_box()
    assert before is not None
    page.mouse.move(before["x"] + 6, before["y"] + 40)
    page.mouse.down()
    page.mouse.move(before["x"] - 194, before["y"] + 40, steps=4)
    page.mouse.up()
    handle.press("ArrowLeft")
    moved = handle.bounding_box()
    assert moved is not None
    assert moved["x"] == pytest.approx(before["x"] - 238, abs=12)
    page.reload()
    handle.wait_for()
    after = handle.bounding_box()
    assert after is not None
    assert after["x"] == pytest.approx(moved["x"], abs=8)


def test_marks_and_the_place_in_the_table_outlive_going_there_and_back(see: See, trained: Trained) -> None:
    page = see("experiments")
    page.set_viewport_size({"width": 1280, "height": 420})
    rows = page.locator("tbody tr[data-row] a[href^='#/experiment/']")
    marked, opened = (rows.nth(at).inner_text() for at in (3, 5))  # whatever else was trained before
    page.get_by_label(f"Select {marked}", exact=True).click()
    page.locator(".scroll.tall").evaluate("node => { node.scrollTop = 108; }")
    expect(page).to_have_url(re.compile(r"[?&]top=3\b"))
    page.get_by_role("link", name=opened, exact=True).click()
    page.get_by_role("heading", name=opened).wait_for()
    page.go_back()
    expect(page.get_by_label(f"Select {marked}", exact=True)).to_be_checked()
    table = page.locator(".scroll.tall")
    until(lambda: abs(table.evaluate("node => node.scrollTop") - 108) <= 2, 10)


def heads(page: Page) -> list[str]:
    return [text.split("\n")[0].strip() for text in page.get_by_role("columnheader").all_inner_texts()]


def test_columns_are_resized_moved_and_kept_in_view_and_a_saved_view_keeps_that(
    see: See, trained: Trained, stack: Product
) -> None:
    page = see("experiments?filter=name%20IN%20(fast,%20slow)&columns=optimizer.lr")
    page.set_viewport_size({"width": 2000, "height": 900})
    expect(page).to_have_title("Experiments · name IN (fast, slow) · Saddle")
    state = page.get_by_role("columnheader", name="State")
    edge = page.get_by_role("separator", name="Width of column State")
    at = edge.bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + 3, at["y"] + 8)
    page.mouse.down()
    page.mouse.move(at["x"] + 43, at["y"] + 8, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"widths=state%3A148\b"))
    edge.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"widths=state%3A136\b"))
    page.get_by_role("columnheader", name="optimizer.lr").drag_to(state)
    until(lambda: heads(page)[:3] == ["Name", "optimizer.lr", "State"], 10)
    page.get_by_text("Columns").click()
    page.get_by_role("button", name="Move Age forward").click()
    page.get_by_role("button", name="Remove column Progress").click()
    page.get_by_role("button", name="Keep State in view").click()
    shown = ["State", "Name", "optimizer.lr", "Last val/loss", "Best val/loss", "Age", "Owner"]
    until(lambda: heads(page) == shown, 10)
    page.locator(".scroll.tall").evaluate("node => { node.style.width = '420px'; node.scrollLeft = 200; }")
    kept, table = state.bounding_box(), page.locator(".scroll.tall").bounding_box()
    assert kept is not None
    assert table is not None
    assert kept["x"] - table["x"] == pytest.approx(93, abs=1.5)  # behind the mark, the eye and the menu
    assert kept["width"] == pytest.approx(136, abs=1)

    page.get_by_text("Saved views").click()
    page.get_by_role("button", name="Save as a new view").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Rates first")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page).to_have_title("Experiments · Rates first · Saddle")
    assert [each["owner"] for each in stack.get("/v1/views")["items"] if each["name"] == "Rates first"] == ["admin"]
    page = see("experiments")
    page.reload()
    page.locator(".views > summary").click()
    page.get_by_role("link", name="Rates first").click()
    expect(page.get_by_role("columnheader").first).to_have_text("State")
    until(lambda: heads(page) == shown, 10)
    page.get_by_role("columnheader", name="Age").get_by_role("button").click()
    page.locator(".views > summary").click()
    page.get_by_role("button", name="Save the changes to Rates first").click()
    expect(page.get_by_text("Rates first *")).to_have_count(0)
    page.get_by_role("button", name="Delete the view Rates first").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the view", exact=True).click()
    expect(page.get_by_text("Nobody in this project has saved a view yet.")).to_be_visible()


def test_a_row_has_a_menu_and_its_curve_is_the_mean_of_its_seeds(see: See, trained: Trained, stack: Product) -> None:
    page = see("experiments?filter=name%20=%20fast")
    runs = [run["id"] for run in trained["fast"]["runs"]]
    with page.expect_response(lambda answer: all(run in answer.url for run in (*runs, "/v1/series"))):
        page.reload()
    mean = page.evaluate(
        """async ([low, high]) => {
        const { meanCurve } = await import(new URL("page/lib/curves.js", location.href));
        return meanCurve([low, high]);
    }""",
        [{"x": [1, 2, 3, 4], "y": [4, 3, None, 1]}, {"x": [1, 3], "y": [2, 0]}],
    )
    assert mean["x"] == [1, 2, 3, 4]
    assert mean["y"] == [3, 2, None, 1]  # between its points a curve is straight, and beyond them it has no say
    assert (mean["lo"], mean["hi"], mean["bad"]) == ([2, 1, None, 1], [4, 3, None, 1], [0, 0, 1, 0])
    page.get_by_role("button", name="Actions on fast").click()
    menu = page.get_by_role("menu", name="Actions on fast")
    expect(menu.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(menu.get_by_role("menuitem", name="Delete")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Actions on fast")).to_be_focused()
    page.get_by_role("row", name=re.compile("fast")).locator("td").nth(3).click(button="right")
    menu.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog", name="Delete this experiment?").get_by_role("button", name="Go back").click()
    page = see("experiments")
    page.get_by_role("button", name="Actions on fast", exact=True).click()
    page.get_by_role("menuitem", name="Compare with …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("slow")
    dialog.get_by_label("slow").first.check()
    dialog.get_by_role("button", name="Compare").click()
    expect(page).to_have_title(re.compile(r"^Compare · (fast, slow|slow, fast) · Saddle$"))
    page.go_back()
    page.get_by_role("button", name="Actions on fast", exact=True).click()
    page.get_by_role("menuitem", name="Fork its first seed").click()
    expect(page).to_have_url(re.compile(f"fork={runs[0]}"))
