"""What keeps a loss at that of a constant prediction: a cause that the record shows comes before a possibility."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.diagnosis.rules.trivial_causes import cause_of_trivial_loss
from service.diagnosis.run_record import RunRecord
from tests.diagnosis.drawn_runs import AT, LN10, drawn, flat

STUCK = flat(LN10, 0.005)
NORMS = {"grad_norm": flat(0.1), "grad_norm/layers.0": flat(0.1), "grad_norm/layers.2": flat(0.1)}


def stuck(loss: Any = STUCK, spec: dict[str, Any] | None = None, **series: Any) -> RunRecord:
    return drawn(loss, spec, series=NORMS | series)


LINEAR = {"model": {"kind": "linear"}}
ELMAN = {"dataset": {"kind": "mnist1d"}, "model": {"kind": "rnn", "hidden": 16}}
GATED = {"dataset": {"kind": "mnist1d"}, "model": {"kind": "gru", "hidden": 16}}
DECAY = {"optimizer": {"kind": "sgd", "lr": 0.1, "weight_decay": 0.5}}
USUAL_DECAY = {"optimizer": {"kind": "adamw", "lr": 1e-3, "weight_decay": 0.1}}
THROWN = {"update_ratio": np.where(AT < 5, 2.0, 0.005)}
JUMPED = np.where((AT > 1) & (AT < 8), 8.0, STUCK)
FALLING = LN10 - 3e-5 * AT + flat(0.0, 0.02)


@pytest.mark.parametrize(
    ("verdict", "record"),
    [
        ("weight_decay_too_strong", lambda: stuck(spec=DECAY)),
        ("labels_unrelated", lambda: stuck(spec=USUAL_DECAY)),
        ("lr_above_stability", lambda: stuck(JUMPED, **THROWN)),
        ("labels_unrelated", lambda: stuck(**THROWN)),  # the loss did not rise
        ("lr_too_small", lambda: stuck(FALLING, update_ratio=flat(3e-4))),
        ("labels_unrelated", lambda: stuck(FALLING, update_ratio=flat(5e-3))),
        ("labels_unrelated", lambda: stuck(update_ratio=flat(3e-4))),  # does not fall
        ("pipeline_or_capacity", lambda: stuck(spec=LINEAR)),
        ("vanishing_gradient", lambda: stuck(spec=ELMAN)),
        ("labels_unrelated", lambda: stuck(spec=GATED)),
    ],
)
def test_the_cause_that_the_record_shows_is_named(verdict: str, record: Callable[[], RunRecord]) -> None:
    found = cause_of_trivial_loss(record())
    assert found.verdict == verdict
    assert found.shown == (verdict != "labels_unrelated")
