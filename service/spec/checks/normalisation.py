"""Normalisations over a single value: the result is always 0, and torch may refuse it."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.experiment import Experiment
from service.spec.models.leaf import Leaf

LEAST = 2  # rows that a batch normalisation needs in every piece of a batch


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield what is wrong with the normalisations of a model that fits its rows and whose layers are known."""
    if (batch_norms := of_batches(experiment)) and (
        found := single_row(experiment, _named(experiment, batch_norms[0]))
    ):
        yield found
    for leaf in _leaves(experiment) or ():
        if leaf.together == 1 and not leaf.module.startswith("BatchNorm"):
            detail = f"{leaf.module} gets a single value to normalise, and makes it 0: wider layers, or no such norm."
            yield Problem(_pointer(experiment, leaf), "shape_mismatch", detail)
            return


def of_batches(experiment: Experiment) -> list[Leaf] | None:
    """Return the batch normalisations of a model that fits its rows; None if only its library knows them."""
    leaves = _leaves(experiment)
    return None if leaves is None else [leaf for leaf in leaves if leaf.module.startswith("BatchNorm")]


def _leaves(experiment: Experiment) -> list[Leaf] | None:
    found = experiment.model.leaves(experiment.dataset.facts.shape, experiment.outputs)
    return None if found is None else list(found)


def single_row(experiment: Experiment, named: str) -> Problem | None:
    """Return the problem of the batch normalisation `named` if some batch, or a piece of one, has a single row."""
    rows, smallest, pieces = experiment.rows_per_step, experiment.smallest_batch, experiment.accumulate
    if smallest // min(pieces, smallest) >= LEAST:
        return None
    needed = f"{named} needs at least {LEAST} rows in every"
    if rows < LEAST * pieces:
        if pieces > 1:
            return Problem("/accumulate", "contradiction", f"{needed} piece of every batch: take fewer pieces.")
        return Problem("/batch_size", "contradiction", f"{needed} batch, and a batch has 1: choose a larger one.")
    what = f"piece of every batch, and the last batch of an epoch has {smallest} for {pieces} pieces"
    what = f"batch, and the last one of an epoch has {smallest}" if pieces == 1 else what
    fix = "set /drop_last to true, or choose another batch_size" + (" or fewer pieces" if pieces > 1 else "")
    return Problem("/batch_size" if pieces == 1 else "/accumulate", "contradiction", f"{needed} {what}: {fix}.")


def _pointer(experiment: Experiment, leaf: Leaf) -> str:
    if experiment.model.kind == "sequential":
        return f"/model/layers/{leaf.name}"
    return "/model/norm" if "norm" in experiment.model.model_fields_set else "/model"


def _named(experiment: Experiment, leaf: Leaf) -> str:
    pointer = _pointer(experiment, leaf)
    return f"{pointer} batch" if pointer == "/model/norm" else f"{pointer} ({leaf.module})"
