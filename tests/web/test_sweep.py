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
