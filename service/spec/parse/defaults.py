"""Defaults that fit the rest of a document: an omitted field never causes a refusal, and a note says its value."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

from service.errors import Problem
from service.spec.checks import normalisation
from service.spec.component import Default, Part
from service.spec.experiment import Experiment
from service.spec.layout import Parameter

USUAL_BATCH = 32  # rows
P = TypeVar("P", bound=Part)


def fill_defaults(spec: Experiment) -> tuple[Experiment, list[Problem]]:
    """Return the spec with every unfitting default replaced, and a note about each."""
    notes: list[Problem] = []
    dataset = _fitted(spec.dataset, lambda part: part.inferred_defaults(spec.loss.count_data), "/dataset", notes)
    facts = dataset.facts
    model = _fitted(
        spec.model,
        lambda part: chain(
            part.inferred_defaults(facts.shape, facts.task, facts.vocabulary), part.code_defaults(facts.coded)
        ),
        "/model",
        notes,
    )
    schedule = _fitted(spec.schedule, lambda part: part.inferred_defaults(), "/schedule", notes)
    spec = spec.model_copy(update={"dataset": dataset, "model": model, "schedule": schedule})
    if not dataset.validated and spec.stop and spec.stop.patience:
        patience = _fitted(spec.stop.patience, _training_loss, "/stop/patience", notes)
        spec = spec.model_copy(update={"stop": spec.stop.model_copy(update={"patience": patience})})
    return _fitted(spec, _batch_size, "", notes), notes


def filled_layout(spec: Experiment) -> tuple[Parameter, ...] | None:
    """Return the model's parameters, once its defaults follow from the dataset; None if only the worker knows them."""
    filled, _ = fill_defaults(spec)
    return None if filled.model_problems() else filled.layout


def _fitted(part: P, inferred: Callable[[P], Iterator[Default]], pointer: str, notes: list[Problem]) -> P:
    """Return `part` with its defaults replaced one at a time, because one may decide which value fits another."""
    while True:
        needed = (
            each
            for each in inferred(part)
            if (each.field not in part.model_fields_set or getattr(part, each.field) is None)
            and getattr(part, each.field) != each.value
        )
        if (default := next(needed, None)) is None:
            return part
        part = part.model_copy(update={default.field: default.value})
        notes.append(Problem(f"{pointer}/{default.field}", "filled", default.why))


def _training_loss(_: Part) -> Iterator[Default]:
    yield Default("series", "loss", "loss: /dataset/validation is 0.")


def _batch_size(spec: Experiment) -> Iterator[Default]:
    """Yield a batch size where 32 does not fit: all rows, enough for `accumulate`, or one without a tiny last batch."""
    train = spec.dataset.counts[0]
    normalises = not spec.model_problems() and normalisation.of_batches(spec) != []  # a library's model may
    least = spec.accumulate * (normalisation.LEAST if normalises else 1)
    wanted = max(USUAL_BATCH, least)
    sizes = range(wanted, least - 1, -1) if wanted <= train else ()
    for rows in sizes:
        if not normalises or spec.model_copy(update={"batch_size": rows}).smallest_batch >= least:
            cut = f"the {spec.accumulate} pieces of /accumulate need as many"
            why = (
                cut
                if rows > USUAL_BATCH
                else f"with {USUAL_BATCH}, the last batch of an epoch is too small to be normalised"
            )
            yield Default("batch_size", rows, f"{rows}: {why}.")
            return
    if spec.dataset.draws_rows:
        yield Default("batch_size", train, f"{train}: the training part of /dataset has no more windows side by side.")
        return
    yield Default("batch_size", "full", f'"full": the training part of /dataset has {train} row{"s"[: train != 1]}.')
