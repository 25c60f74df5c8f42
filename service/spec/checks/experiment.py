"""Checks of a whole experiment whose fields are each valid: problems refuse it, warnings do not."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.checks import initialisation, metrics, normalisation, parameter_groups, training
from service.spec.component import under
from service.spec.experiment import Experiment
from service.spec.schedules import plateau_of
from service.spec.text import BLANK_NAME, is_visible

MAX_PARAMETERS = 2 * 10**9
MAX_STEPS = 5 * 10**7
REFUSED = {"rises"}  # warnings of a schedule that refuse the spec
SUITABLE_LOSSES = {
    "regression": "mse, mae or huber",
    "objective": "objective",
    "distribution": "kl_div or cross_entropy",
}
SUITABLE_LOSSES |= dict.fromkeys(("classification", "language"), "cross_entropy")


MIXABLE = ("cross_entropy", "kl_div")  # losses of class probabilities


def find_problems(experiment: Experiment) -> list[Problem]:
    """Return every contradiction, naming both fields."""
    return [
        *_names(experiment),
        *_parts(experiment),
        *_length(experiment),
        *_schedule(experiment),
        *_data_and_model(experiment),
        *_drawn_rows(experiment),
        *_augmentation(experiment),
        *metrics.problems(experiment),
        *_seeds(experiment),
        *training.problems(experiment),
    ]


def _names(experiment: Experiment) -> Iterator[Problem]:
    """Yield names of blanks, which the model itself accepts so that stored experiments stay readable."""
    named = {"/name": experiment.name} | {f"/tags/{at}": tag for at, tag in enumerate(experiment.tags)}
    for pointer, name in named.items():
        if not is_visible(name):
            yield Problem(pointer, "blank", f"{BLANK_NAME}.")


def _parts(experiment: Experiment) -> Iterator[Problem]:
    for name in ("dataset", "model", "start", "loss", "optimizer", "schedule", "clip", "stop"):
        part = getattr(experiment, name)
        if part is not None:
            yield from under(f"/{name}", part.problems())


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
    yield from under("/schedule", experiment.schedule.run_problems(experiment.schedule_total))


def _schedule(experiment: Experiment) -> Iterator[Problem]:
    """Yield what the schedule needs of the optimizer and the evaluations, and does not get."""
    schedule, optimizer = experiment.schedule, experiment.optimizer
    odd = schedule.warnings(optimizer.lr, experiment.schedule_total)
    yield from under("/schedule", (problem for problem in odd if problem.code in REFUSED))
    if schedule.momentum_pointer and optimizer.own_momentum is None:
        detail = f"/optimizer/kind {optimizer.kind} has neither momentum nor betas to cycle: set this to false."
        yield Problem(f"/schedule{schedule.momentum_pointer}", "contradiction", detail)
    if not schedule.watched_series:
        return
    pointer = f"/schedule{schedule.watched_pointer}"
    if experiment.dataset.facts.task == "objective":
        detail = "it listens to a validation part, and an objective has none: choose another schedule."
        yield Problem(f"{pointer.removesuffix('watch')}kind", "contradiction", detail)
        return
    if schedule.watched_series.startswith("average/"):
        yield Problem(
            pointer, "contradiction", "averaged weights do not train: watch val/loss, or another series of val/."
        )
        return
    yield from metrics.series_problems(experiment, pointer, schedule.watched_series)


def _data_and_model(experiment: Experiment) -> Iterator[Problem]:
    facts, loss = experiment.dataset.facts, experiment.loss
    if facts.task not in loss.tasks:
        named = f"/dataset/kind {experiment.dataset.kind} is a {facts.task} task"
        detail = f"{named}, which {loss.kind} does not fit: use {SUITABLE_LOSSES[facts.task]}."
        yield Problem("/loss/kind", "contradiction", detail)
    elif loss.binary and facts.classes != 2:
        named = f"/dataset/kind {experiment.dataset.kind} has {facts.classes}"
        yield Problem("/loss/kind", "contradiction", f"{loss.kind} is for two classes; {named}: use cross_entropy.")
    else:
        yield from under("/loss", loss.task_problems(facts.task, facts.classes))
    if loss.count_data and getattr(experiment.dataset, "target_scaling", "none") == "standardise":
        detail = f"/loss/kind {loss.kind} is for counts, and standardised values are negative: set this to none."
        yield Problem("/dataset/target_scaling", "contradiction", detail)
    train = experiment.dataset.counts[0]
    if experiment.batch_size != "full" and experiment.batch_size > train:
        yield Problem(
            "/batch_size",
            "too_large",
            f'the training part of /dataset has {train} rows: use at most that, or "full".',
            limit=train,
        )
    mismatches = experiment.model_problems()
    yield from under("/model", mismatches)
    layout = None if mismatches else experiment.layout
    yield from parameter_groups.problems(experiment, layout)
    yield from initialisation.problems(experiment, layout)
    if not mismatches:
        yield from _last_layer(experiment)
        yield from normalisation.problems(experiment)
        yield from under("/model", experiment.model.init.layout_problems(experiment.layout))
    parameters = None if mismatches else experiment.parameters
    if parameters is not None and parameters > MAX_PARAMETERS:
        yield Problem(
            "/model",
            "too_large",
            f"{parameters} parameters; at most {MAX_PARAMETERS}.",
            limit=MAX_PARAMETERS,
        )


def _drawn_rows(experiment: Experiment) -> Iterator[Problem]:
    """Yield what rows that are drawn for each update leave without meaning."""
    if not experiment.dataset.draws_rows:
        return
    refused = {
        "/batch_size": (experiment.batch_size == "full", "so no batch has all: give a number of rows"),
        "/shuffle": (not experiment.shuffle, "so there is no order to keep: leave it at true"),
        "/drop_last": (experiment.drop_last, "so every batch is full: leave it at false"),
    }
    for pointer, (given, why) in refused.items():
        if given:
            yield Problem(pointer, "contradiction", f"/dataset/windows is random: rows are drawn anew, {why}.")


def _augmentation(experiment: Experiment) -> Iterator[Problem]:
    """Yield augmentations of rows that are no images, and mixtures of classes for a loss that takes none."""
    dataset, loss = experiment.dataset, experiment.loss
    for at, part in enumerate(experiment.augment):
        if not dataset.of_bytes:
            detail = f"the rows of {dataset.kind} are not images of bytes: use images, image_folder or torchvision."
            yield Problem(f"/augment/{at}", "wrong_dataset", detail)
            continue
        yield from under(f"/augment/{at}", [*part.problems(), *part.shape_problems(dataset.facts.shape)])
        if part.mixes and loss.kind not in MIXABLE:
            detail = f"mixes classes, which the loss {loss.kind} does not take: use {' or '.join(MIXABLE)}."
            yield Problem(f"/augment/{at}", "wrong_loss", detail)


def _last_layer(experiment: Experiment) -> Iterator[Problem]:
    """Yield why the loss cannot take the output of the model's last layer."""
    shape, outputs = experiment.dataset.facts.shape, experiment.outputs
    leaves = list(experiment.model.leaves(shape, outputs) or ())
    if leaves:
        found = experiment.loss.last_layer_problems(leaves[-1].module, outputs)
        yield from under("/loss", found)


