"""Answers of older and newer servers are read with the schemas of this one."""

import math
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from service.client import answers
from service.client.answers import Answer
from service.lifecycle import State

KINDS = {name: kind for name, kind in vars(answers).items() if isinstance(kind, Answer)}
RUN: dict[str, Any] = {
    "id": "run_1",
    "seed": 3,
    "state": "running",
    "created_at": "2026-11-28T18:00:00Z",
    "series": {"loss": {"n": 2, "last": "NaN", "min": 1, "max": "Infinity"}},
    "mood": {"of": "a newer server"},
}


def test_numbers_times_and_states_become_values() -> None:
    run = answers.run(RUN)
    assert (run.seed, run.state, run.over) == (3, State.RUNNING, False)
    assert run.created_at == datetime(2026, 11, 28, 18, tzinfo=UTC)
    assert math.isnan(run.series["loss"].last or 0)
    assert run.series["loss"].max == math.inf
    assert isinstance(run.series["loss"].min, float)


def test_the_whole_answer_stays_at_hand() -> None:
    run: Any = answers.run(RUN)
    assert run.raw == RUN
    assert answers.raw(run) == RUN
    assert run["mood"] == run.mood == {"of": "a newer server"}
    assert run.series["loss"]["last"] == "NaN"


@pytest.mark.parametrize("name", KINDS)
def test_nothing_has_to_be_in_an_answer(name: str) -> None:
    found: Any = KINDS[name]({})
    assert found.raw == {}
    assert not any(vars(found).values())


def test_what_the_schema_does_not_know_stays_as_it_was_sent() -> None:
    run: Any = answers.run({"state": "hovering", "step": "many", "series": None, "created_at": "soon"})
    assert (run.state, run.step, run.series, run.created_at) == ("hovering", "many", None, "soon")
    assert not run.over


def test_parts_of_an_answer_are_read_like_the_whole() -> None:
    ranking = {"items": [{"label": "a", "best": {"mean": "-Infinity"}, "newer": 1}], "direction": "sideways"}
    found: Any = answers.comparison({"ranking": ranking, "groups": [{"series": {"loss": {"curve": {"x": [1]}}}}]})
    assert found.ranking.items[0].best.mean == -math.inf
    assert found.ranking.items[0].contrast is None
    assert found.ranking.direction == "sideways"
    assert found.groups[0].series["loss"].curve.mean == []
    assert found.groups[0].runs == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("service.client", {"pydantic", "numpy", "fastapi", "sqlalchemy", "service.schemas"}),
        ("service.client.__main__", {"numpy", "fastapi", "sqlalchemy", "service.schemas"}),
    ],
)
def test_importing_the_client_loads_neither_schemas_nor_numpy(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
