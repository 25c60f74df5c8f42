"""Presets of studies: each makes a study of any base that parses, and says what it asks."""

import pytest

from service.errors import Invalid
from service.spec.parse.presets import expand_preset
from service.spec.studies.parse import parse_study
from service.spec.studies.space import combinations
from service.studies import suggest
from service.studies.presets import PRESETS, study_document


@pytest.mark.parametrize("base", ["digits-adam", "sgd-scheduled", "fit-abs-4"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_study_of_any_base(name: str, base: str) -> None:
    parsed = parse_study(study_document(name, expand_preset(base)))
    assert parsed.study.name == name
    assert suggest.ask(parsed.study, [], 0) is not None
    assert not [warning for warning in parsed.warnings if warning.code in ("linear_scale", "untuned_rate")]


def test_duels_give_each_side_the_same_number_of_trials() -> None:
    for name in ("sgd-against-adam", "schedules"):
        study = parse_study(study_document(name, expand_preset("digits-adam"))).study
        sides = len(combinations(study.space))
        assert sides > 1
        assert study.budget.trials is not None
        assert study.budget.trials % sides == 0


def test_an_unknown_preset_is_told_with_the_nearest_name() -> None:
    with pytest.raises(Invalid) as caught:
        study_document("tune-rl", {})
    assert caught.value.problems[0].did_you_mean == "tune-lr"
