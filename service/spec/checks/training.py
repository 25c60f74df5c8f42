"""Checks of how a run trains and ends: accumulation, devices, precision, averages, stop rules, restarts, probes."""

from collections import Counter
from collections.abc import Iterator

from service.errors import Problem
from service.spec.checks import normalisation
from service.spec.checks.metrics import series_problems
from service.spec.component import under
from service.spec.datasets.text import LanguageBase, Text, TokenFiles
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.measures import better_direction
from service.spec.optimizers import OptimizerBase
from service.spec.probes import DEFAULT_PROBES
from service.spec.probes.inline import Samples
from service.spec.training import SWA, OptimizerAverage, WeightedSampler


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield every contradiction, naming both fields."""
    yield from _accumulation(experiment)
    yield from _devices(experiment)
    yield from _sparse(experiment)
    yield from _compiled(experiment)
    yield from _average(experiment)
    yield from _stop(experiment)
    yield from _best(experiment)
    yield from _restarts(experiment)
    yield from _probes(experiment)
    yield from _sampler(experiment)


def _accumulation(experiment: Experiment) -> Iterator[Problem]:
    pieces, rows = experiment.accumulate, experiment.rows_per_step
    if pieces > rows:
        detail = f"/batch_size gives {rows} rows to an update: at most that many pieces."
        yield Problem("/accumulate", "contradiction", detail, limit=rows)
    if experiment.optimizer.needs_closure and experiment.precision == "fp16":
        kind = experiment.optimizer.kind
        detail = f"/optimizer/kind {kind} compares losses within an update, which fp16's scale disturbs: take another."
        yield Problem("/precision", "contradiction", detail, limit=["fp64", "fp32", "tf32", "bf16"])


def _devices(experiment: Experiment) -> Iterator[Problem]:
    """Yield why a batch cannot be split over the devices."""
    devices, pieces, rows = experiment.resources.devices, experiment.accumulate, experiment.rows_per_step
    if devices == 1:
        return
    if experiment.dataset.facts.task == "objective":
        detail = "/dataset is an objective, which has no batch to split: use one device."
        yield Problem("/resources/devices", "contradiction", detail, limit=1)
    elif devices * pieces > rows:
        parts = f" in {pieces} pieces" if pieces > 1 else ""
        detail = (
            f"/batch_size gives {rows} rows to an update{parts}: each device needs at least one row of every piece."
        )
        yield Problem("/resources/devices", "contradiction", detail, limit=max(1, rows // pieces))
    if experiment.optimizer.needs_closure:
        kind = experiment.optimizer.kind
        detail = f"/optimizer/kind {kind} computes several gradients within an update: use one device."
        yield Problem("/resources/devices", "contradiction", detail, limit=1)
    if any(parameter.sparse for parameter in experiment.layout or ()):
        detail = "/model has an Embedding(sparse=True), whose gradients devices cannot add up: use one device."
        yield Problem("/resources/devices", "contradiction", detail, limit=1)


def _sparse(experiment: Experiment) -> Iterator[Problem]:
    if experiment.clip is not None and any(parameter.sparse for parameter in experiment.layout or ()):
        detail = (
            "/model has an Embedding(sparse=True), and torch can clip no sparse gradient: leave one of the two out."
        )
        yield Problem("/clip", "contradiction", detail)


def _compiled(experiment: Experiment) -> Iterator[Problem]:
    """Yield what `compile` cannot translate: it needs one whole batch."""
    if not experiment.compile:
        return
    reasons = {
        "/precision": "fp16's scale is decided on the host at every step" if experiment.precision == "fp16" else "",
        "/accumulate": "a batch is translated whole" if experiment.accumulate > 1 else "",
        "/model": "its sparse gradients cannot be translated" if any(p.sparse for p in experiment.layout or ()) else "",
        "/model/activation_checkpointing": "a translated model keeps what it needs"
        if getattr(experiment.model, "activation_checkpointing", False)
        else "",
        "/resources/devices": "sums over devices cannot be translated" if experiment.resources.devices > 1 else "",
        "/dataset": "an objective has no batch" if experiment.dataset.facts.task == "objective" else "",
    }
    for pointer, reason in reasons.items():
        if reason:
            yield Problem("/compile", "contradiction", f"{reason} ({pointer}): change that, or set compile to false.")


def _optimizers(experiment: Experiment) -> list[OptimizerBase]:
    """Return every optimizer of the run."""
    return [experiment.optimizer, *(rule.optimizer for rule in experiment.groups if rule.optimizer is not None)]


def _average(experiment: Experiment) -> Iterator[Problem]:
    average, total = experiment.average, experiment.total_steps
    if average is None:
        return
    if not experiment.dataset.validated:
        detail = "averaged weights are only measured, and /dataset/validation is 0: set it above, or average to null."
        yield Problem("/average", "contradiction", detail)
    if isinstance(average, OptimizerAverage) and not _averages_after(experiment):
        detail = "no optimizer of this run is asgd, which keeps the mean: take ema or swa, or /optimizer/kind asgd."
        yield Problem("/average/kind", "contradiction", detail, limit=["ema", "swa"])
    if isinstance(average, SWA) and average.first(total) > total > 0:
        detail = f"the run, by /steps or /epochs, ends before, at {total}."
        yield Problem("/average/start", "contradiction", detail, limit=total)


def _averages_after(experiment: Experiment) -> list[float]:
    """Return the updates after which optimizers of the run keep a mean of their weights."""
    return [after for each in _optimizers(experiment) if (after := each.averages_after) is not None]


def _stop(experiment: Experiment) -> Iterator[Problem]:
    if experiment.stop is None:
        return
    for pointer, series in experiment.stop.watched.items():
        yield from series_problems(experiment, f"/stop{pointer}", series, loss=True)


def _best(experiment: Experiment) -> Iterator[Problem]:
    if (best := experiment.checkpoint.best) is not None:
        yield from series_problems(experiment, "/checkpoint/best/series", best.series)


def _restarts(experiment: Experiment) -> Iterator[Problem]:
    restarts = experiment.restarts
    if restarts is not None and experiment.seeds != tuple(range(restarts * experiment.folds)):
        stands_for = f"restarts {restarts} stands for 0 to {restarts * experiment.folds - 1}"
        detail = f"/seeds already says which seeds; {stands_for}: give one of them."
        yield Problem("/restarts", "contradiction", detail)


def fold_problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield a problem unless each fold has as many of the seeds as the others."""
    folds = experiment.folds
    counts = Counter(seed % folds for seed in experiment.seeds)
    if len({counts[fold] for fold in range(folds)}) > 1:
        detail = (
            f"a run validates on the fold that is its seed modulo {folds}, and these seeds are unevenly many for the "
            f"folds: leave them out for one run of each fold, or set /restarts for several."
        )
        yield Problem("/seeds", "uneven_folds", detail)


