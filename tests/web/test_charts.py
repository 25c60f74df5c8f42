"""Charts: values under the cursor, one cursor and range for a page, what is cut and shown again, many lines, live."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.fixtures.product import SPEC
from tests.harness.product import Product

See = Callable[[str], Page]
Trained = dict[str, Any]
RANGE = """async ([columns, whole]) => {
    const { valueRange } = await import("/page/lib/chart/ranges.js");
    return valueRange(columns, (value) => value, whole);
}"""
STEADY = """async (columns) => {
    const { steady } = await import("/page/lib/chart/ranges.js");
    return steady(columns.map((y, at) => ({ y, at }))).map(({ at }) => at);
}"""
DRAWN = """async (many) => {
    const { html, render } = await import("/page/lib/html.js");
    const { Chart, Legend, look } = await import("/page/lib/chart.js");
    const node = document.createElement("div");
    node.id = "drawn";
    Object.assign(node.style, {width: "600px", position: "fixed", left: "0", top: "0", zIndex: 9});
    document.body.append(node);
    const x = [...Array(200).keys()];
    const values = (at) => x.map((each) => 100 * at + each % 7);
    const lines = [...Array(many).keys()].map((at) => ({label: `line ${at}`, y: values(at), ...look(at)}));
    lines[0].lo = lines[0].y.map((each) => each - 2);
    lines[0].hi = lines[0].y.map((each) => each + 2);
    lines[1].bad = x.map((each) => each === 100);
    lines[1].y[50] = 1e6;
    render(html`<${Chart} x=${x} lines=${lines} xLabel="step" label="drawn"/><${Legend} lines=${lines}/>`, node);
    await new Promise((go) => setTimeout(go, 100));
}"""
RED = """() => { // reddish points in the upper 12 px of the plot, by their place
    const canvas = document.querySelector("#drawn canvas");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, 30);
    const found = new Set();
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue, opaque] = data.slice(at, at + 4);
        if (red > 150 && green < 50 && blue < 50 && opaque > 200) found.add(at / 4 % canvas.width);
    }
    return [...found].map((each) => each / canvas.width);
}"""


def hover(page: Page, x: float, y: float, nth: int = 0) -> None:
    over = page.locator(".chart .u-over").nth(nth)
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)


def zoom(page: Page, low: float, high: float) -> None:
    hover(page, low, 0.5)
    page.mouse.down()
    hover(page, high, 0.5)
    page.mouse.up()


def test_the_values_under_the_cursor_are_told_with_their_intervals(see: See, trained: Trained) -> None:
    page = see(f"compare?experiments={trained['slow']['id']},{trained['fast']['id']}&series=val/loss,loss")
    hover(page, 0.5, 0.5)
    box = page.locator(".hover").first
    expect(box).to_be_visible()
    expect(box).to_contain_text(re.compile(r"^step [\d,.]+"))
    rows = box.locator("tr").all_inner_texts()
    assert sorted(row.split("\t")[1] for row in rows) == ["fast", "slow"]
    values = [row.split("\t")[2] for row in rows]
    assert all(re.fullmatch(r"\d+\.\d+ ± \d+\.\d+", value) for value in values), values
    assert len({len(value.split(" ")[0].partition(".")[2]) for value in values}) == 1, values
    assert box.locator("svg path").count() >= 4
    expect(page.locator(".hover").nth(1)).to_be_hidden()
    page.mouse.move(5, 5)
    expect(box).to_be_hidden()


def test_the_nearest_of_many_lines_come_first_and_those_beyond_twelve_are_grey(see: See) -> None:
    page = see("workers")
    page.evaluate(DRAWN, 30)
    for height, nearest in ((0.99, "line 0"), (0.02, "line 29")):
        hover(page, 0.3, height)
        rows = page.locator("#drawn .hover tr")
        assert rows.count() == 12
        expect(rows.first).to_contain_text(nearest)
    expect(page.locator("#drawn .hover")).to_contain_text("and 18 more")
    hover(page, 0.3, 0.99)
    assert page.locator("#drawn .hover tr").first.inner_text().endswith("± 2.0")
    legend = page.locator("#drawn .legend").first
    assert legend.locator("li").count() == 12
    expect(page.locator("#drawn details:not(.export)")).to_contain_text("and 18 more lines, in gray")
    looks = legend.locator("svg").evaluate_all("all => all.map((each) => each.innerHTML)")
    assert len(set(looks)) == 12


def test_what_lies_beyond_the_percentiles_is_cut_until_all_is_asked_for(see: See) -> None:
    page = see("workers")
    spike = [[float(n % 10) for n in range(1000)], [1e9], [None]]
    cut, whole = (page.evaluate(RANGE, [spike, each]) for each in (False, True))
    assert (whole["low"], whole["high"], whole["cut"]) == (0, 1e9, False)
    assert cut["cut"] is True
    assert cut["high"] < 11
    smooth = page.evaluate(RANGE, [[[float(n) for n in range(1000)]], False])
    assert (smooth["low"], smooth["high"], smooth["cut"]) == (0, 999, False)
    falling, diverging, warmup = [2.0, 0.5, 0.1], [None, 1e13, 1e27], [1e-7, 0.05, 0.1]
    for lines, kept in (
        ([falling, diverging], [0]),  # beside a line that diverges the other is seen
        ([falling, falling, [3.0, 90.0, 4000.0]], [0, 1]),
        ([diverging], [0]),
        ([diverging, diverging], [0, 1]),
        ([falling, [None, None]], [0, 1]),
        ([warmup, [0.1, 0.1]], [0, 1]),
        ([[1e-9, 1e-9], [1.0, 1.0]], [0, 1]),  # another scale is no divergence
    ):
        assert page.evaluate(STEADY, lines) == kept, lines
    page.evaluate(DRAWN, 2)
    page.locator("#drawn").get_by_role("button", name="Show all").click()
    expect(page.locator("#drawn").get_by_role("button", name="Show all")).to_have_attribute("aria-pressed", "true")


def test_a_diverged_point_is_a_cross_at_the_upper_edge(see: See) -> None:
    page = see("workers")
    page.evaluate(DRAWN, 2)
    found = page.evaluate(RED)
    assert max(found) - min(found) < 0.03
    assert (min(found) + max(found)) / 2 == pytest.approx(0.5, abs=0.08)


def test_one_cursor_and_one_range_hold_for_all_charts_of_a_page(see: See, trained: Trained) -> None:
    page = see(f"run/{trained['fast']['runs'][0]['id']}")
    hover(page, 0.5, 0.5)
    for nth in (0, 1):
        place = (
            page.locator(".chart .u-cursor-x")
            .nth(nth)
            .evaluate("node => new DOMMatrix(getComputedStyle(node).transform).m41 / node.parentElement.clientWidth")
        )
        assert place == pytest.approx(0.5, abs=0.03)
    page.get_by_label(re.compile("^X axis")).select_option("wall_s")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)  # the charts are made anew over another axis
    hover(page, 0.6, 0.5)
    expect(page.locator(".hover").first).to_contain_text("wall time (s)")
    page.get_by_label(re.compile("^X axis")).select_option("epoch")
    page.wait_for_timeout(300)
    hover(page, 0.99, 0.5)
    expect(page.locator(".hover").first).to_contain_text(re.compile(r"epoch (1\.9|2)"))
    zoom(page, 0.25, 0.75)
    page.wait_for_url(re.compile(r"from=\d+&to=\d+"))  # steps, whatever the axis
    start, end = (int(each) for each in re.findall(r"(?:from|to)=(\d+)", page.url))
    assert 15 < start < 30 < 60 < end < 75  # of 90 steps
    expect(page.get_by_role("button", name="Reset zoom").nth(1)).to_be_visible()


def test_a_zoom_into_a_comparison_asks_for_finer_points_and_is_undone(see: See, trained: Trained) -> None:
    page = see(f"compare?experiments={trained['slow']['id']},{trained['fast']['id']}&series=loss")
    with page.expect_request(lambda asked: asked.method == "POST" and "/v1/comparisons" in asked.url) as found:
        zoom(page, 0.2, 0.4)
    low, high = found.value.post_data_json["window"]
    assert 10 < low < 25 < 30 < high < 45  # of 90 steps
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)
    page.go_forward()
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)
    assert "from=" not in page.url


def test_a_comparison_follows_its_runs_and_stores_one_question(see: See, stack: Product, trained: Trained) -> None:
    made = stack.post("/v1/experiments", SPEC | {"name": "compared live", "epochs": 5000})
    stack.wait_for_step(made["runs"][0]["id"], 10)
    asked: list[str] = []
    page = see("workers")
    page.on("request", lambda each: asked.append(each.method) if "/v1/comparisons" in each.url else None)
    see(f"compare?experiments={made['id']},{trained['fast']['id']}&series=loss&logx=0")
    seen = set()
    for _ in range(40):
        hover(page, 0.97, 0.5)
        seen.add(page.locator(".hover strong").first.inner_text())
        if len(seen) > 2:
            break
        page.wait_for_timeout(500)
    stack.post(f"/v1/experiments/{made['id']}/cancel", {}, 202)
    assert len(seen) > 2, seen  # the last point is another one
    assert asked.count("POST") == 1
    stack.wait_for_end(made["runs"][0]["id"])


def test_a_constant_stays_one_whatever_rounding_makes_of_it(see: See) -> None:
    asked = """async () => {
        const { valueRange } = await import("/page/lib/chart/ranges.js");
        return valueRange([[0.05, 0.05 * (1 + 4e-16), 0.05 * (1 - 4e-16)]], (value) => value, false);
    }"""
    found = see("workers").evaluate(asked)
    assert found["low"] == found["high"]
    assert not found["cut"]


def test_the_best_point_against_a_field_is_named_and_a_click_opens_it(see: See, trained: Trained) -> None:
    ids = ",".join(trained[name]["id"] for name in ("fast", "slow", "broken"))
    page = see(f"compare?experiments={ids}&series=loss")
    panel = page.locator("section.panel", has_text="Result against one field")
    expect(panel.locator(".legend")).to_contain_text("best: fast")
    over = panel.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    for at in range(1, 40):
        page.mouse.move(box["x"] + box["width"] * at / 40, box["y"] + box["height"] / 2)
        if re.search(r" 0\.05$", panel.locator(".hover strong").inner_text()):
            break
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(f"#/experiment/{trained['fast']['id']}"))


INK = """node => node.getContext("2d").getImageData(0, 0, node.width, node.height).data
    .reduce((sum, value, at) => (at % 4 === 3 ? sum + value : sum), 0)"""


def test_the_others_fade_while_a_line_is_pointed_at_in_a_legend(see: See, trained: Trained) -> None:
    page = see(f"compare?experiments={trained['fast']['id']},{trained['slow']['id']}&series=val/loss,loss")
    pictures = page.locator(".chart canvas")
    pictures.first.wait_for()
    before = [pictures.nth(at).evaluate(INK) for at in range(2)]
    assert min(before) > 0
    page.locator(".legend li", has_text="fast").first.hover()
    during = [pictures.nth(at).evaluate(INK) for at in range(2)]
    page.mouse.move(1, 1)
    assert all(faded < whole for faded, whole in zip(during, before, strict=True)), "in all charts of the page"
    assert [pictures.nth(at).evaluate(INK) for at in range(2)] == before
