"""Checks of metrics, and of fields that name a series: which series the evaluations of an experiment record."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.component import under
from service.spec.experiment import Experiment
from service.spec.losses import CLASS_TASKS
from service.spec.metrics import fitting_metrics
from service.spec.validation_errors import closest


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield metrics that do not fit the task, or that record the series of another."""
    facts = experiment.dataset.facts
    if experiment.predictions and facts.task in ("language", "objective"):
        detail = f"predictions are of classes or values, and /dataset is {facts.task}: set this to false."
        yield Problem("/predictions", "contradiction", detail)
    elif experiment.predictions and not experiment.dataset.validated:
        yield Problem("/predictions", "contradiction", "/dataset/validation is 0, and must be above it.")
    classes, seen = facts.answers, set[str]()
    for at, metric in enumerate(experiment.metrics):
        pointer = f"/metrics/{at}"
        if facts.task not in metric.tasks:
            fitting = fitting_metrics(facts.task)
            fix = f"use {', '.join(fitting)}" if fitting else "leave metrics out"
            detail = f"/dataset/kind {experiment.dataset.kind} is a {facts.task} task, which {metric.kind} does not fit"
            yield Problem(f"{pointer}/kind", "contradiction", f"{detail}: {fix}.", limit=fitting)
            continue
        yield from under(pointer, [*metric.problems(), *metric.class_problems(classes)])
        names = metric.names(classes)
        if repeated := sorted(seen.intersection(names)):
            yield Problem(pointer, "repeated", f"an earlier metric records {repeated[0]} already: each once.")
        seen.update(names)


def measured_series(experiment: Experiment) -> tuple[str, ...]:
    """Return the series that every evaluation records: of the validation part, also of averaged weights, and train/."""
    facts = experiment.dataset.facts
    if facts.task == "objective":
        return ("train/loss",) if experiment.evaluate.train else ()
    accuracy = ("accuracy",) if facts.task in (*CLASS_TASKS, "language") else ()
    fitting = (metric for metric in experiment.metrics if facts.task in metric.tasks)
    own = (name for metric in fitting for name in metric.names(facts.answers))
    names = ["loss", *accuracy, *own]
    held_out = [f"val/{name}" for name in names if experiment.dataset.validated]
    if experiment.dataset.bytes_known and experiment.loss.in_nats and experiment.dataset.validated:
        held_out.append("val/bits_per_byte")
    averaged = [f"average/{name}" for name in held_out if experiment.average is not None]
    return (*held_out, *averaged, *(f"train/{name}" for name in names if experiment.evaluate.train))


def series_problems(experiment: Experiment, pointer: str, series: str, loss: bool = False) -> Iterator[Problem]:
    """Yield why a watched series is never measured; `loss`: the training loss may be watched too."""
    measured = ["loss"] * loss + list(measured_series(experiment))
    if series in measured:
        return
    if series.startswith("train/") and not experiment.evaluate.train:
        detail = "it is never measured: set /evaluate/train to true."
    elif experiment.dataset.facts.task == "objective":
        detail = "it is never measured: an objective has no validation part; /evaluate/train measures train/loss."
    elif not experiment.dataset.validated:
        detail = "it is never measured: /dataset/validation is 0, and must be above it."
    elif series.startswith("average/") and experiment.average is None:
        detail = "it is never measured: /average is null."
    else:
        kind, task = experiment.dataset.kind, experiment.dataset.facts.task
        detail = f"it is not measured, of /dataset/kind {kind} ({task}): use {', '.join(measured)}, or add to /metrics."
    yield Problem(pointer, "contradiction", detail, measured, closest(series, measured))