def _probes(experiment: Experiment) -> Iterator[Problem]:
    kinds = [probe.kind for probe in experiment.probes]
    for at, kind in enumerate(kinds):
        if kind in kinds[:at]:
            yield Problem(f"/probes/{at}/kind", "repeated", f"there is a probe {kind} already: each once.")
    layout = None if experiment.model_problems() else experiment.layout
    for at, probe in enumerate(experiment.probes):
        yield from under(f"/probes/{at}", probe.problems())
        yield from under(f"/probes/{at}", probe.layout_problems(layout) if layout else ())
        if isinstance(probe, Samples):
            yield from under(f"/probes/{at}", _samples(experiment, probe))


def _samples(experiment: Experiment, probe: Samples) -> Iterator[Problem]:
    """Yield why the model cannot write a text; pointers start at the probe."""
    dataset = experiment.dataset
    if not isinstance(dataset, LanguageBase):
        yield Problem("/kind", "contradiction", f"/dataset/kind is {dataset.kind}: only models of a text write one.")
    elif getattr(experiment.model, "outputs_at", "every") != "every":
        yield Problem("/kind", "contradiction", "/model/outputs_at is not every: the model predicts no next token.")
    elif isinstance(dataset, TokenFiles) and dataset.tokens is None:
        words = (probe.prompt or "").split()
        wrong = [each for each in words if not (each.isascii() and each.isdecimal() and int(each) < dataset.vocabulary)]
        if wrong:
            detail = f"{wrong[0][:20]!r} is no token: write numbers from 0 to {dataset.vocabulary - 1}, or name the "
            yield Problem("/prompt", "unknown_characters", f"{detail}tokenizer in /dataset/tokens.")
    elif (
        isinstance(dataset, Text)
        and not dataset.tokenized
        and (unknown := set(probe.prompt or "") - set(dataset.found.characters))
    ):
        named = ", ".join(repr(character) for character in sorted(unknown)[:5])
        yield Problem("/prompt", "unknown_characters", f"the text has no {named}, so the model has no token for it.")


def _sampler(experiment: Experiment) -> Iterator[Problem]:
    """Yield what a sampler needs, and does not get."""
    if experiment.sampler is None:
        return
    if isinstance(experiment.sampler, WeightedSampler):
        yield from _row_weights(experiment)
    elif (task := experiment.dataset.facts.task) != "classification":
        detail = f"balances classes, and the task of /dataset is {task}: leave it out."
        yield Problem("/sampler", "contradiction", detail)
    if experiment.batch_size == "full":
        yield Problem("/sampler", "contradiction", 'draws rows, and /batch_size "full" takes all: give a number there.')
    if not experiment.shuffle:
        yield Problem("/sampler", "contradiction", "draws rows at random, and /shuffle is false: leave that true.")


