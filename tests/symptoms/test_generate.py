"""Generated trainings: every disease applies, both halves are apart, and what came out is judged as it should be."""

import numpy as np
import pytest

from service.diagnosis.rules.registry import RULES
from service.spec.component import Json
from service.spec.parse.experiment import parse_experiment
from tests.symptoms.diseases import DISEASES
from tests.symptoms.generated import Draw, Outcome, Truth, healthy_draws, outcomes, sick_draws
from tests.symptoms.generated_remedies import hit_rates, tried
from tests.symptoms.generated_report import figures, sections, written_between
from tests.symptoms.healthy_specs import FAMILIES, Half, healthy_document

HALVES: tuple[Half, Half] = ("fit", "test")


def test_no_dataset_model_or_seed_is_in_both_halves() -> None:
    for part in ("dataset", "model"):
        kinds = [{getattr(family, part)["kind"] for family in FAMILIES[half]} for half in HALVES]
        assert not kinds[0] & kinds[1]
    numbers = [{draw.number for draw in healthy_draws(half, 0, 20)} for half in HALVES]
    assert {healthy_document("fit", n)[1]["dataset"]["split_seed"] for n in numbers[0]} != {
        healthy_document("test", n)[1]["dataset"]["split_seed"] for n in numbers[1]
    }


@pytest.fixture(scope="module")
def drawn() -> list[Draw]:
    """Return each disease once in each half, where it applies."""
    return [each for half in HALVES for each in sick_draws(half, healthy_draws(half, 0, 40), len(DISEASES), 0)]


@pytest.mark.parametrize("name", DISEASES)
def test_a_disease_applies_somewhere_and_changes_the_spec_or_the_rows(name: str, drawn: list[Draw]) -> None:
    mine = [each for each in drawn if each.disease == name]
    assert mine
    for draw in mine:
        healthy = healthy_document(draw.half, draw.number)[1]
        sick = parse_experiment(draw.document).spec.normalised()
        assert DISEASES[name].alter is not None or sick != healthy
        assert draw.number in {each.number for each in healthy_draws(draw.half, 0, 40)}


def test_an_expert_accepts_verdicts_that_rules_can_give() -> None:
    known = {verdict for rule in RULES for verdict in rule.verdicts}
    for name, disease in DISEASES.items():
        assert disease.accept, name
        assert set(disease.accept) <= known, name


def test_a_disease_of_the_rows_is_trained_with_and_named() -> None:
    twins = healthy_draws("fit", 3, 1)
    sick = Draw("fit", twins[0].number, twins[0].family, twins[0].document, "cells not numbers", 0.9)
    healthy, broken = outcomes([*twins, sick], None, 1)
    assert (healthy.truth, healthy.right) == ("healthy", True)
    assert (broken.truth, broken.named, broken.verdicts[0]) == ("sick", True, "nonfinite:input")


@pytest.mark.parametrize(
    ("truth", "level", "verdict", "right"),
    [
        ("sick", "fault", "lr_above_stability", True),
        ("sick", "fault", "overfitting", False),
        ("sick", "info", "lr_above_stability", False),  # too mild to be noticed
        ("sick", "unknown", "", False),
        ("no effect", "healthy", "", True),
        ("no effect", "warning", "lr_above_stability", True),  # it is there, whatever it does
        ("no effect", "warning", "overfitting", False),
    ],
)
def test_right_is_to_name_what_hurts_and_to_leave_the_rest_alone(
    truth: Truth, level: str, verdict: str, right: bool
) -> None:
    assert _outcome("rate too high", truth, level, verdict).right is right


def test_the_figures_count_by_disease_strength_and_confidence() -> None:
    found = [
        _outcome("rate too high", "sick", "fault", "lr_above_stability", 0.1),
        _outcome("rate too high", "sick", "fault", "overfitting", 0.9),
        _outcome("", "healthy", "warning", "overfitting"),
        _outcome("", "healthy", "healthy", ""),
        _outcome("rate too low", "no effect", "healthy", ""),
    ]
    text = figures(found, "command")
    assert "- sick: 1 of 2 (50.0%) right; at high strength 0 of 1 (0.0%); 0 called healthy" in text
    assert "- healthy: 1 of 2 (50.0%) with a warning or fault (overfitting 1)" in text
    assert "| rate too high | 1 of 2 | 1 of 1 |  | 0 of 1 |  | overfitting 1 |" in text
    assert "| 90% to 100% | 3 | 33% |" in text


def test_a_remedy_is_trained_on_the_same_sick_rows_and_counted() -> None:
    twins = healthy_draws("fit", 3, 1)
    slow = Draw("fit", 3, twins[0].family, _slower(twins[0].document), "rate too low", 0.9)
    found = outcomes([*twins, slow], None, 1)
    (checked,) = tried(found, 5, None, 1)
    assert (checked.found.draw, checked.outcome) == (slow, "helped"), checked.why
    text = hit_rates([checked, checked._replace(outcome="did_not_help")])
    assert "1 of 2 (50.0%) lowered the loss beyond the noise; of right findings 1 of 2 (50.0%)." in text
    assert f"| {checked.found.verdicts[0]} | 2 | 1 |  | 1 |  |" in text


def _slower(document: Json) -> Json:
    return document | {"optimizer": document["optimizer"] | {"lr": 1e-3 * document["optimizer"]["lr"]}}


def test_a_section_of_the_page_is_replaced_and_the_others_stay() -> None:
    page = written_between(written_between("# Page\n\n## Other\n\nrows\n", "fit", "old"), "test", "kept")
    page = written_between(page, "fit", "new")
    assert page.count("## Generated trainings: fit") == 1
    assert "old" not in page
    assert all(word in page for word in ("rows", "kept", "new"))
    assert "Other" not in sections(page)
    assert all(word in sections(page) for word in ("kept", "new"))


def _outcome(disease: str, truth: Truth, level: str, verdict: str, strength: float = 0.5) -> Outcome:
    family, document = healthy_document("fit", 0)
    draw = Draw("fit", 0, family, document, disease, strength)
    return Outcome(draw, truth, 0.5, level, (verdict,) if verdict else (), 0.95 if verdict else 0.0, "")


def test_a_draw_is_the_same_each_time() -> None:
    twins = healthy_draws("test", 0, 16)
    first, again = (sick_draws("test", twins, 50, 3) for _ in range(2))
    assert first == again
    assert np.ptp([each.strength for each in first]) > 0.5
