"""Whoever looks, on whatever: accessible, narrow, dark, in another language."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

See = Callable[[str], Page]
PLACES = [
    "experiments",
    "experiment/{fast}",
    "run/{run}",
    "run/{run}?tab=log",
    "run/{run}?tab=checkpoints",
    "run/{run}?tab=spec",
    "run/{run}?tab=history",
    "run/{run}?why=1",
    "compare?experiments={fast},{slow}",
    "new?preset=digits-adam",
    "workers",
    "members",
    "account",
    "keys",
    "notifications",
    "bin",
    "audit",
    "project",
    "studies",
]


@pytest.fixture
def place(trained: dict[str, Any]) -> Callable[[str], str]:
    ids = {"fast": trained["fast"]["id"], "slow": trained["slow"]["id"], "run": trained["fast"]["runs"][0]["id"]}
    return lambda template: template.format(**ids)


@pytest.mark.parametrize("template", PLACES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anybodys_way(
    see: See, place: Callable[[str], str], template: str, scheme: Any
) -> None:
    page = see(place(template))
    page.emulate_media(color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    page.wait_for_timeout(300)
    found = Axe().run(page).response["violations"]
    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("template", PLACES)
def test_a_phone_needs_no_sideways_scrolling(see: See, place: Callable[[str], str], template: str) -> None:
    page = see(place(template))
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    "template",
    ["workers", "members", "keys", "project", "audit", "experiment/{fast}", "run/{run}?tab=checkpoints"],
)
def test_a_table_on_a_phone_is_cards_whose_cells_name_themselves(
    see: See, place: Callable[[str], str], template: str
) -> None:
    page = see(place(template))
    page.set_viewport_size({"width": 390, "height": 800})
    cells = page.locator("main table.list td:not(:empty)")
    cells.first.wait_for()
    labels = cells.evaluate_all("all => all.map((each) => getComputedStyle(each, '::before').content)")
    assert all(re.fullmatch(r'"[^"]+"', label) for label in labels), labels
    edges = cells.evaluate_all("all => all.map((each) => each.getBoundingClientRect().right)")
    assert max(edges) <= 390


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_ranking_fits_a_screen_of_1280_pixels_with_its_statistics(
    see: See, place: Callable[[str], str], language: str
) -> None:
    page = see(place("compare?experiments={fast},{slow}"))
    page.get_by_role("combobox").first.select_option(language)
    table = page.locator(".ranking")
    expect(table.get_by_role("columnheader")).to_have_count(5)
    table.locator("tbody button").last.click()
    expect(table.locator("dl > div")).to_have_count(8)
    widths = table.evaluate("node => [node.scrollWidth, node.parentElement.clientWidth, window.innerWidth]")
    assert widths[0] <= widths[1], widths
    assert widths[2] == 1280


def test_another_language_is_spoken_and_remembered(see: See) -> None:
    page = see("experiments")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("link", name="实验")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="实验")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh"


def test_what_the_server_says_is_in_the_language_of_the_page_or_marked_as_english(
    see: See, place: Callable[[str], str], trained: dict[str, Any]
) -> None:
    page = see("new?preset=digits-adam")
    page.get_by_label("Language", exact=True).select_option("zh")
    body = page.locator(".document textarea").first
    body.fill(re.sub(r'"batch_size": \d+', '"batch_size": 0', body.input_value()))
    told = page.locator(".document").get_by_role("alert")
    expect(told).to_contain_text("文档不符合规则")
    expect(told).to_contain_text("应大于或等于 1。")
    expect(told.locator("[lang=en]")).to_have_count(0)
    page = see(f"run/{trained['broken']['runs'][0]['id']}?tab=diagnosis")
    expect(page.locator(".headline strong")).to_have_text(re.compile("[\u4e00-\u9fff]"))
    expect(page.locator(".finding .told [lang=en]").first).to_be_visible()


def test_the_palette_goes_to_pages_and_experiments_by_the_keyboard(
    see: See, place: Callable[[str], str], trained: dict[str, Any]
) -> None:
    page = see("workers")
    page.keyboard.press("Control+k")
    entry = page.get_by_role("combobox", name="Search or jump to")
    expect(entry).to_be_focused()
    entry.fill("memb")
    expect(page.get_by_role("option", name="Members page")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/members$"))
    page.keyboard.press("Control+k")
    entry.fill(trained["fast"]["name"])
    expect(page.get_by_role("option").first).to_contain_text(trained["fast"]["name"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/experiment/exp_"))
    page.keyboard.press("Control+k")
    entry.fill("no such thing")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(entry).to_have_count(0)


def test_colours_follow_the_system_until_somebody_chooses(see: See) -> None:
    page = see("workers")
    body, light, dark = page.locator("body"), "rgb(244, 245, 247)", "rgb(14, 18, 23)"
    page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", light)
    page.emulate_media(color_scheme="dark")
    expect(body).to_have_css("background-color", dark)
    page.get_by_role("button", name="Colors: as the system").click()
    expect(body).to_have_css("background-color", light)
    page.reload()
    expect(page.get_by_role("button", name="Colors: light")).to_be_visible()
    expect(body).to_have_css("background-color", light)
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Colors: light").click()
    expect(body).to_have_css("background-color", dark)


def test_first_steps_disappear_as_they_are_done_and_rows_come_closer(
    see: See, place: Callable[[str], str], trained: dict[str, Any]
) -> None:
    page = see("experiments")
    steps = page.get_by_role("region", name="First steps").get_by_role("listitem")
    expect(steps).to_have_count(2)  # somebody who has trained already
    steps.get_by_role("link", name="Open a run").click()
    page.locator(".headline").wait_for()
    page.go_back()
    expect(steps).to_have_count(1)
    expect(steps).to_contain_text("Select two rows and press Compare")
    row = page.locator("tr[data-row]").first
    expect(row).to_have_css("height", "36px")
    page.get_by_role("button", name="Density: comfortable").click()
    expect(row).to_have_css("height", "26px")
    page.reload()
    expect(row).to_have_css("height", "26px")
    expect(steps).to_have_count(1)
    see(place("compare?experiments={fast},{slow}"))
    page.locator(".ranking").wait_for()
    page = see("experiments")
    expect(page.get_by_role("region", name="First steps")).to_have_count(0)


def test_on_a_phone_rows_are_cards_no_button_is_dead_and_the_form_folds(
    see: See, place: Callable[[str], str], trained: dict[str, Any]
) -> None:
    def lacking(route: Route) -> None:
        answer = route.fetch()
        catalog = answer.json()
        for family in catalog["items"]:
            for item in family["items"]:
                if item["kind"] == "lion":
                    item["pools"], item["needs"] = {"default": False}, ["pytorch-optimizer"]
        route.fulfill(response=answer, json=catalog)

    page = see("workers")
    page.route("**/v1/catalog", lacking)
    page.set_viewport_size({"width": 390, "height": 800})
    see("experiments?filter=name%20=%20fast")
    card = page.locator("tr[data-row]")
    expect(card).to_have_css("height", "86px")
    for column in ("name", "state", "best"):
        box = card.locator(f"[data-column={column}]").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
    expect(page.locator("button:disabled:visible")).to_have_count(0)
    card.get_by_role("checkbox").click()
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_visible()
    see(place("compare?experiments={fast},{slow}"))
    ranking = page.locator(".ranking")
    assert ranking.evaluate("node => node.scrollWidth <= node.clientWidth")
    see("new?preset=digits-adam")
    folded = page.get_by_role("group", name="optimizer")
    expect(folded.get_by_role("combobox")).to_have_count(0)
    folded.get_by_role("button", name="optimizer adam").click()
    kind = folded.get_by_role("combobox").first
    assert "lion (no worker can build it: needs pytorch-optimizer)" in kind.locator("option").all_inner_texts()
