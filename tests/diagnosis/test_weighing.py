"""The model of evidence: what stands, what it explains, and what is told as a tie; and the table of causes."""

from collections.abc import Sequence

from service.diagnosis.causes import APART, CAUSES
from service.diagnosis.diagnose import diagnose
from service.diagnosis.finding import Finding, Level, Outcome, Rule
from service.diagnosis.rules.registry import RULES
from service.diagnosis.run_record import RunRecord
from service.diagnosis.text import readable
from service.diagnosis.weighing import AGREES, EXPLAINS, NEARER, Weighed, log_odds, support, weigh

from .drawn_runs import drawn

VERDICTS = {verdict for rule in RULES for verdict in rule.verdicts}


def found(verdict: str, confidence: float = 0.8, rank: int = 0, level: Level = "fault", **more: bool) -> Finding:
    return Finding(level, verdict, f"{verdict}.", confidence, (1, 9), (), rank=rank, **more)  # type: ignore[arg-type]


def weighed(**outcomes: Outcome) -> Weighed:
    return weigh([rule for rule in RULES if rule.id in outcomes], outcomes)


def test_the_table_of_causes_names_verdicts_and_rules_that_there_are() -> None:
    known = VERDICTS | {rule.id for rule in RULES}
    assert set(CAUSES) <= VERDICTS
    assert {effect for each in CAUSES.values() for effect in each.explains} <= known
    assert {verdict for pair in APART for verdict in pair} <= VERDICTS


def test_support_is_a_sum_of_log_odds() -> None:
    assert support(found("dead", 0.5)) == 0
    assert support(found("dead", 0.9, rank=-1)) == log_odds(0.9) + NEARER
    assert log_odds(0.9) == -log_odds(1 - 0.9)


def test_a_cause_takes_away_what_it_explains_though_its_effect_is_surer() -> None:
    told = weighed(R6=found("lr_above_stability", 0.7), R7=found("bouncing_not_critical", 0.85))
    assert (told.standing, told.explained) == (["R6"], {"R7": "R6"})
    assert log_odds(0.85) - log_odds(0.7) < EXPLAINS


def test_a_cause_that_is_not_strong_explains_nothing() -> None:
    told = weighed(R6=found("lr_above_stability", 0.7, strong=False), R7=found("bouncing_not_critical", 0.85))
    assert (told.standing, told.explained) == (["R7", "R6"], {})


def test_what_is_certain_from_the_data_outweighs_any_confidence() -> None:
    told = weighed(R15=found("ill_conditioned_inputs", 0.5, rank=-2), R6=found("lr_above_stability", 0.95))
    assert told.explained == {"R6": "R15"}


def test_an_effect_may_be_named_by_its_verdict() -> None:
    bad = found("bad_init_or_scale", 0.9, rank=-1)
    assert weighed(R1=found("nonfinite:overflow", 0.9), R2=bad).explained == {"R1": "R2"}
    assert weighed(R1=found("nonfinite:amp", 0.9), R2=bad).explained == {}, "half precision overflows by itself"


def test_what_was_trained_beside_the_run_replaces_a_guess_and_supports_its_own_kind() -> None:
    tried = found("optimizer_settings", 0.7, rank=1)
    guess = found("labels_unrelated", 0.5, rank=2, strong=False, guess=True)
    assert weighed(R3=guess, R29=tried).explained == {"R3": "R29"}
    slow = found("lr_too_small", 0.8, rank=1)
    told = weighed(R9=slow, R29=tried)
    assert told.explained == {"R29": "R9"}
    assert abs(log_odds(told.finding("R9").confidence) - log_odds(0.8) - AGREES) < 0.1


def test_a_tie_is_told_with_the_experiment_that_separates_the_two() -> None:
    def rule(name: str, outcome: Finding) -> Rule:
        return Rule(name, name, (outcome.verdict,), lambda record: outcome, "")

    def diagnosed(rules: Sequence[Rule], record: RunRecord) -> str:
        return readable(diagnose(record, rules))

    tied = [rule("R9", found("lr_too_small", 0.8)), rule("R33", found("too_few_updates", 0.75))]
    text = diagnosed(tied, drawn())
    assert "Or too few updates. To tell them apart: use three times the rate" in text.replace("\n", " ")
    apart = [rule("R9", found("lr_too_small", 0.95)), rule("R33", found("too_few_updates", 0.6))]
    assert "To tell them apart" not in diagnosed(apart, drawn())
