"""The most similar run that went well: on the same data, with the fewest other settings, and what these are.

What differs between a run that learned and one that did not is a candidate for the cause, and the patch from the one
to the other is an experiment that tells (a counterfactual: Wachter et al. 2017, arXiv:1711.00399).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import run_data
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.diagnosis.diagnose import Diagnosis
from service.diagnosis.finding import Operation
from service.diagnosis.progress import trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.spec.experiment import UNHASHED
from service.spec.validation_errors import escape_key

LOSSES = ("val/loss", "loss")
LOOKED_AT = 200  # newest experiments on the same data
LEFT_OUT = {*UNHASHED, "seeds", "checkpoint", "evaluate", "metrics"}  # these do not decide what a run learns


class Neighbour(NamedTuple):
    """A run of another experiment that ended lower; `patch` leads from the spec of the diagnosed run to its spec."""

    run_id: str
    experiment_id: str
    name: str
    series: str
    value: float
    own: float
    patch: tuple[Operation, ...]


class Candidate(NamedTuple):
    """An ended run on the same data with the same loss."""

    run_id: str
    experiment_id: str
    name: str
    document: Mapping[str, Any]
    value: float  # of the series that the diagnosed run is judged by


def find_neighbour(connection: Connection, principal: Principal, record: RunRecord, run: StoredRun) -> Neighbour | None:
    """Return the neighbour of a run, among those of the principal's project; None where there is none."""
    if record.final_of not in LOSSES:
        return None
    document = record.plan.document
    alike = experiments.on_the_same_data(connection, principal, run.experiment_id, document, LOOKED_AT)
    ended = run_data.siblings(connection, [each.id for each in alike])
    candidates = [
        Candidate(sibling.run_id, each.id, each.name, each.spec, sibling.final)
        for each in alike
        for sibling in ended[each.id][0]
        if ended[each.id][1] == record.final_of
    ]
    return nearest(record, candidates)


def wanted(found: Diagnosis) -> bool:
    """Whether a neighbour would help: something is wrong, or nobody knows."""
    return found.level in ("fault", "warning", "unknown")


def nearest(record: RunRecord, candidates: Iterable[Candidate]) -> Neighbour | None:
    """Return the candidate with the fewest differences among those that learned a third more; the lowest of equals."""
    curve, trivial = record.get(record.final_of), trivial_loss(record)
    if trivial is None:
        return None
    own = float(curve.values[-1]) if curve is not None and record.failure is None else math.inf
    most = limit("R29.most")
    better = [
        (len(patch), each.value, each.run_id, each, patch)
        for each in candidates
        if math.isfinite(each.value) and max(trivial.value - own, 0.0) < most * (trivial.value - each.value)
        if (patch := tuple(differences(record.plan.document, each.document)))
    ]
    if not better:
        return None
    *_, best, patch = min(better, key=lambda each: each[:3])
    return Neighbour(best.run_id, best.experiment_id, best.name, record.final_of, best.value, own, patch)


def differences(own: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterable[Operation]:
    """Yield replacements that turn the one document into the other; a part of another kind is replaced whole."""
    for name in other:
        if (not path and name in LEFT_OUT) or own.get(name) == other[name]:
            continue
        mine, theirs, place = own.get(name), other[name], f"{path}/{escape_key(name)}"
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping) and mine.get("kind") == theirs.get("kind"):
            yield from differences(mine, theirs, place)
        else:
            yield {"op": "replace" if name in own else "add", "path": place, "value": theirs}
