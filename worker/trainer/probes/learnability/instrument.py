"""The learnability probe: what fresh weights under a sound optimizer, a simple model and a control reach."""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from service.spec.probes import on_demand
from worker.trainer.optim.schedule_free import eval_weights
from worker.trainer.probes.fresh_model import fresh_model
from worker.trainer.probes.inline.sanity_checks import constant_answer
from worker.trainer.probes.inline.side_effect_free import side_effect_free_forward
from worker.trainer.probes.learnability.reference_models import Reference, reference_models
from worker.trainer.probes.learnability.rows import Rows, batch_size, choose_rows, group_losses, mean
from worker.trainer.probes.learnability.shared import Family, FreshWeights, Origin, Shared, family_of
from worker.trainer.probes.learnability.trial import BUSY, Clock, Levels, Trial, levels_as_json, search_rate
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    side_effect_free,
)

MAX_STEPS = 500  # of a training, unless the run has 40 times as many
LITTLE = 0.1  # of the way from the best constant's loss to the minimum
SHARE = 40  # of a longer run's steps is one training: all of them together are a tenth
REFERENCE_STEPS = 500  # of a simple model, unless the run has less than a tenth of them
REFERENCE_TIME, SEARCH_TIME = 0.25, 0.75  # of the time that is left


class Constant(nn.Module):
    """The same answer for every row."""

    def __init__(self, answer: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.answer, self.shape = answer, shape

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> (B, *outputs)."""
        return self.answer.expand(len(x), *self.shape)


class Learnability(Instrument[on_demand.Learnability]):
    """Trains beside the run, on rows of its training part, and compares losses on the same rows.

        constant   the best constant answer of each part
        run        the run's own weights
        same       the run's model on fresh weights under Adam, without decay, clipping, groups or schedule, at the best
                   of three rates
        other      the better one of a linear model and an MLP of standardised rows; of a language, bigrams
        control    like `same`, its targets permuted among the rows; only where none of the others learned

    What runs of a pack have in common is trained once: a reading says what was `measured_beside` another.
    Each has `loss` by part (train, held_out: training rows that nothing was fitted to, validation) and `groups`, the
    same by groups of rows. Everything is in fp32, in evaluation mode.
    """

    stopped: Callable[[], bool] = staticmethod(lambda: False)  # whether the run is to end now
    run = ""  # its id

    def __init__(self, component: on_demand.Learnability, shared: Shared | None = None) -> None:
        super().__init__(component)
        self.seconds = component.seconds
        self.shared = shared  # None: nothing, also with what the same run measures later

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return the losses of each, the rates that were tried, and the cost."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        began, worked = time.monotonic(), time.thread_time()
        shared, key = self.shared or Shared(), family_of(training, self.steps_of(training, self.component.steps))
        try:
            with side_effect_free(training.device):
                found = self._compare(training, shared, key)
        finally:
            took = time.monotonic() - began
            shared.spend(key, max(time.thread_time() - worked, took / BUSY))
        return Measurement({}, as_json(**found, seconds=round(took, 2)))

    @staticmethod
    def steps_of(training: ProbedTraining, asked: int | None = None) -> int:
        """Return the updates of a training at the best rate."""
        total = training.spec.total_steps
        seen = -(-total * training.spec.rows_per_step // batch_size(training))  # as many rows as the run saw
        return asked or max(1, min(total, seen, max(MAX_STEPS, total // SHARE)))

    def _compare(self, training: ProbedTraining, shared: Shared, key: str) -> dict[str, Any]:
        clock, own = Clock(self.seconds, self.stopped), Origin(self.run, training.seed)
        steps = self.steps_of(training, self.component.steps)
        rows = _rows(training, shared, steps)
        reached = _of_run(training, rows)
        family, spent = self._family(training, shared, key, rows, clock)
        fresh = family.fresh.get(training.seed)
        if fresh is None and family.affords(clock.left):
            fresh, taken = _search(training, own, rows, mean(reached[rows.judged]), steps, clock.part(SEARCH_TIME))
            spent += taken
            if not self.stopped():  # what was cut off is nobody else's
                family.fresh[training.seed] = fresh
        fresh = fresh or family.instead(mean(reached[rows.judged]))
        found: dict[str, Any] = {"rows": len(rows.fitted[0]), "batch": rows.batch, "judged": rows.judged}
        found |= {"constant": levels_as_json(family.constant[1]), "run": levels_as_json(reached)}
        found |= {"other": family.other, "same": fresh.best, "rates": fresh.rates}
        if not _any_learned(training, found, rows.judged):  # else it would tell nothing
            found["control"], taken = self._control(training, fresh, rows, clock)
            spent += taken
        origins = {"other": family.origin, "same": fresh.origin}
        if taken_over := {who: each.as_json(own.seed) for who, each in origins.items() if each != own}:
            found["measured_beside"] = taken_over
        return found | {"trained_steps": spent, "share_of_run": spent / max(1, training.spec.total_steps)}

    def _family(
        self, training: ProbedTraining, shared: Shared, key: str, rows: Rows, clock: Clock
    ) -> tuple[Family, int]:
        """Return the run's family, and the steps that its simple models took now."""
        if (known := shared.families.get(key)) is not None:
            return known, 0
        answer = _constant(training, rows)
        other, spent = _best_reference(
            training, rows, answer, self.steps_of(training, self.component.steps), clock.part(REFERENCE_TIME)
        )
        family = Family(Origin(self.run, training.seed), answer, other)
        if not self.stopped():
            shared.families[key] = family
        return family, spent

    def _control(
        self, training: ProbedTraining, fresh: FreshWeights, rows: Rows, clock: Clock
    ) -> tuple[dict[str, Any], int]:
        """Return what the same weights reach on shuffled targets, and the steps that it took now."""
        if fresh.control is not None:
            return fresh.control, 0
        rate, steps = fresh.best["rate"], fresh.best["steps"]
        control = Trial(fresh_model(training, fresh.origin.seed), training.criterion, rows, rate, control=True)
        found = {"complete": control.advance(steps, clock)} | control.as_json()
        if not self.stopped():
            fresh.control = found
        return found, control.step


def _rows(training: ProbedTraining, shared: Shared, steps: int) -> Rows:
    """Return the rows of all runs beside which so many steps are made."""
    key = steps, batch_size(training), training.spec.fold(training.seed)
    if key not in shared.rows:
        shared.rows[key] = choose_rows(training, steps)
    return shared.rows[key]


def _search(
    training: ProbedTraining, own: Origin, rows: Rows, reached: float, steps: int, clock: Clock
) -> tuple[FreshWeights, int]:
    """Return the model on fresh weights at its best rate, beside a run with this loss, and the steps of all rates."""
    worked = time.thread_time()

    def fresh(rate: float) -> Trial:
        return Trial(fresh_model(training, own.seed), training.criterion, rows, rate)

    best, trials, complete = search_rate(fresh, steps, clock)
    document = best.as_json() | {"optimizer": "adam", "complete": complete}
    rates = [[trial.rate, trial.step, trial.train_loss] for trial in trials]
    found = FreshWeights(own, reached, mean(best.best[rows.judged]), document, rates, time.thread_time() - worked)
    return found, sum(trial.step for trial in trials)


def _any_learned(training: ProbedTraining, found: dict[str, Any], judged: str) -> bool:
    """Whether the run, a fresh training or a simple model has come a tenth of the way from the constant's loss."""
    constant, floor = found["constant"]["loss"][judged], least_possible(training.spec)
    losses = [found[who]["loss"][judged] for who in ("run", "same", "other") if found[who]]
    best = min((loss for loss in losses if isinstance(loss, float)), default=math.inf)  # others are spelled out
    return isinstance(constant, float) and best < constant - (0.0 if floor is None else LITTLE * (constant - floor))


def least_possible(spec: Experiment) -> float | None:
    """Return the minimum of the loss; None if it depends on the data."""
    facts = spec.dataset.facts
    return spec.loss.minimum(facts.vocabulary if facts.task == "language" else facts.classes)


def _constant(training: ProbedTraining, rows: Rows) -> tuple[Tensor, Levels]:
    """Return the best constant answer (K,) on the training rows, and the losses of each part's own best one."""
    criterion = deepcopy(training.criterion)
    with side_effect_free_forward(training.model, batch_statistics=False):
        shape = training.model(rows.parts["train"][0][:2]).shape[1:]
    answers, levels = dict[str, Tensor](), Levels()
    for name, (x, y) in rows.parts.items():
        guess = torch.zeros((), device=x.device).expand(len(x), *shape)
        answers[name] = constant_answer(criterion, guess, y)[1].to(torch.get_default_dtype()).reshape(-1)
        levels[name] = group_losses(Constant(answers[name], shape), criterion, (x, y))
    return answers["train"], levels


def _of_run(training: ProbedTraining, rows: Rows) -> Levels:
    """Return the losses of the run's own weights."""
    precision = training.pipeline.precision
    with (
        eval_weights(training.optimizers),
        side_effect_free_forward(training.model, batch_statistics=False),
        precision.forward(),
    ):
        criterion = deepcopy(training.criterion)
        return {name: group_losses(training.model, criterion, part) for name, part in rows.parts.items()}


def _best_reference(
    training: ProbedTraining, rows: Rows, answer: tuple[Tensor, Levels], steps: int, clock: Clock
) -> tuple[dict[str, Any] | None, int]:
    """Return the simple model that is best on the rows to judge by, or None, and the steps that all took."""
    torch.manual_seed(training.seed)
    references = reference_models(training.spec, rows.fitted, answer[0])
    unit = abs(mean(answer[1]["train"])) or 1.0
    found, spent = list[tuple[float, dict[str, Any]]](), 0
    for number, each in enumerate(references):
        losses, taken = _fit(training, rows, each, steps, unit, clock.part(1 / (len(references) - number)))
        spent += taken
        found.append((losses["loss"][rows.judged], {"name": each.name, "model": each.document} | losses))
    numbers = [(loss if isinstance(loss, float) else math.inf, number) for number, (loss, _) in enumerate(found)]
    return (found[min(numbers)[1]][1] if found else None), spent


def _fit(
    training: ProbedTraining, rows: Rows, reference: Reference, steps: int, unit: float, clock: Clock
) -> tuple[dict[str, Any], int]:
    """Train a simple model; evaluate it at quarters, because a small part is soon known by heart."""
    if reference.rate is None:
        criterion = deepcopy(training.criterion)
        levels = {name: group_losses(reference.model, criterion, part) for name, part in rows.parts.items()}
        return {"steps": 0} | levels_as_json(levels), 0
    trial = Trial(reference.model, training.criterion, rows, reference.rate, unit=unit)
    steps = min(REFERENCE_STEPS, 10 * steps)
    for quarter in (1, 2, 3, 4):
        trial.advance(max(1, steps * quarter // 4), clock.part(1 / (5 - quarter)))
    return trial.as_json() | {"complete": trial.step >= steps}, trial.step
