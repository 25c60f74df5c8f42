"""The spec of a fork: its parent's with some changes, and what must stay the same to continue from a checkpoint."""

from collections.abc import Callable, Iterator

from service.errors import Invalid, Problem
from service.spec.component import Json, under
from service.spec.experiment import Experiment
from service.spec.parse.experiment import ParsedExperiment, parse_experiment, resolve_nothing

CHANGES = "/changes"
MAX_NAME_LENGTH = 128


def fork_spec(
    parent: Experiment,
    seed: int,
    step: int,
    changes: Json,
    name: str | None = None,
    resolve: Callable[[Experiment], Experiment] = resolve_nothing,
    loads: bool = False,
) -> ParsedExperiment:
    """Return the parent's spec with `changes` merged over it, for one run from `step`; `Invalid` points into `changes`.

    `loads`: the fork loads weights from a checkpoint, as it always does beyond step 0 and may do at step 0.
    """
    try:
        made = parse_experiment(_named(parent, step, changes, name), resolve, _base(parent, seed))
    except Invalid as error:
        raise Invalid.of(list(under(CHANGES, error.problems))) from None
    found = list(fork_problems(parent, made.spec, step, loads or step > 0))
    if found:
        raise Invalid.of(list(under(CHANGES, found)))
    return made


def _base(parent: Experiment, seed: int) -> Json:
    """Return the document that changes are merged over: one seed, without what only the server writes."""
    base = parent.normalised() | {"seeds": [seed]}
    del base["restarts"]
    for part in (base["dataset"], base["start"] or {}):
        part.pop("resolved", None)
    return base


def _named(parent: Experiment, step: int, changes: Json, name: str | None) -> Json:
    if name is None and "name" in changes:
        return changes
    return changes | {"name": name or with_suffix(parent.name, f", forked at {step}")}


def with_suffix(name: str, ending: str) -> str:
    """Return `name` with `ending`, shortening the name if both would be too long."""
    return name[: MAX_NAME_LENGTH - len(ending)] + ending


def fork_problems(parent: Experiment, spec: Experiment, step: int, loads: bool) -> Iterator[Problem]:
    """Yield what keeps a spec from continuing from its parent's state at `step`."""
    if len(spec.seeds) != 1:
        yield Problem("/seeds", "too_many", f"a fork is one run; these are {len(spec.seeds)} seeds: give one.", 1)
    if not loads:
        return
    if spec.total_steps <= step:
        pointer = "/steps" if spec.steps is not None else "/epochs"
        detail = f"the fork starts at step {step} and would end at {spec.total_steps}: it must go beyond {step} steps."
        yield Problem(pointer, "too_short", detail, step)
    weights = "its weights are loaded from the checkpoint; fork from step 0 to change it"
    if spec.model != parent.model:
        yield Problem("/model", "contradiction", f"a fork keeps its parent's model: {weights}.")
    elif spec.outputs != parent.outputs or spec.dataset.facts.shape != parent.dataset.facts.shape:
        yield Problem("/dataset", "contradiction", f"it does not fit the parent's model: {weights}.")
