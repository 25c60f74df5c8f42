"""What is wrong or odd with an experiment although every field is right alone.

Problems refuse it; warnings go with the answer.
"""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.experiment import Experiment
from service.spec.schedules import Cosine, MultiStep, Schedule_, Warmup

MAX_PARAMETERS = 2 * 10**9
MAX_STEPS = 5 * 10**7


def problems(experiment: Experiment) -> list[Problem]:
    """Every contradiction, each with both fields named."""
    return [*_parts(experiment), *_length(experiment), *_fit(experiment), *_seeds(experiment)]


def _parts(experiment: Experiment) -> Iterator[Problem]:
    for name in ("dataset", "model", "loss", "optimizer", "schedule", "clip"):
        part = getattr(experiment, name)
        if part is not None:
            yield from (problem.under(f"/{name}") for problem in part.problems())


def _length(experiment: Experiment) -> Iterator[Problem]:
    if (experiment.steps is None) == (experiment.epochs is None):
        yield Problem("/steps", "contradiction", "give exactly one of steps and epochs.")
        return
    if experiment.total_steps > MAX_STEPS:
        yield Problem(
            "/steps" if experiment.steps else "/epochs",
            "too_long",
            f"{experiment.total_steps} updates; at most {MAX_STEPS}.",
            limit=MAX_STEPS,
        )
    schedule = experiment.schedule
    if isinstance(schedule, Warmup) and experiment.schedule_unit == "step" and schedule.steps > experiment.total_steps:
        yield Problem(
            "/schedule/steps",
            "contradiction",
            f"the warmup is longer ({schedule.steps}) than the run, whose /steps or /epochs give "
            f"{experiment.total_steps}.",
            limit=experiment.total_steps,
        )


def _fit(experiment: Experiment) -> Iterator[Problem]:
    facts, loss = experiment.dataset.facts, experiment.loss
    if facts.task not in loss.tasks:
        fitting = "cross_entropy" if facts.task == "classification" else "mse, mae or huber"
        yield Problem(
            "/loss/kind",
            "contradiction",
            f"/dataset/kind {experiment.dataset.kind} is {facts.task}, which {loss.kind} does not fit: use {fitting}.",
        )
    elif loss.binary and facts.classes != 2:
        yield Problem(
            "/loss/kind",
            "contradiction",
            f"{loss.kind} is for two classes; /dataset/kind {experiment.dataset.kind} has {facts.classes}: "
            "use cross_entropy.",
        )
    train = experiment.dataset.counts[0]
    if experiment.batch_size != "full" and experiment.batch_size > train:
        yield Problem(
            "/batch_size",
            "too_large",
            f'the training part of /dataset has {train} rows: use at most that, or "full".',
            limit=train,
        )
    shape_problems = list(experiment.model.shape_problems(facts.shape))
    yield from (problem.under("/model") for problem in shape_problems)
    if not shape_problems and experiment.parameters > MAX_PARAMETERS:
        yield Problem(
            "/model",
            "too_large",
            f"{experiment.parameters} parameters; at most {MAX_PARAMETERS}.",
            limit=MAX_PARAMETERS,
        )
    yield from _batch_norm(experiment)


def _batch_norm(experiment: Experiment) -> Iterator[Problem]:
    """Batch normalisation cannot train on a batch of one row; the last batch of an epoch counts too."""
    if getattr(experiment.model, "norm", "none") != "batch":
        return
    rest = experiment.dataset.counts[0] % experiment.rows_per_step
    if experiment.rows_per_step == 1 or rest == 1:
        yield Problem(
            "/batch_size",
            "contradiction",
            "/model/norm batch needs at least 2 rows in every batch; here the "
            + ("batch" if experiment.rows_per_step == 1 else "last batch of an epoch")
            + " has 1: choose another batch_size.",
        )


def _seeds(experiment: Experiment) -> Iterator[Problem]:
    if len(set(experiment.seeds)) < len(experiment.seeds):
        yield Problem("/seeds", "repeated", "each seed once: the same seed gives the same run.")


def warnings(experiment: Experiment) -> list[Problem]:
    """What is allowed and probably not meant."""
    return [*_late(experiment), *_schedule(experiment.schedule, experiment.total_steps, experiment)]


def _late(experiment: Experiment) -> Iterator[Problem]:
    every = experiment.evaluate.every_steps
    if every is not None and every > experiment.total_steps:
        yield Problem(
            "/evaluate/every_steps",
            "never_due",
            "longer than the run: validation is measured at the last step only.",
        )
    if experiment.dataset.validation == 0:
        yield Problem(
            "/dataset/validation",
            "no_validation",
            "without a validation part nothing tells overfitting apart.",
        )


def _schedule(schedule: Schedule_, total: int, experiment: Experiment) -> Iterator[Problem]:
    if experiment.schedule_unit == "epoch":
        total = -(-total // experiment.steps_per_epoch)
    if isinstance(schedule, Warmup):
        total, schedule = total - schedule.steps, schedule.after
    if isinstance(schedule, Cosine) and schedule.T_max is not None and schedule.T_max < total:
        yield Problem("/schedule/T_max", "rises_again", f"past T_max the rate rises again; the run is {total} long.")
    if isinstance(schedule, Cosine) and schedule.eta_min > experiment.optimizer.lr:
        yield Problem(
            "/schedule/eta_min", "rises", "eta_min is above /optimizer/lr: the rate rises instead of falling."
        )
    if isinstance(schedule, MultiStep) and schedule.milestones[0] >= total:
        yield Problem(
            "/schedule/milestones",
            "never_due",
            f"every milestone lies beyond the run, which is {total} long.",
        )
