"""Stored specs as experiments, each parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from service.db.experiments.experiments import StoredExperiment
from service.nonfinite import dumps
from service.spec.experiment import Experiment

CACHED_SPECS = 512  # about 12 kB each


@dataclass(frozen=True)
class _Document:
    """The document of an experiment, whose id stands for it: a stored spec never changes."""

    experiment_id: str
    spec: Mapping[str, Any] = field(compare=False)


def parsed_spec(stored: StoredExperiment) -> Experiment:
    """Return the spec of a stored experiment."""
    return _parse(_Document(stored.id, stored.spec))


@lru_cache(maxsize=CACHED_SPECS)
def _parse(document: _Document) -> Experiment:
    return Experiment.model_validate_json(dumps(document.spec))
