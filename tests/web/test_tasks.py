"""Five things that a newcomer wants, in few clicks."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from tests.harness.product import Product

from .tasks import TASKS, Hand

See = Callable[[str], Page]


def test_five_tasks_take_few_clicks(see: See, trained: dict[str, Any], stack: Product) -> None:
    counted = {}
    for name, (_, task) in TASKS.items():
        hand = Hand(see("experiments"), stack)
        hand.page.reload()
        hand.page.locator("tr[data-row]").first.wait_for()
        task(hand)
        counted[name] = hand.clicks
    assert {name: counted[name] <= most for name, (most, _) in TASKS.items()} == dict.fromkeys(TASKS, True), counted
    (name, *_) = (each["name"] for each in stack.get("/v1/experiments", limit=1)["items"])
    assert name == "shapes"
    spec = stack.get(f"/v1/experiments/{stack.get('/v1/experiments', limit=1)['items'][0]['id']}")["spec"]
    assert (spec["dataset"]["predict"], spec["dataset"]["task"]) == ("kind", "classification")
    assert [each["kind"] for each in spec["metrics"]] == ["auc"]
