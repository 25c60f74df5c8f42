"""What follows from a stored spec, computed once for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from service.db.experiments.experiments import StoredExperiment
from service.nonfinite import dumps
from service.spec.experiment import Experiment


@dataclass(frozen=True)
class SpecFacts:
    """What a comparison asks of a spec."""

    rows_per_epoch: int
    rows_per_step: int
    steps_per_epoch: int
    evaluation_every: int  # updates


@dataclass(frozen=True)
class _Known:
    """A spec that its hash speaks for."""

    spec_hash: str
    spec: Mapping[str, Any] = field(compare=False)


def facts(stored: StoredExperiment) -> SpecFacts:
    """Of a stored spec."""
    return _facts(_Known(stored.spec_hash, stored.spec))


@lru_cache(maxsize=4096)
def _facts(known: _Known) -> SpecFacts:
    spec = Experiment.model_validate_json(dumps(known.spec))
    return SpecFacts(spec.rows_per_epoch, spec.rows_per_step, spec.steps_per_epoch, spec.evaluation_every)
