"""The model card: what it says of several seeds."""

import math
from typing import Any

import pytest
import scipy

from service.export.model.card import CardFacts, model_card
from tests.diagnosis.drawn_runs import spec_of

VALUES = [0.3, 0.5, 0.4, 0.7, 0.6]


@pytest.mark.parametrize(("dataset", "overlap"), [({"kind": "digits"}, 0.0), ({"kind": "digits", "folds": 5}, 0.25)])
def test_the_interval_over_folds_counts_their_overlap(dataset: Any, overlap: float) -> None:
    spec = spec_of(dataset=dataset)
    told = {"run_id": "run_0", "seed": 0, "state": "succeeded", "step": 9, "trained_s": 1.0, "experiment": "x"}
    rest = {"notes": "", "spec": spec.normalised(), "spec_hash": spec.hash, "rows": (1, 1, 1), "parameters": 1}
    measured = {"results": {"val/loss": 0.3}, "seeds": {"val/loss": VALUES}, "overlap": overlap}
    card = model_card(CardFacts(**told, **rest, **measured, environment={}, diagnosis=["clear"]))
    half = scipy.stats.t.ppf(0.975, 4) * math.sqrt(0.025 * (1 / 5 + overlap))  # 0.025: the variance of the values
    assert f"| {0.5 - half:.4g} to {0.5 + half:.4g} | 5 | 0 |" in card
