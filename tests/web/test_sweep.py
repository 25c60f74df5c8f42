"""A sweep from the form: several values make a tagged grid, its whole cost is told, and it opens as a comparison."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.harness.product import Product

See = Callable[[str], Page]
Trained = dict[str, Any]
READ = """async ([text, spec]) => {
    const { gridOf, parseSweep, takeLists } = await import("/page/lib/sweep.js");
    const { axes, wrong } = parseSweep(text, spec);
    const names = gridOf(spec, axes, "tag").map(({name}) => name);
    return {wrong: wrong.map(({why}) => why), names, taken: takeLists(spec, spec)};
}"""
SPEC = {
    "name": "a",
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "model": {"hidden": [8]},
    "seeds": [0],
    "inits": {"lr": 1},
}


@pytest.mark.parametrize(
    ("text", "names", "wrong"),
    [
        ("optimizer.lr: 1e-3, .1", ["a lr=0.001", "a lr=0.1"], []),
        ("model.hidden: [8], [8, 8]", ["a hidden=[8]", "a hidden=[8,8]"], []),
        ("optimizer.kind: sgd, adam\n\nbatch_size: 2", [], ["unknown"]),
        ("optimizer.batch: 2, 3\nkind: sgd", ["a batch=2 kind=sgd", "a batch=3 kind=sgd"], []),
        ("lr: 1, 2", None, ["several"]),
        ("lr 1, 2", None, ["form"]),
        ("optimizer.lr: 1\noptimizer.lr: 2", None, ["twice"]),
        ("optimizer.lr: 1e-1..1e-4", None, ["range"]),
    ],
)
def test_lines_are_read_as_a_grid(see: See, text: str, names: list[str] | None, wrong: list[str]) -> None:
    found = see("workers").evaluate(READ, [text, SPEC])
    assert found["wrong"] == wrong
    if names:
        assert found["names"] == names
    assert found["taken"] == {"spec": SPEC, "lines": []}


def test_numbers_typed_into_a_field_make_a_grid_that_is_compared(see: See, stack: Product, trained: Trained) -> None:
    page = see(f"new?from={trained['fast']['id']}")
    rate = page.locator("fieldset", has_text="optimizer").get_by_label(re.compile(r"^lr"))
    rate.fill("1e-4, 1e-2")
    rate.press("Tab")
    lines = page.get_by_label("Try several values")
    expect(lines).to_have_value("optimizer.lr: 1e-4, 1e-2")
    assert json.loads(page.get_by_label("Request body").input_value())["optimizer"]["lr"] == 0.0001
    lines.fill("optimizer.lr: 1e-4, 1e-2\nepochs: 1, 0")
    expect(page.get_by_role("alert").first).to_contain_text("/epochs")
    expect(page.get_by_role("button", name="Train 4 experiments and compare")).to_be_disabled()
    lines.fill("optimizer.lr: 1e-4, 1e-2\nepochs: 1, 2")
    cost = page.locator(".estimate")
    expect(cost).to_contain_text("Runs12")  # two by two experiments of three seeds
    expect(cost).to_contain_text("Steps810")  # 3 seeds, 2 rates, 45 and 90 steps
    page.get_by_role("button", name="Train 4 experiments and compare").click()
    page.wait_for_url(re.compile("#/compare"))
    expect(page.locator(".ranking tbody tr")).to_have_count(4)
    made = stack.get("/v1/experiments", filter="name ~ 'fast lr='")["items"]
    assert {each["name"] for each in made} == {f"fast lr={lr} epochs={n}" for lr in ("0.0001", "0.01") for n in (1, 2)}
    (tag,) = {tag for each in made for tag in each["tags"] if tag.startswith("sweep-")}
    assert len(stack.get("/v1/experiments", filter=f"tag = {tag}")["items"]) == 4
    for each in made:
        for run in stack.get(f"/v1/experiments/{each['id']}")["runs"]:
            stack.wait_for_end(run["id"])


SPACE = """async ([text, spec]) => {
    const { parseSweep, spaceOf } = await import("/page/lib/sweep.js");
    return spaceOf(spec, parseSweep(text, spec).axes);
}"""


@pytest.mark.parametrize(
    ("line", "dimension"),
    [
        ("optimizer.lr: 1e-4..1e-1", {"kind": "log_uniform", "low": 1e-4, "high": 0.1}),
        ("optimizer.lr: 0 .. .9", {"kind": "uniform", "low": 0, "high": 0.9}),
        ("optimizer.lr: -1…1", {"kind": "uniform", "low": -1, "high": 1}),
        ("inits.lr: 16..256", {"kind": "int", "low": 16, "high": 256, "log": True}),
        ("inits.lr: 2..8", {"kind": "int", "low": 2, "high": 8}),
        ("inits.lr: 0..1", {"kind": "uniform", "low": 0, "high": 1}),
        ("inits.lr: 2..8.0", {"kind": "uniform", "low": 2, "high": 8}),
        ("optimizer.kind: sgd, adam", {"kind": "choice", "options": ["sgd", "adam"]}),
    ],
)
def test_a_range_is_a_dimension_of_a_study(see: See, line: str, dimension: dict[str, Any]) -> None:
    pointer = "/" + line.partition(":")[0].replace(".", "/")
    assert see("workers").evaluate(SPACE, [line, SPEC]) == {pointer: dimension}


def test_a_range_typed_into_a_field_makes_a_study(see: See, stack: Product, trained: Trained) -> None:
    page = see(f"new?from={trained['fast']['id']}")
    rate = page.locator("fieldset", has_text="optimizer").get_by_label(re.compile(r"^lr"))
    rate.fill("1e-3..1e-1")
    rate.press("Tab")
    lines = page.get_by_label("Try several values")
    expect(lines).to_have_value("optimizer.lr: 1e-3..1e-1")
    assert json.loads(page.get_by_label("Request body").input_value())["optimizer"]["lr"] == 0.05, (
        "the base keeps its own"
    )
    lines.fill("optimizer.lr: 1e-3..1e-1\nbatch_size: 0, 64")
    expect(page.get_by_role("alert").first).to_contain_text("/space/~1batch_size")
    start = page.get_by_role("button", name="Start the study")
    expect(start).to_be_disabled()
    lines.fill("optimizer.lr: 1e-3..1e-1\nbatch_size: 32, 64\nepochs: 1")
    page.get_by_label("Trials", exact=True).fill("3")
    page.locator("select[name=sampler]").select_option("random")
    cost = page.locator(".estimate")
    expect(cost).to_contain_text("Trials3")
    expect(cost).to_contain_text("Steps810")  # of the base: 3 trials of 3 seeds, 90 steps each
    start.click()
    expect(page).to_have_url(re.compile("#/study/std_"))
    made = stack.get(f"/v1/studies/{page.url.rpartition('/')[2]}")
    document = made["document"]
    assert made["name"] == "fast: optimizer.lr, batch_size, epochs"
    assert document["seeds"] == [0, 1, 2]
    assert (document["sampler"]["kind"], document["budget"]["trials"]) == ("random", 3)
    assert document["space"]["/optimizer/lr"]["kind"] == "log_uniform"
    assert [each["value"] for each in document["space"]["/batch_size"]["options"]] == [32, 64]
    stack.http.post(f"/v1/studies/{made['id']}/stop").raise_for_status()
