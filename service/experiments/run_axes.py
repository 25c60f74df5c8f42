"""The axes of runs other than the step, as values at a few steps between which they are straight."""

from collections.abc import Sequence

from service.analysis import axes
from service.analysis.arrays import Steps, Values
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.experiments.experiments import StoredExperiment
from service.db.runs import run_timing, runs
from service.db.runs.run_timing import RunTiming
from service.db.session import Connection
from service.errors import ComponentMissing
from service.experiments.parsed_spec import parsed_spec
from service.schemas.series import AxisView, RunAxes, SeriesAxes


def axis_values(axis: str, steps: Steps, experiment: StoredExperiment, timing: RunTiming | None) -> Values:
    """Return the values of a straight axis at `steps`; raise `ComponentMissing` where the spec cannot be read."""
    if axis == "epoch":
        return axes.epochs(steps, parsed_spec(experiment).steps_per_epoch)
    if axis == "samples":
        spec = parsed_spec(experiment)
        return axes.samples(steps, spec.rows_per_step, spec.rows_per_epoch)
    if axis in ("wall_s", "device_s"):
        return axes.seconds(steps, [] if timing is None else timing.wall if axis == "wall_s" else timing.device)
    return steps.astype("float64")


def read_axes(connection: Connection, principal: Principal, run_ids: Sequence[str]) -> SeriesAxes:
    """Return the axes of these runs; raise `NotFound` if the principal cannot read one."""
    found = runs.get_many(connection, principal, run_ids)
    owners = list(dict.fromkeys(run.experiment_id for run in found))
    stored = {each.id: each for each in experiments.get_many(connection, principal, owners)}
    timings = run_timing.read(connection, run_ids)
    return SeriesAxes(items=[_axes(run.id, stored[run.experiment_id], timings.get(run.id)) for run in found])


def _axes(run_id: str, experiment: StoredExperiment, timing: RunTiming | None) -> RunAxes:
    started = timing if timing is not None and timing.wall else None
    clocks = {
        "wall_s": started and _view(*axes.known_seconds(started.wall)),
        "device_s": started and _view(*axes.known_seconds(started.device)),
    }
    try:
        spec = parsed_spec(experiment)
    except ComponentMissing:  # then only the clocks are known
        return RunAxes(run_id=run_id, epoch=None, samples=None, **clocks)
    ends = [0, spec.steps_per_epoch]
    return RunAxes(run_id=run_id, epoch=_view(ends, [0, 1]), samples=_view(ends, [0, spec.rows_per_epoch]), **clocks)


def _view(steps: list[int], values: Sequence[float]) -> AxisView:
    return AxisView(steps=steps, values=list(values))
