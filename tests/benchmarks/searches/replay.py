"""Searches on tables of real trainings: `python -m tests.benchmarks.searches.replay --tables FOLDER [--seeds 10]`.

Every method has the same budget, 60 whole trainings' steps, on four workers, and asks and decides by the product's own
functions; what a trial reports is looked up in the table of its task, which is trained first if FOLDER does not have it
(about half an hour on one core). Normalised regret: the best finished trial's distance from the best of the table, in
units of the distance of the median training. A pruned trial is no result, whatever it had at its last rung.
"""

import argparse
import heapq
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.analysis.arrays import Values
from service.spec.parse.document import validate
from service.spec.studies.space import Point
from service.spec.studies.study import Study
from service.studies import rungs, suggest
from service.studies.trial import Trial, TrialState
from tests.benchmarks.searches.tables import EVERY, SHAPE, STEPS, Table, load

TRAININGS, WORKERS = 60, 4
BUDGET = TRAININGS * STEPS
COSTS = (5, 10, 20, 40, 60)  # whole trainings at which regrets are told
METHODS: dict[str, tuple[str, Any]] = {
    "random": ("random", "none"),
    "sobol": ("sobol", "none"),
    "tpe": ("tpe", "none"),
    "gp": ("gp", "none"),
    "random + median": ("random", {"kind": "median", "first": 0.1, "every": 0.1}),
    "random + early verdict": ("random", {"kind": "early_verdict", "first": 0.1, "every": 0.1}),
    "random + asha": ("random", "asha"),
    "random + hyperband": ("random", "hyperband"),
    "tpe + asha": ("tpe", "asha"),
}
RATE, OPTIMIZER, WIDTH, DECAY = ("/optimizer/lr", "/optimizer", "/model/width", "/optimizer/weight_decay")
SPACE = {  # places in the table, in order where the values have one
    RATE: {"kind": "int", "low": 0, "high": SHAPE[0] - 1},
    OPTIMIZER: {"kind": "choice", "options": list(range(SHAPE[1]))},
    WIDTH: {"kind": "int", "low": 0, "high": SHAPE[2] - 1},
    DECAY: {"kind": "int", "low": 0, "high": SHAPE[3] - 1},
}


class Finish(NamedTuple):
    """A trial that was trained to its end."""

    cost: int  # steps that the study had used by then
    loss: float


