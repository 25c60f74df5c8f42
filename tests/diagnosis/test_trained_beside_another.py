"""What was trained beside another run of the pack is said, with its seed where that differs."""

from typing import Any

import pytest

from service.analysis.run_data import Reading
from service.diagnosis.finding import Finding, NoFinding
from service.diagnosis.rules.learnability import less_than_possible

from .drawn_runs import beside, drawn

OTHER_SEED = {"run": "r7", "seed": 7}


def judged(how: dict[str, Any], taken_over: dict[str, Any]) -> Any:
    (reading,) = beside(**how)
    data = {**reading.data, "measured_beside": taken_over, "trained_steps": 0, "seconds": 0.0}
    return less_than_possible(drawn(readings=[Reading(reading.id, reading.step, reading.kind, data)]))


def cost(found: Finding) -> Any:
    return next(each.value for each in found.evidence if each.name == "cost")


def test_weights_of_another_seed_are_named_in_the_text_and_cost_nothing() -> None:
    found = judged({"same": 0.3}, {"same": OTHER_SEED, "other": {"run": "r2", "seed": 2}})
    assert isinstance(found, Finding)
    assert found.text.endswith("this run's own first weights were not tried.")
    assert "seed 7, beside run r7" in found.text
    others = "the other trainings were made beside runs r7 and r2 of its pack"
    assert cost(found) == f"0 updates beside the run, in 0.0 s; {others}"


def test_equal_weights_are_said_in_the_evidence_alone() -> None:
    found = judged({"same": 0.3}, {"same": {"run": "r2"}, "other": {"run": "r2"}})
    assert isinstance(found, Finding)
    assert "seed" not in found.text
    told = "0 updates beside the run, in 0.0 s; the other trainings were made beside run r2 of its pack"
    assert cost(found) == told


@pytest.mark.parametrize("taken_over", [{}, {"other": OTHER_SEED}], ids=str)
def test_a_run_s_own_weights_need_no_word(taken_over: dict[str, Any]) -> None:
    assert "seed" not in judged({"same": 0.3}, taken_over).text


def test_a_healthy_run_says_it_too() -> None:
    found = judged({"run": 0.5, "same": 0.5}, {"same": OTHER_SEED})
    assert isinstance(found, NoFinding)
    assert "seed 7" in found.why
