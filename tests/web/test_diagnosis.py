"""Findings on a run's page: what is wrong and how surely, its evidence drawn, a remedy to try, instruments to ask."""

import base64
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product

See = Callable[[str], Page]
Trained = dict[str, Any]
LOOK_MS = 4_000  # between two looks at a run that trains
EVIL = "<img src=x onerror=alert(1)>"


def finding(**changes: Any) -> dict[str, Any]:
    """One as the contract has it, with names that nobody should be given."""
    seen = {"name": EVIL, "value": "NaN", "threshold": 2.0, "relation": ">", "series": "loss", "steps": [1, 9]}
    return {
        "id": "R6",
        "rule": "R6",
        "version": 1,
        "level": "fault",
        "symptom": EVIL,
        "verdict": EVIL,
        "text": EVIL,
        "confidence": 0.85,
        "steps": [1, 9],
        "evidence": [seen | {"reading": 1, "source": EVIL}],
        "explains": [EVIL],
        "alternatives": [{"verdict": EVIL, "experiment": EVIL}],
        "patch": [{"op": "replace", "path": "/optimizer/lr", "value": EVIL}],
        "remedy": EVIL,
        "expect": {"confirm": EVIL, "refute": EVIL},
        "probes": [{"kind": "sharpness"}],
    } | changes


def grid(values: list[float]) -> dict[str, Any]:
    return {"x": values, "y": values, "losses": [[x * x - y * y for x in values] for y in values], "unit": EVIL}


READINGS: dict[str, dict[str, Any]] = {
    "plane": grid([-1.0, -0.5, 0.0, 0.5, 1.0]),
    "trajectory": {"x": [1.0, 0.2, 0.0], "y": [1.0, -0.1, 0.0], "steps": [0, 5, 9], "grid": grid([-1.0, 0.0, 1.0])},
    "spectrum": {"histogram": {"counts": [3, 0, 5], "edges": [-1.0, 0.0, 1.0, 2.0]}, "minimum_ratio": 0.6},
    "slice": {"at": [-1.0, 0.0, 1.0], "losses": [1.0, 0.0, "Infinity"], "unit": EVIL},
    "range_test": {"rates": [1e-4, 1e-3, 1e-2], "losses": [2.0, 1.0, 3.0], "smoothed": [2, 1.5, 2], "steepest": 1e-3},
    "an instrument nobody knows": {EVIL: EVIL, "nothing": None},
}


def answers(page: Page, run: str, found: dict[str, Any], told: dict[str, dict[str, Any]] = READINGS) -> None:
    """What the server would say of the run: its routes have tests of their own."""

    def give(document: Any) -> Callable[[Route], None]:
        return lambda route: route.fulfill(json=document)

    readings = [
        {"id": at, "run_id": run, "attempt": 1, "step": 9, "kind": kind, "data": data, "at": "2026-01-01T00:00:00Z"}
        for at, (kind, data) in enumerate(told.items(), 1)
    ]
    page.route("**/diagnosis", give(found))
    page.route("**/verify", give({"items": []}))
    page.route("**/readings*", give({"items": readings, "next_cursor": None}))
    page.route("**/probes", give({"items": []}))


def test_findings_and_readings_are_drawn_and_hostile_words_stay_text(see: See, page: Page, trained: Trained) -> None:
    run = trained["fast"]["runs"][0]["id"]
    rules = [{"rule": "R1", "symptom": EVIL, "state": state, "why": EVIL} for state in ("clear", "unknown", "found")]
    told = {"run_id": run, "state": "succeeded", "step": 9, "version": "1", "complete": True, "level": "fault"}
    answers(page, run, told | {"headline": EVIL, "findings": [finding()], "checked": rules})
    see(f"run/{run}?tab=diagnosis")
    expect(page.get_by_role("img", name="Evidence in loss")).to_be_visible()
    expect(page.locator(".evidence").get_by_text("> 2", exact=True)).to_be_visible()
    expect(page.locator(".difference del")).to_have_text("− 0.05")
    expect(page.locator(".difference ins")).to_contain_text(EVIL)
    page.get_by_text("Instruments").click()
    page.get_by_text("3 rules checked").click()
    for kind in READINGS:
        expect(page.locator(".readings figure", has_text=kind)).to_be_visible()
    assert page.locator(".readings .contour canvas").count() == 2
    assert page.locator(".readings .histogram rect.below").count() == 1
    assert page.locator("main img, main iframe, main script").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_similar_run_that_went_well_is_shown_with_what_differs(see: See, page: Page, trained: Trained) -> None:
    run, other = trained["broken"]["runs"][0]["id"], trained["fast"]["runs"][0]["id"]
    patch = [{"op": "replace", "path": "/optimizer/lr", "value": 0.07}]
    neighbour = {"run_id": other, "experiment_id": trained["fast"]["id"], "name": EVIL, "patch": patch}
    told = {"run_id": run, "state": "failed", "step": 9, "version": "1", "complete": True, "level": "fault"}
    found = told | {"headline": EVIL, "findings": [], "checked": []}
    answers(page, run, found | {"neighbour": neighbour | {"series": "loss", "value": 0.25, "own": None}})
    see(f"run/{run}?tab=diagnosis")
    similar = page.get_by_role("region", name="Similar, and it went well")
    expect(similar.get_by_role("link", name=EVIL)).to_have_attribute("href", re.compile(other))
    expect(similar.locator(".difference ins")).to_have_text("+ 0.07")
    expect(similar).to_contain_text("loss 0.25")
    assert page.locator("main img, main iframe, main script").count() == 0