@dataclass
class Replay:
    """One study on one table: what its trials come to, worker by worker."""

    study: Study
    curves: Values  # best value so far (points, evaluations); inf: diverged

    def curve(self, point: Point) -> Values:
        """Return a point's curve."""
        place = tuple(point[pointer] for pointer in (RATE, OPTIMIZER, WIDTH, DECAY))
        found: Values = self.curves[np.ravel_multi_index(place, SHAPE)]
        return found

    def run(self) -> list[Finish]:
        """Return the trials that finish within the budget of steps, in order."""
        steps = (*rungs.rung_steps(self.study, STEPS), STEPS)
        trials: list[Trial] = []
        running: list[tuple[int, int]] = []  # (time at which it is at its next rung or end, number)
        finished, used, now = [], 0, 0
        while True:
            going = [n for n, each in rungs.decide(self.study, trials).items() if self._settle(trials, n, each)]
            while len(running) < WORKERS and used < BUDGET:
                number = going.pop(0) if going else self._asked(trials)
                length = self._next(trials[number], steps) - self._reached(trials[number], steps)
                trials[number] = _with(trials[number], TrialState.RUNNING)
                used += length
                heapq.heappush(running, (now + length, number))
            if not running:
                return finished
            now, number = heapq.heappop(running)
            trial, at = trials[number], self._next(trials[number], steps)
            value = float(self.curve(trial.point)[at // EVERY - 1])
            if at == STEPS or not math.isfinite(value):
                trials[number] = _with(trial, TrialState.FINISHED, value=value if math.isfinite(value) else None)
                finished.append(Finish(used, value))
            else:
                trials[number] = _with(trial, TrialState.WAITING, rungs=(*trial.rungs, value))

    def _settle(self, trials: list[Trial], number: int, decision: rungs.Decision) -> bool:
        """Prune a trial that is stopped; return whether it goes on."""
        if decision.verdict == "stop":
            trials[number] = _with(trials[number], TrialState.PRUNED)
        return decision.verdict == "continue"

    def _asked(self, trials: list[Trial]) -> int:
        point = suggest.ask(self.study, trials, len(trials))
        assert point is not None
        trials.append(Trial(len(trials), point, TrialState.RUNNING))
        return len(trials) - 1

    def _next(self, trial: Trial, steps: Sequence[int]) -> int:
        return steps[len(trial.rungs)]

    def _reached(self, trial: Trial, steps: Sequence[int]) -> int:
        return steps[len(trial.rungs) - 1] if trial.rungs else 0


def _with(
    trial: Trial, state: TrialState, rungs: tuple[float | None, ...] | None = None, value: float | None = None
) -> Trial:
    return Trial(trial.number, trial.point, state, trial.rungs if rungs is None else rungs, value)


def replay(table: Table, method: str, seed: int) -> list[Finish]:
    """Return what one study of a method finishes."""
    sampler, pruner = METHODS[method]
    document = {"base": {}, "space": SPACE, "sampler": sampler, "pruner": pruner, "seed": seed}
    study = validate(Study, document | {"budget": {"trials": 10_000}, "seeds": [0]})
    return Replay(study, best_so_far(table)).run()


def best_so_far(table: Table) -> Values:
    """Return the curves as the objective's figure `best` has them."""
    found: Values = np.minimum.accumulate(np.where(np.isnan(table.curves), np.inf, table.curves), axis=1)
    return found


def best_at(finished: Sequence[Finish], cost: float) -> float:
    """Return the best of the trials that finished within `cost` steps; inf if none has."""
    return min((each.loss for each in finished if each.cost <= cost), default=math.inf)


def regret(table: Table, value: float) -> float:
    """Return a value's normalised regret, at most 1: that of the median training."""
    finals = best_so_far(table)[:, -1]
    best, median = float(finals.min()), float(np.median(finals))
    return min(1.0, (value - best) / (median - best))


def cost_to(finished: Sequence[Finish], value: float) -> float:
    """Return the steps at which a method has finished a trial as good as `value`; inf if never."""
    return min((each.cost for each in finished if each.loss <= value), default=math.inf)


def main() -> None:
    """Print regrets by method and cost, by task, and what each method needs for random's best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    tables, seeds = list(load(arguments.tables)), range(arguments.seeds)
    cases = [(table, seed) for table in tables for seed in seeds]
    costs = "".join(f"at {cost}".rjust(9) for cost in COSTS)
    print(f"Mean normalised regret after so many trainings: {len(tables)} tasks, {len(seeds)} seeds each. To random's")
    print("best: median share of random's budget, and how often within a third.")
    print(f"{'method':24}{costs}    share  within a third")
    found: dict[str, list[list[Finish]]] = {}
    for method in ["random", *(each for each in arguments.methods if each != "random")]:
        runs = found[method] = [replay(table, method, seed) for table, seed in cases]
        means = [
            statistics.fmean(
                regret(table, best_at(run, cost * STEPS)) for (table, _), run in zip(cases, runs, strict=True)
            )
            for cost in COSTS
        ]
        shares = [cost_to(run, best_at(base, BUDGET)) / BUDGET for run, base in zip(runs, found["random"], strict=True)]
        within = sum(share <= 1 / 3 for share in shares)
        row = "".join(f"{mean:9.4f}" for mean in means)
        print(f"{method:24}{row}{statistics.median(shares):9.2f}{within:6d} of {len(shares)}", flush=True)
    print(f"\n{'method':24}{''.join(f'{table.task:>11}' for table in tables)}   regret at {TRAININGS} trainings")
    for method, runs in found.items():
        ends = [regret(table, best_at(run, BUDGET)) for (table, _), run in zip(cases, runs, strict=True)]
        means = [statistics.fmean(ends[at : at + len(seeds)]) for at in range(0, len(ends), len(seeds))]
        print(f"{method:24}{''.join(f'{mean:11.4f}' for mean in means)}")


if __name__ == "__main__":
    main()