def _seeds(experiment: Experiment) -> Iterator[Problem]:
    if len(set(experiment.seeds)) < len(experiment.seeds):
        yield Problem("/seeds", "repeated", "each seed once: the same seed gives the same run.")


def find_warnings(experiment: Experiment) -> list[Problem]:
    """Return what is allowed and probably a mistake."""
    of_data = list(under("/dataset", experiment.dataset.warnings()))
    if experiment.precision == "fp64":
        of_data = [problem for problem in of_data if problem.code != "loses_digits"]
    return [
        *of_data,
        *_evaluation(experiment),
        *_schedule_warnings(experiment),
        *training.warnings(experiment),
        *parameter_groups.warnings(experiment),
    ]


def _evaluation(experiment: Experiment) -> Iterator[Problem]:
    every = experiment.evaluate.every_steps
    if every is not None and every > experiment.total_steps:
        yield Problem(
            "/evaluate/every_steps",
            "never_due",
            "longer than the run: validation is measured at the last step only.",
        )
    if not experiment.dataset.validated and experiment.dataset.facts.task != "objective":
        yield Problem(
            "/dataset/validation",
            "no_validation",
            "without a validation part nothing tells overfitting apart.",
        )


def _schedule_warnings(experiment: Experiment) -> Iterator[Problem]:
    """Yield what is probably a mistake in the schedule."""
    schedule = experiment.schedule
    odd = schedule.warnings(experiment.optimizer.lr, experiment.schedule_total)
    yield from under("/schedule", (problem for problem in odd if problem.code not in REFUSED))
    if schedule.momentum_pointer and getattr(experiment.optimizer, "momentum", None) == 0:
        detail = f"/optimizer/momentum is 0, and /schedule{schedule.momentum_pointer} puts a cycling one in its place."
        yield Problem("/optimizer/momentum", "ignored", detail)
    found = plateau_of(schedule)
    if found is None or not experiment.dataset.validated:
        return
    every = experiment.evaluate.every_steps or experiment.steps_per_epoch
    evaluations = -(-experiment.total_steps // every)
    if found[0].patience + 3 > evaluations:  # the first sets the mark, and nothing follows the last
        detail = f"the run has {evaluations} evaluations, too few for a reduction: evaluate more often, or wait less."
        yield Problem(f"/schedule{schedule.watched_pointer.removesuffix('watch')}patience", "never_due", detail)
