"""What follows from a stored spec, computed once for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from service.nonfinite import dumps
from service.spec.experiment import Experiment


@dataclass(frozen=True)
class SpecFacts:
    """What a comparison asks of a spec."""

    train_rows: int
    rows_per_step: int
    steps_per_epoch: int
    evaluation_every: int  # updates


def facts(spec: Mapping[str, Any]) -> SpecFacts:
    """Of a stored spec."""
    return _facts(dumps(spec))


@lru_cache(maxsize=4096)
def _facts(text: str) -> SpecFacts:
    spec = Experiment.model_validate_json(text)
    return SpecFacts(spec.dataset.counts[0], spec.rows_per_step, spec.steps_per_epoch, spec.evaluation_every)