def _row_weights(experiment: Experiment) -> Iterator[Problem]:
    """Yield why a dataset has no weights to draw its rows by."""
    if not isinstance(experiment.dataset, Upload):
        detail = (
            f"draws by a column of an uploaded table, and /dataset/kind is {experiment.dataset.kind}: leave it out."
        )
        yield Problem("/sampler", "contradiction", detail)
    elif experiment.dataset.weights is None:
        yield Problem("/dataset/weights", "missing", "/sampler draws rows by their weights: name their column here.")


def warnings(experiment: Experiment) -> Iterator[Problem]:
    """Yield what is allowed and probably a mistake."""
    if getattr(experiment.dataset, "weights", None) and not isinstance(experiment.sampler, WeightedSampler):
        detail = 'only {"kind": "weighted"} in /sampler draws by this column: it is neither a feature nor a weight.'
        yield Problem("/dataset/weights", "ignored", detail)
    stop, evaluations = experiment.stop, -(-experiment.total_steps // experiment.evaluation_every)
    if experiment.accumulate > 1 and normalisation.of_batches(experiment):
        detail = "the batch normalisation of /model sees each piece by itself: the step is not the whole batch's."
        yield Problem("/accumulate", "not_the_same_step", detail)
    if stop is not None and stop.patience is not None and stop.patience.evaluations >= evaluations:
        detail = f"the run has {evaluations} evaluations: too few for this rule to hold."
        yield Problem("/stop/patience/evaluations", "never_due", detail, limit=evaluations)
    if stop is not None and stop.seconds is not None:
        detail = "the length of the run depends on the machine: two runs of one seed may end at different steps."
        yield Problem("/stop/seconds", "not_reproducible", detail)
    if experiment.determinism != "strict":
        detail = (
            f"{experiment.determinism} promises no bits: a repeated, resumed or verified run may differ in the last."
        )
        yield Problem("/determinism", "not_reproducible", detail)
    left_out = experiment.dataset.counts[0] - experiment.rows_per_epoch
    if left_out and not experiment.shuffle:
        detail = f"/shuffle is false, so the last {left_out} training rows are left out of every epoch."
        yield Problem("/drop_last", "never_seen", detail)
    best = experiment.checkpoint.best
    if best is not None and best.mode != better_direction(best.series):
        yield Problem("/checkpoint/best/mode", "probably_reversed", f"{best.series} is better the other way round.")
    target = stop.target if stop is not None else None
    is_measure = target is not None and target.series.startswith(("loss", "val/", "train/", "average/"))
    if target is not None and is_measure and (target.below is None) != (better_direction(target.series) == "max"):
        detail = f"{target.series} is better the other way round, so the rule may hold at the first evaluation."
        yield Problem("/stop/target", "probably_reversed", detail)
    late = [after for after in _averages_after(experiment) if after >= experiment.total_steps]
    if isinstance(experiment.average, OptimizerAverage) and late:
        detail = f"the mean begins after update /optimizer/t0, {late[0]:g}, and the run ends before: it is no mean."
        yield Problem("/average", "never_due", detail, limit=experiment.total_steps)
    if experiment.average is not None and experiment.average.kind == "ema":
        memory = round(1 / (1 - experiment.average.decay))
        if memory > experiment.total_steps:
            detail = f"the average remembers about {memory} updates, more than the run has ({experiment.total_steps})."
            yield Problem("/average/decay", "starts_too_near", detail, limit=experiment.total_steps)
    yield from _idle_probes(experiment)


def _idle_probes(experiment: Experiment) -> Iterator[Problem]:
    """Yield probes that were requested and will have nothing to measure; the default set is not checked."""
    if experiment.probes == DEFAULT_PROBES:
        return
    for at, probe in enumerate(experiment.probes):
        if probe.kind == "rates" and all(each.rate_scaling == "shared" for each in _optimizers(experiment)):
            detail = f"/optimizer/kind {experiment.optimizer.kind} has one rate for all parameters: nothing to show."
            yield Problem(f"/probes/{at}", "ignored", detail)
        if probe.kind == "norm_modes" and getattr(experiment.model, "norm", "batch") != "batch":
            detail = "/model/norm is not batch: there is nothing whose two modes could differ."
            yield Problem(f"/probes/{at}", "ignored", detail)
        if probe.every_steps is not None and probe.every_steps > experiment.total_steps:
            detail = "longer than the run: it looks at the last step only."
            yield Problem(f"/probes/{at}/every_steps", "never_due", detail, limit=experiment.total_steps)
