"""Effective settings: numbers that follow from several fields of a spec together, known before anything runs."""

from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.optimizers import OptimizerBase
from service.spec.schedules import plateau_of
from service.spec.training import EMA, SWA

SAMPLES = 2_000  # steps at which the extremes of a rate are sought in a long run


def effective_settings(experiment: Experiment) -> Json:
    """Return rates, momentum, memory, decay and rows as they act; what only the run decides is null, with a reason."""
    return {
        "lr": _rate(experiment),
        "momentum": _momentum(experiment),
        "memory": _memory(experiment.optimizer),
        "weight_decay": _decay(experiment),
        "rows": _rows(experiment),
        "evaluations": -(-experiment.total_steps // experiment.evaluation_every),
        "average": _average(experiment),
        "seeds": len(experiment.seeds),
    }


def _rate(experiment: Experiment) -> Json:
    """Return the rate at the first and last update, and its extremes."""
    total = experiment.total_steps
    found = plateau_of(experiment.schedule)
    steps = sorted({*range(1, total + 1, max(1, total // SAMPLES)), total})
    rates = [experiment.rate(step) for step in steps]
    known: Json = {"base": experiment.optimizer.lr, "first": rates[0], "largest": max(rates)}
    if found is None:
        return known | {"smallest": min(rates), "last": rates[-1]}
    plateau, begins = found
    why = (
        f"falls by {plateau.factor:g} whenever {plateau.watch} stops improving, from {begins} on: known only as it runs"
    )
    return known | {"smallest": None, "last": None, "unpredictable": why}


def _momentum(experiment: Experiment) -> Json | None:
    """Return the momentum, or first beta, that the updates really have; None if the optimizer has none."""
    own = experiment.optimizer.own_momentum
    if own is None:
        return None
    if not experiment.schedule.momentum_pointer:
        return {"own": own, "smallest": own, "largest": own}
    total = experiment.total_steps
    steps = sorted({*range(1, total + 1, max(1, total // SAMPLES)), total})
    cycled = [own if (at := experiment.momentum(step)) is None else at for step in steps]
    by = f"/schedule{experiment.schedule.momentum_pointer}"
    return {"own": own, "smallest": min(cycled), "largest": max(cycled), "changed_by": by}


def _memory(optimizer: OptimizerBase) -> dict[str, float]:
    """Return how many updates each running mean spans: 1 / (1 - its factor)."""
    factors: dict[str, float | None] = {"momentum": getattr(optimizer, "momentum", None)}
    betas = getattr(optimizer, "betas", None)
    if betas:
        factors |= {"betas/0": betas[0], "betas/1": betas[1]}
    factors |= {name: getattr(optimizer, name, None) for name in optimizer.running_means}
    return {name: 1 / (1 - factor) for name, factor in factors.items() if factor is not None and factor < 1}


def _decay(experiment: Experiment) -> Json | None:
    """Return what weight decay does to a weight without a gradient; None if there is no decay."""
    optimizer = experiment.optimizer
    decay = getattr(optimizer, "weight_decay", 0.0)
    if not decay:
        return None
    if not optimizer.decay_is_decoupled:
        enters = "enters the gradient"
        if optimizer.own_momentum:
            enters += ", and so the momentum"
        return {"value": decay, "form": "l2", "acts": enters, "per_step": optimizer.lr * decay}
    per_step = optimizer.lr * decay
    acts = "weights are multiplied by 1 - lr * weight_decay before the step"
    return {"value": decay, "form": "decoupled", "acts": acts, "per_step": per_step, "steps_to_1/e": 1 / per_step}


def _rows(experiment: Experiment) -> Json:
    """Return the rows of an update, of a piece of it, and of the last batch of an epoch."""
    rows, seen = experiment.rows_per_step, experiment.rows_per_epoch
    largest_piece = -(-rows // min(experiment.accumulate, rows))
    return {"update": rows, "piece": largest_piece, "last_update_of_epoch": seen % rows or rows}


def _average(experiment: Experiment) -> Json | None:
    """Return which updates the averaged weights come from; None if there is no average."""
    average = experiment.average
    if average is None:
        return None
    if isinstance(average, SWA):
        every = average.every_steps or experiment.steps_per_epoch
        first = average.first(experiment.total_steps)
        return {"first": first, "every": every, "taken": (experiment.total_steps - first) // every + 1}
    if isinstance(average, EMA):
        return {"first": 1, "every": 1, "memory": 1 / (1 - average.decay)}
    return {"by": "the optimizer asgd, after its update t0"}
