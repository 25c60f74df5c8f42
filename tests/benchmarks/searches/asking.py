"""How long a study's next point takes: `OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.searches.asking`.

For each sampler a study of five dimensions with so many trials told, one in five of them pruned, eight open; an ask
after each further trial that ends. Median and worst of the asks, and the first, when nothing is kept of the study; on a
busy machine the CPU time of the asking thread says more. One thread for arrays, as in the API's process.
"""

import argparse
import math
import statistics
import time
from typing import Any, get_args

from service.spec.parse.document import validate
from service.spec.studies import StudySampler
from service.spec.studies.space import Point
from service.spec.studies.study import Study
from service.studies import rungs, suggest
from service.studies.trial import Trial, TrialState

RATE = {"kind": "log_uniform", "low": 1e-5, "high": 1.0}
SPACE: dict[str, Any] = {
    "/optimizer/lr": RATE,
    "/optimizer/weight_decay": RATE,
    "/optimizer/betas/0": {"kind": "uniform", "low": 0.5, "high": 0.99},
    "/model/hidden/0": {"kind": "int", "low": 8, "high": 512, "log": True},
    "/batch_size": {"kind": "choice", "options": [16, 32, 64, 128]},
}
KINDS = [member.model_fields["kind"].default for member in get_args(get_args(StudySampler)[0])]
OPEN, ASKS, LIMIT_MS = 8, 40, 20.0


def make_study(sampler: str, pruner: str = "asha") -> Study:
    """Return the study."""
    given = {"kind": sampler, "points": 6} if sampler == "grid" else sampler
    document = {"base": {"preset": "digits-adam"}, "space": SPACE, "budget": {"trials": 10_000}}
    return validate(Study, document | {"sampler": given, "pruner": pruner})


def loss(point: Point) -> float:
    """Return a loss with one minimum."""
    return math.log10(point["/optimizer/lr"] / 3e-3) ** 2 + math.log(point["/model/hidden/0"] / 100) ** 2


def ended(trial: Trial) -> Trial:
    """Return a trial as it ends: one in five is pruned."""
    value = loss(trial.point)
    if trial.number % 5 == 4:
        return Trial(trial.number, trial.point, TrialState.PRUNED, (value + 1,))
    return Trial(trial.number, trial.point, TrialState.FINISHED, (value + 1, value + 0.5), value)


def measure(sampler: str, count: int) -> tuple[float, list[float], list[float]]:
    """Return milliseconds of the first ask, when nothing is known of the study, of the next, and their CPU time."""
    study, drawer = make_study(sampler), make_study("random" if sampler != "grid" else "grid")
    trials: list[Trial] = []
    for number in range(count):
        point = suggest.ask(drawer, trials, number)
        assert point is not None
        trials.append(ended(Trial(number, point, TrialState.RUNNING)))
    trials += [Trial(count + at, trials[at].point, TrialState.RUNNING) for at in range(OPEN)]
    suggest.ask(make_study(sampler), trials[:12], 12)  # its packages are imported
    times, work = [], []
    for ask in range(ASKS + 1):
        began, worked = time.perf_counter(), time.thread_time()
        point = suggest.ask(study, trials, len(trials))
        times.append(1000 * (time.perf_counter() - began))
        work.append(1000 * (time.thread_time() - worked))
        assert point is not None
        trials.append(Trial(len(trials), point, TrialState.RUNNING))
        trials[count + ask] = ended(trials[count + ask])
    return times[0], times[1:], work[1:]


def decisions(count: int) -> float:
    """Return the milliseconds of ASHA's decisions with so many trials, of which 20 wait."""
    study = make_study("random")
    trials: list[Trial] = []
    for number in range(count):
        point = suggest.ask(study, [], number)
        assert point is not None
        ran = ended(Trial(number, point, TrialState.RUNNING))
        waiting = Trial(number, point, TrialState.WAITING, (loss(point),))
        trials.append(ran if number < count - 20 else waiting)
    times = []
    for _ in range(ASKS):
        began = time.perf_counter()
        rungs.decide(study, trials)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--samplers", nargs="*", default=KINDS, choices=KINDS)
    arguments = parser.parse_args()
    titles = ("first, ms", "median, ms", "worst, ms", "CPU, ms")
    print(f"{'sampler':8} {' '.join(f'{title:>11}' for title in titles)}   {arguments.trials} trials told")
    for sampler in arguments.samplers:
        first, times, work = measure(sampler, arguments.trials)
        found = (first, statistics.median(times), max(times), statistics.median(work))
        mark = "" if found[1] <= LIMIT_MS else f"   above {LIMIT_MS:.0f} ms"
        print(f"{sampler:8} {' '.join(f'{each:11.1f}' for each in found)}{mark}", flush=True)
    print(f"decide   {'':11} {decisions(arguments.trials):11.1f}")


if __name__ == "__main__":
    main()