PIXELS = """canvas => {
    const {width, height} = canvas;
    const at = (x, y) => [...canvas.getContext("2d").getImageData(x * (width - 1), y * (height - 1), 1, 1).data];
    return {high: at(0.98, 0.5), low: at(0.5, 0.98)};
}"""


def test_a_surface_is_red_where_it_is_high_and_blue_where_it_is_low(see: See, page: Page, trained: Trained) -> None:
    run = trained["fast"]["runs"][0]["id"]
    told = {"run_id": run, "state": "succeeded", "step": 9, "version": "1", "complete": True, "level": "healthy"}
    answers(page, run, told | {"headline": "It learns.", "findings": [], "checked": []})
    see(f"run/{run}?tab=diagnosis")
    page.get_by_text("Instruments").click()
    found = page.locator(".readings figure", has_text="plane").locator("canvas").evaluate(PIXELS)
    assert found["high"][0] > found["high"][2] + 60
    assert found["low"][2] > found["low"][0] + 60


def square(colour: str) -> str:
    """A PNG of one colour, 8 x 8, in base64."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_images_with_the_largest_losses_are_seen_beside_their_rows(see: See, page: Page, trained: Trained) -> None:
    run = trained["fast"]["runs"][0]["id"]
    worst = [
        {"row": row, "loss": loss, "target": "cat", "prediction": "dog", "probability": 0.9, "png": square(colour)}
        for row, loss, colour in ((17, 4.5, "red"), (3, 2.25, "blue"))
    ]
    told = {"run_id": run, "state": "succeeded", "step": 9, "version": "1", "complete": True, "level": "healthy"}
    listed = {"largest_losses": {"part": "validation", "of": 20, "listed": worst}}
    answers(page, run, told | {"headline": "It learns.", "findings": [], "checked": []}, listed)
    see(f"run/{run}?tab=diagnosis")
    page.get_by_text("Instruments").click()
    table = page.locator(".readings figure", has_text="Validation rows with the largest loss").locator("table")
    for at, (row, loss, colour) in enumerate((("17", "4.5", [255, 0, 0, 255]), ("3", "2.25", [0, 0, 255, 255]))):
        cells = table.locator("tbody tr").nth(at).locator("td")
        expect(cells.nth(1)).to_have_text(row)
        expect(cells.nth(2)).to_have_text(loss)
        picture = cells.nth(0).get_by_role("img", name=re.compile(rf"\b{row}\b"))
        expect(picture).to_have_js_property("width", 8)  # as it is drawn
        middle = "canvas => [...canvas.getContext('2d').getImageData(4, 4, 1, 1).data]"
        assert picture.evaluate(middle) == colour


def test_a_confusion_matrix_scrolls_on_a_phone_and_keeps_its_labels(see: See, page: Page, trained: Trained) -> None:
    run = trained["fast"]["runs"][0]["id"]
    classes = [f"class {at}" for at in range(30)]
    matrix = [[of == predicted for predicted in range(30)] for of in range(30)]
    told = {"run_id": run, "state": "succeeded", "step": 9, "version": "1", "complete": True, "level": "healthy"}
    counts = {"classes": classes, "matrix": [[int(each) for each in row] for row in matrix]}
    answers(page, run, told | {"headline": "It learns.", "findings": [], "checked": []}, {"confusion_matrix": counts})
    page.set_viewport_size({"width": 390, "height": 800})
    see(f"run/{run}?tab=diagnosis")
    page.get_by_text("Instruments").click()
    box = page.locator(".matrix")
    box.evaluate("node => node.scrollTo(400, 300)")
    row, column = box.locator("tbody th").last.bounding_box(), box.locator("thead th").last.bounding_box()
    frame = box.bounding_box()
    assert row is not None
    assert column is not None
    assert frame is not None
    assert abs(row["x"] - frame["x"]) < 2, "the class of a row stays in view"
    assert abs(column["y"] - frame["y"]) < 2, "and the class of a column"
    assert min(box.evaluate("node => [node.scrollLeft, node.scrollTop]")) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_diagnosed_run_stands_in_nobodys_way(see: See, page: Page, trained: Trained, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    run = trained["broken"]["runs"][0]["id"]
    told = {"run_id": run, "state": "failed", "step": 9, "version": "1", "complete": True, "level": "fault"}
    verdicts = [finding(verdict="lr_above_stability", text="It climbs.", id="R6"), finding(level="warning", id="R7")]
    answers(page, run, told | {"headline": "It climbs.", "findings": verdicts, "checked": []})
    page.emulate_media(color_scheme=scheme)
    see(f"run/{run}?tab=diagnosis")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    expect(page.get_by_text("The learning rate is too high")).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_a_run_that_diverged_is_told_why_and_the_remedy_opens_in_the_form(see: See, trained: Trained) -> None:
    page = see(f"run/{trained['broken']['runs'][0]['id']}?tab=diagnosis")
    expect(page.locator(".headline.fault")).to_be_visible()
    first = page.locator(".finding").first
    expect(first.get_by_role("img")).not_to_have_count(0)
    expect(first.locator(".difference ins").first).to_be_visible()
    first.get_by_role("link", name="Open in the form").click()
    expect(page.get_by_label("Request body")).to_be_visible()
    assert '"lr": 10' not in page.get_by_label("Request body").input_value()


def test_a_healthy_run_says_so_in_one_line(see: See, trained: Trained) -> None:
    page = see(f"run/{trained['fast']['runs'][0]['id']}")
    expect(page.locator(".headline")).to_be_visible()
    expect(page.locator(".finding")).to_have_count(0)
    chart = page.get_by_role("img", name="Chart of loss", exact=True)
    before = chart.bounding_box()
    page.get_by_role("button", name="Why?").click()
    aside = page.get_by_role("complementary", name="Diagnosis")
    expect(aside.get_by_text("rules checked")).to_be_visible()
    assert aside.locator(".finding.fault").count() == 0
    assert chart.bounding_box() == before
    aside.get_by_role("button", name="Close").click()
    expect(aside).to_have_count(0)


def test_a_remedy_is_tried_and_an_instrument_asked_from_the_page(see: See, stack: Product) -> None:
    made = stack.post("/v1/experiments", SPEC | {"name": "ill", "epochs": 2, "optimizer": {"kind": "sgd", "lr": 10.0}})
    run = made["runs"][0]["id"]
    stack.wait_for_end(run)
    page = see(f"run/{run}?tab=diagnosis")
    page.get_by_role("button", name="Try it").first.click()
    page.get_by_text("Instruments").click()
    page.get_by_label("Instrument", exact=True).select_option("slice")
    page.locator("select[name=step]").select_option("0")
    page.get_by_role("button", name="Measure").click()
    expect(page.locator(".readings figure", has_text="slice").locator("canvas")).to_be_visible(timeout=60_000)
    expect(page.locator(".outcome")).to_contain_text("It helped", timeout=90_000)
    expect(page.locator(".outcome").get_by_role("link", name="with the remedy")).to_be_visible()


def test_the_form_starts_from_a_symptom_of_the_library(see: See, stack: Product) -> None:
    page = see("new")
    name = stack.get("/v1/symptoms")["items"][0]["name"]
    page.get_by_label("Start from a symptom").select_option(name)
    expect(page.get_by_label("Request body")).to_have_value(re.compile('"optimizer"'))
    expect(page.get_by_role("button", name=re.compile(r"^Train \("))).to_be_enabled()


def test_a_finding_that_arrives_moves_nothing_until_it_is_asked_for(see: See, page: Page, stack: Product) -> None:
    run = stack.post("/v1/experiments", SPEC | {"name": "looked at", "epochs": 5000})["runs"][0]["id"]
    told = {"run_id": run, "state": "running", "step": 9, "version": "1", "complete": False, "checked": []}
    first = finding(verdict="lr_above_stability", text="It climbs.", id="R6")
    well = {"level": "healthy", "headline": "It learns.", "findings": []}
    answers(page, run, told | well)
    page.clock.install()
    see(f"run/{run}?why=1")
    chart = page.get_by_role("img", name="Chart of loss", exact=True)
    chart.wait_for()
    before = chart.bounding_box()
    fault = {"level": "fault", "headline": "It climbs. " * 30, "findings": [first]}
    page.route("**/diagnosis", lambda route: route.fulfill(json=told | fault))
    page.clock.fast_forward(LOOK_MS)
    page.get_by_role("button", name="Show 1 new").wait_for()
    expect(page.locator(".finding")).to_have_count(0)
    assert chart.bounding_box() == before
    page.get_by_role("button", name="Show 1 new").click()
    expect(page.get_by_text("The learning rate is too high")).to_be_visible()
    shown = chart.bounding_box()
    page.route("**/diagnosis", lambda route: route.fulfill(json=told | well))
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator(".finding")).to_contain_text("no longer found")
    assert chart.bounding_box() == shown
    stack.post(f"/v1/runs/{run}/cancel", {}, 202)
    stack.wait_for_end(run)
