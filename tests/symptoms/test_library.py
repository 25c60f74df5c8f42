"""The library's documents are sound, and what came out is counted as it should be."""

from collections import Counter
from typing import get_args

import pytest

from service.diagnosis.rules.registry import RULES
from service.spec.checks.experiment import find_problems
from service.symptoms.library import Expectation, Verdict, symptoms, unknown_symptoms
from service.symptoms.score import Result, Verified, confusion_table, summarise
from tests.symptoms.report import hit_rates


@pytest.mark.parametrize("name", symptoms())
def test_a_symptom_is_a_short_training_on_data_that_are_here(name: str) -> None:
    symptom = symptoms()[name]
    spec = symptom.experiment(name)
    assert find_problems(spec) == []
    assert spec.name == name
    assert "symptom" in spec.tags
    assert spec.total_steps <= 800
    assert not spec.dataset.stored
    assert symptom.about.endswith(".")


@pytest.mark.parametrize("name", symptoms())
def test_what_is_expected_is_said_in_the_words_of_the_rules(name: str) -> None:
    expect = symptoms()[name].expect
    assert set(expect.verdicts) <= {verdict for rule in RULES for verdict in rule.verdicts}
    assert bool(expect.verdicts) or expect.level == "healthy"
    assert not (expect.healthy and expect.helps)


def test_the_words_are_those_of_the_rules() -> None:
    assert set(get_args(Verdict)) == {verdict for rule in RULES for verdict in rule.verdicts}


def test_there_are_enough_of_both_and_each_goes_by_what_it_is() -> None:
    levels = Counter(symptom.expect.level for symptom in symptoms().values())
    assert levels["fault"] + levels["warning"] >= 25
    assert levels["healthy"] >= 15
    assert all(s.expect.healthy for name, s in symptoms().items() if name.startswith("healthy"))
    assert unknown_symptoms(["zero-init", "zero-in"]) == ["zero-in"]


FAULT = Expectation(level="fault", verdicts=("dead", "dying_relu"))
HEALTHY = Expectation(level="healthy")
EDGE = Expectation(level="info", verdicts=("edge_of_stability",))


@pytest.mark.parametrize(
    ("expect", "level", "verdicts", "right"),
    [
        (FAULT, "fault", ["dying_relu", "overfitting"], True),
        (FAULT, "fault", ["overfitting", "dead"], False),  # the first is what a person reads
        (FAULT, "warning", ["dead"], False),
        (FAULT, "unknown", [], False),
        (Expectation(level="warning", verdicts=("overfitting",)), "fault", ["overfitting"], True),
        (HEALTHY, "healthy", [], True),
        (HEALTHY, "info", ["edge_of_stability"], True),
        (HEALTHY, "unknown", [], False),
        (HEALTHY, "warning", ["overfitting"], False),
        (EDGE, "info", ["wasteful_batch", "edge_of_stability"], True),
        (EDGE, "healthy", [], False),
    ],
)
def test_right_is_what_a_reader_would_call_right(
    expect: Expectation, level: str, verdicts: list[str], right: bool
) -> None:
    assert expect.right(level, verdicts) is right


def test_the_figures_count_right_ones_false_alarms_and_remedies() -> None:
    def result(expect: Expectation, level: str, *verdicts: str, seed: int = 0) -> Result:
        findings = [{"id": "R13", "level": level, "verdict": verdict, "patch": [{}]} for verdict in verdicts]
        return Result.of("one", expect, seed, level, findings)

    dead, taken, alarm = (
        result(FAULT, "fault", "dead"),
        result(FAULT, "fault", "flat"),
        result(HEALTHY, "fault", "flat"),
    )
    runs = [dead, taken, alarm, result(HEALTHY, "healthy"), result(HEALTHY, "warning", "overfitting")]
    checked = [Verified(dead, "helped"), Verified(taken, "did_not_help"), Verified(alarm, "helped")]
    found = summarise(runs, checked)
    assert (found.broken, found.right, found.healthy, found.false_faults, found.false_warnings) == (2, 1, 3, 1, 1)
    assert (found.share_right, found.share_helped) == (0.5, 2 / 3)
    assert hit_rates(checked)[1:] == [
        ["dead", "1", "1", "0", "0", "0", "100%"],
        ["flat", "2", "1", "0", "1", "0", "50%"],
    ]
    assert [each.mark[0] for each in runs] == ["right", "wrong", "false alarm", "right", "false alarm"]
    assert confusion_table(runs)[1:] == [["dead", "1", "2", "flat 1"], ["nothing", "1", "3", "flat 1, overfitting 1"]]
    assert [each.finding for each in runs] == ["R13", "R13", "R13", None, None]
