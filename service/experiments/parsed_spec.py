"""Stored specs as experiments, each parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from service.db.experiments.experiments import StoredExperiment
from service.errors import ComponentMissing
from service.nonfinite import dumps
from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.validation_errors import problems_from

CACHED_SPECS = 512  # about 12 kB each


@dataclass(frozen=True)
class _Document:
    """The document of an experiment, whose id stands for it: a stored spec never changes."""

    experiment_id: str
    spec: Mapping[str, Any] = field(compare=False)


def parsed_spec(stored: StoredExperiment) -> Experiment:
    """Return the spec of a stored experiment; raise `ComponentMissing` if its plug-in is no longer there."""
    try:
        return _parse(_Document(stored.id, stored.spec))
    except ValidationError as error:
        problems = [problem.under("/spec") for problem in problems_from(error, Experiment)]
        named = ", ".join(dict.fromkeys(problem.pointer for problem in problems))
        raise ComponentMissing(
            f"The spec of {stored.id} uses a plug-in that this server lacks, or has in another version ({named}): ask "
            "who runs the server to install it again. Its curves are readable as before.",
            problems,
        ) from None


def normalised_spec(stored: StoredExperiment) -> Json:
    """Return the document of a stored experiment with every default filled in; as it was stored without its plug-in."""
    try:
        return parsed_spec(stored).normalised()
    except ComponentMissing:
        return dict(stored.spec)


@lru_cache(maxsize=CACHED_SPECS)
def _parse(document: _Document) -> Experiment:
    return Experiment.model_validate_json(dumps(document.spec))
