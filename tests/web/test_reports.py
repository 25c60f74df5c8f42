"""Reports: a comparison with a text around it, saved from the page, edited, read by others, printed, deleted."""

import re
from collections.abc import Callable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.harness.waiting import until

See = Callable[[str], Page]
TEXT = """# Question

Does *digits* prefer **momentum**? <script>alert(1)</script> [no](javascript:alert(1))

- first
- `second`

{ranking}

What follows agrees.

{curves}
"""


def test_a_comparison_becomes_a_report_with_text_live_parts_and_paper(see: See, trained: dict[str, Any]) -> None:
    page = see(f"compare?experiments={trained['fast']['id']},{trained['slow']['id']}&series=val/loss&find=nothing")
    page.get_by_role("button", name="Save as a report").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Momentum or not")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    field = page.get_by_label("Text")
    expect(field).to_have_value("{ranking}\n\n{curves}\n\n{differences}")
    field.fill(TEXT)
    expect(page.locator(".report > h2")).to_have_text("Question")  # drawn as one types
    page.reload()
    expect(field).to_have_value(TEXT)  # a draft is kept
    page.get_by_role("button", name="Save", exact=True).click()
    expect(field).to_have_count(0)
    expect(page).to_have_title("Momentum or not · Saddle")
    expect(page.locator(".report > p", has_text="Does digits")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator(".report > p a")).to_have_count(0)
    expect(page.locator(".report > ul > li")).to_have_text(["first", "second"])
    expect(page.locator(".chart")).to_have_count(1)
    order = page.locator(".ranking, .report > p:has-text('What follows'), .chart").evaluate_all(
        "nodes => nodes.map((node) => node.className || node.textContent)"
    )
    assert [re.sub(" .*", "", each) for each in order] == ["list", "prose", "chart"]
    expect(page.locator(".difference-table")).to_have_count(0)
    page.locator(".legend").get_by_role("button", name="slow").click()
    expect(page).to_have_url(re.compile("hide=slow"))  # in the address of the report, and not in the report
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    page.evaluate("window.print = () => { window.printed = document.documentElement.dataset.theme; }")
    page.get_by_role("button", name="Print").click()
    until(lambda: page.evaluate("window.printed") == "light", 10)
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    expect(page.get_by_role("button", name="Print")).to_have_count(0)
    expect(page.locator(".ranking")).to_be_visible()
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})
    page = see("compare")
    page.get_by_text("Reports (1)").click()
    page.get_by_role("link", name="Momentum or not").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the report").click()
    expect(page.get_by_text("Nothing to compare yet")).to_be_visible()
    expect(page.get_by_text("Reports (1)")).to_have_count(0)
