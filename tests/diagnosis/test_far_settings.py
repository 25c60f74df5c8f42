"""A setting far from usual is named where a tenth of the way is missing, unless a training without it refutes that."""

from typing import Any

import pytest

from service.diagnosis.diagnose import diagnose
from service.diagnosis.finding import Finding
from service.diagnosis.rules.far_settings import far_settings
from service.diagnosis.rules.unfinished import still_falling
from service.diagnosis.run_record import RunRecord

from .drawn_runs import LN10, STEPS, beside, drawn, evaluated, flat, noise

EARLY = {"schedule": {"kind": "exponential", "gamma": 0.98}}
DECAYED = {"optimizer": {"kind": "adamw", "lr": 0.01, "weight_decay": 0.5}}
FROZEN = {"groups": [{"match": {"name": "layers.0*"}, "freeze": True}]}
NARROW = {"model": {"kind": "mlp", "hidden": [32, 3]}}
SIGMOIDS = {"model": {"kind": "mlp", "hidden": [16] * 4, "activation": "sigmoid"}}
LAYERWISE = {"layer_decay": 0.01}
ENDS_IN_RELU = {
    "model": {
        "kind": "sequential",
        "layers": [{"layer": "Flatten"}, {"layer": "Linear", "out_features": 10}, {"layer": "ReLU"}],
    }
}


def learned(share: float, spec: dict[str, Any], **more: Any) -> RunRecord:
    """A run that has come so far, and hardly moves any more."""
    loss = (1 - share) * LN10
    return drawn(flat(loss, 0.01), spec, series={"val/loss": evaluated([loss] * 10)}, **more)


@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        (EARLY, "schedule_mismatch"),
        (DECAYED, "weight_decay_too_strong"),
        (FROZEN, "setting_had_no_effect"),
        (LAYERWISE, "lr_too_small"),
        (NARROW, "pipeline_or_capacity"),
        (SIGMOIDS, "vanishing_gradient"),
        (ENDS_IN_RELU, "saturated_output"),
    ],
)
def test_it_is_named_where_a_tenth_of_the_way_is_missing(spec: dict[str, Any], verdict: str) -> None:
    found = far_settings(learned(0.85, spec))
    assert isinstance(found, Finding)
    assert (found.verdict, found.level) == (verdict, "warning")
    assert found.text.startswith("85% of the way is done, and ")
    assert diagnose(learned(0.85, spec)).findings[0].finding.verdict == verdict
    assert not isinstance(far_settings(learned(0.95, spec)), Finding)


def test_a_usual_spec_is_left_alone_however_much_is_missing() -> None:
    assert not isinstance(far_settings(learned(0.6, {})), Finding)


def test_a_run_that_continues_from_another_one_may_freeze_what_it_likes() -> None:
    assert not isinstance(far_settings(learned(0.85, FROZEN, origin=500)), Finding)


@pytest.mark.parametrize(("same", "named"), [(0.3, True), (0.69, False)])
def test_a_setting_without_which_no_more_is_reached_is_not_to_blame(same: float, named: bool) -> None:
    tried = beside(run=0.3 * LN10, same=same, other=0.69)
    assert isinstance(far_settings(learned(0.7, DECAYED, readings=tried)), Finding) == named


@pytest.mark.parametrize(("best", "level"), [(0.9, "warning"), (1.35, "info")])
def test_an_early_end_is_a_note_where_nothing_beside_it_came_much_further(best: float, level: str) -> None:
    falling = 2.3 - 1.1 * (drawn().series["loss"].steps / STEPS) + noise(0.05)
    found = still_falling(drawn(falling, readings=beside(run=1.4, same=best, other=best)))
    assert isinstance(found, Finding)
    assert (found.verdict, found.level) == ("too_few_updates", level)
    untried = still_falling(drawn(falling))
    assert isinstance(untried, Finding)
    assert untried.level == "info"
