"""The specs of the runs without and with a remedy."""

import copy
from collections.abc import Sequence

from service.errors import Conflict, Invalid
from service.experiments.context import Context
from service.experiments.variants import renamed
from service.schemas.common import Json
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.json_patch import apply_patch


def apply_remedy(context: Context, spec: Experiment, patch: Sequence[Json]) -> Experiment:
    """Return the patched spec, checked like a posted one; raise `Conflict` where it is refused."""
    try:
        document = copy.deepcopy(apply_patch(spec.normalised(), patch))
        del document["restarts"]
        document["dataset"].pop("resolved", None)
        return parse_experiment(document, context.resolve).spec
    except Invalid as error:
        where = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in error.problems)
        raise Conflict(f"The remedy no longer fits the spec: {where}") from None


def extend_past(spec: Experiment, step: int) -> Experiment:
    """Return the spec, with as many steps again after `step` where less than half of the run is left."""
    total = spec.total_steps
    return spec if total - step >= total / 2 else spec.model_copy(update={"steps": step + total, "epochs": None})


def name_side(spec: Experiment, finding: Json, side: str) -> Experiment:
    """Return the spec with `side` ("with" or "without") and the finding in its name."""
    return renamed(spec, f", {side} the remedy of {finding['id']}")
