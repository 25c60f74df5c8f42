"""Curves on the page: the binary form is what JSON says, ghosts and the plan lie beside, log axes hold anything."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

See = Callable[[str], Page]
Trained = dict[str, Any]
READ = """async (path) => {
    const { getColumns, toCurves } = await import("/page/lib/columns.js");
    const found = toCurves(await getColumns(path));
    return found.map(({name, curve}) => ({name, x: [...curve.x], y: [...curve.y], bad: curve.bad && [...curve.bad]}));
}"""
GROWN = """async () => {
    const { alignCurves, emptyCurve, extendCurve } = await import("/page/lib/curves.js");
    let curve = extendCurve(emptyCurve(), {step: [1, 2], value: [4, "NaN"]});
    curve = extendCurve(curve, {step: [2, 3], value: [9, 5]});
    const [x, one, other] = alignCurves([curve, extendCurve(emptyCurve(), {step: [2, 4], value: [7, 8]})]);
    const held = (column) => [...column].map((each) => each ?? null);
    const whole = {x: [...curve.x], y: [...curve.y], bad: [...curve.bad]};
    return {curve: whole, x: [...x], one: held(one), other: held(other)};
}"""


def test_the_binary_form_holds_what_json_says(see: See, trained: Trained) -> None:
    page = see("workers")
    for which, points in (("fast", 1000), ("fast", 7), ("broken", 1000)):
        run = trained[which]["runs"][0]["id"]
        path = f"/v1/runs/{run}/series?points={points}"
        said = page.evaluate("path => fetch(path).then((answer) => answer.json())", path)["series"]
        for each in page.evaluate(READ, path):
            exact = said[each["name"]]
            assert each["x"] == exact.get("step", exact.get("last_step"))
            values = exact.get("value", exact.get("mean"))
            assert each["y"] == [None if isinstance(value, str) else value for value in values]
            if each["bad"]:
                assert any(each["bad"])


def test_what_is_streamed_makes_a_curve_longer(see: See) -> None:
    found = see("workers").evaluate(GROWN)
    assert found["curve"] == {"x": [1, 2, 3], "y": [4, None, 5], "bad": [0, 1, 0]}
    assert (found["x"], found["one"], found["other"]) == ([1, 2, 3, 4], [4, None, 5, None], [None, 7, None, 8])


def test_ghosts_of_a_lost_attempt_and_the_planned_rate_lie_beside_the_curves(
    see: See, page: Page, trained: Trained
) -> None:
    cut = {"id": 1, "kind": "cut", "data": {"from_step": 10}, "at": "2026-01-01T00:00:00Z"}
    ghost = {"items": [{"name": "loss", "attempt": 1, "step": [11, 12], "value": [2.0, 1.9]}]}

    def answers(document: Any) -> Callable[[Route], None]:
        return lambda route: route.fulfill(json=document)

    page.route("**/history*", answers({"items": [cut], "next_cursor": None}))
    page.route("**/superseded*", answers(ghost))
    see(f"run/{trained['fast']['runs'][0]['id']}")
    expect(page.get_by_text("loss, superseded (attempt 1)")).to_be_visible()
    expect(page.get_by_text("planned", exact=True)).to_be_visible()
    expect(page.get_by_text("The applied rate is not the planned one")).to_have_count(0)


def test_a_rate_that_is_not_the_planned_one_is_told(page: Page, see: See, trained: Trained) -> None:
    checked = [{"step": 1, "planned": 0.1, "applied": 0.1}, {"step": 90, "planned": 0.05, "applied": 0.06}]
    planned = {"steps": [1, 90], "rates": [0.1, 0.05], "watches": "", "checked": checked, "deviates": True}
    page.route("**/planned*", lambda route: route.fulfill(body=json.dumps(planned), content_type="application/json"))
    see(f"run/{trained['fast']['runs'][0]['id']}")
    expect(page.get_by_text("at step 90, 0.05 was planned and 0.06 applied")).to_be_visible()


LABELS = """async ([ranges, isLog]) => { // what is written on the axes of a chart of two points
    const { html, render } = await import("/page/lib/html.js");
    const { Chart } = await import("/page/lib/chart.js");
    const context = CanvasRenderingContext2D.prototype;
    const { clearRect, fillText } = context;
    const found = [];
    for (const [[left, right], [low, high], height] of ranges) {
        let written;
        context.clearRect = function (...all) {
            written = {x: [], y: []}; // it is drawn anew
            return clearRect.apply(this, all);
        };
        context.fillText = function (text, ...rest) {
            if (text) written[this.textAlign === "right" ? "y" : "x"].push(text);
            return fillText.call(this, text, ...rest);
        };
        const node = document.createElement("div");
        node.style.width = "460px";
        document.body.append(node);
        const line = {label: "loss", y: [low, high], colour: "#000", dash: []};
        const logs = {logX: isLog, logY: isLog};
        render(html`<${Chart} x=${[left, right]} lines=${[line]} ...${logs} height=${height} label="drawn"/>`, node);
        const end = Date.now() + 2000;
        const isWritten = () => written?.x.length && written.y.length;
        while (Date.now() < end && !isWritten()) await new Promise((go) => setTimeout(go, 20));
        render(null, node);
        node.remove();
        found.push(written);
    }
    Object.assign(context, {clearRect, fillText});
    return found;
}"""
RANGES = [  # x, y, height
    ((1, 1_000), (1e-3, 10.0), 320),
    ((12_340, 12_350), (2.1, 2.9), 150),
    ((1, 2), (0.69312, 0.69318), 170),
    ((5, 5.5), (5.0, 5.0), 180),
    ((3, 9), (1e-300, 1e300), 180),
    ((90, 110), (9.5, 10.5), 150),
    ((1e6, 2e6), (1.2e308, 1.7e308), 180),
    ((1e-5, 1e-1), (3e-9, 4e-9), 180),
    ((999_999, 1_000_001), (0.5, 1.0 + 1e-9), 180),
]


@pytest.mark.parametrize("is_log", [True, False], ids=["logarithmic", "linear"])
def test_every_axis_has_two_labels_that_differ_whatever_the_range(see: See, is_log: bool) -> None:
    for drawn, asked in zip(see("workers").evaluate(LABELS, [RANGES, is_log]), RANGES, strict=True):
        for axis in ("x", "y"):
            assert len(set(drawn[axis])) >= 2, (asked, drawn)
            assert len(set(drawn[axis])) == len(drawn[axis]), (asked, drawn)
            assert len(drawn[axis]) <= 14, (asked, drawn)


def test_a_form_tells_how_long_it_will_take(see: See, trained: Trained) -> None:
    page = see(f"new?from={trained['fast']['id']}")
    expect(page.locator(".estimate")).to_contain_text("Time per run")
    expect(page.locator(".estimate")).to_contain_text("from")


def test_the_log_of_a_run_is_shown_and_to_be_had_as_a_file(page: Page, see: See, trained: Trained) -> None:
    run = trained["fast"]["runs"][0]["id"]
    see(f"run/{run}?tab=log")
    box = page.locator(".log pre")
    expect(box).to_contain_text("trains from step 0 to")
    expect(box).to_contain_text("succeeded at step")
    shown = box.locator(".line").count()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download the whole log").click()
    assert saved.value.suggested_filename == f"{run}.log"
    assert len(saved.value.path().read_text().splitlines()) == shown
