"""The metrics beside loss and accuracy, in files by task, and their union."""

from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from service.spec.losses.base import Task
from service.spec.metrics import classification, regression
from service.spec.metrics.base import Direction, MetricBase
from service.spec.plugins import family_union

if TYPE_CHECKING:
    Metric = MetricBase
else:
    Metric = family_union("metric", MetricBase, classification, regression)

Metrics = Annotated[tuple[Metric, ...], Field(max_length=50)]
_MEMBERS: dict[str, type[MetricBase]] = {
    member.model_fields["kind"].default: member for member in get_args(get_args(Metric)[0])
}


def fitting_metrics(task: Task) -> list[str]:
    """Return the kinds of metrics that fit a task."""
    return [kind for kind, member in _MEMBERS.items() if task in member.tasks]


def metric_direction(name: str) -> Direction | None:
    """Return the better direction of a metric by the name of a series without its part; None: it is no metric's."""
    found = [kind for kind in _MEMBERS if name == kind or name.startswith((f"{kind}_", f"{kind}/"))]
    return _MEMBERS[max(found, key=len)].direction if found else None


__all__ = ["Direction", "Metric", "MetricBase", "Metrics", "fitting_metrics", "metric_direction"]
