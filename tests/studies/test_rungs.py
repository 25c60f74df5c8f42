"""At the rungs: who goes on, who stops, who waits; where Optuna's pruners mean the same, they are the referee."""

import math
import random
from typing import Any

import pytest

from service.studies.rungs import decide, rung_steps
from service.studies.trial import Trial, TrialState
from tests.studies.examples import DUEL, make_study, run_study

POINT = {"/optimizer/lr": 0.1}
SPACE = {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 1.0}}


def study(pruner: Any, **others: Any) -> Any:
    return make_study(SPACE, pruner=pruner, **others)


def trial(number: int, state: TrialState, *rungs: float | None, value: float | None = None) -> Trial:
    return Trial(number, POINT, state, rungs, value)


def waiting(number: int, *rungs: float | None) -> Trial:
    return trial(number, TrialState.WAITING, *rungs)


def finished(number: int, *rungs: float | None) -> Trial:
    return trial(number, TrialState.FINISHED, *rungs[:-1], value=rungs[-1])


def verdicts(study: Any, trials: list[Trial], **others: Any) -> dict[int, str]:
    return {number: decision.verdict for number, decision in decide(study, trials, **others).items()}


@pytest.mark.parametrize("kind", ["none", "median", "asha", "hyperband", "patience", "early_verdict"])
@pytest.mark.parametrize("total", [1, 2, 3, 10, 1000, 12_345])
def test_rungs_rise_and_lie_before_the_end(kind: str, total: int) -> None:
    steps = rung_steps(study(kind), total)
    assert list(steps) == sorted(set(steps))
    assert all(1 <= step < total for step in steps)
    assert bool(steps) == (kind != "none" and total > 1)


def test_rungs_are_shares_or_steps() -> None:
    assert rung_steps(study("asha"), 2700) == (100, 300, 900)
    assert rung_steps(study({"kind": "asha", "first": 50, "eta": 4}), 2700) == (50, 200, 800)
    assert rung_steps(study({"kind": "median", "first": 100, "every": 0.25}), 1000) == (100, 350, 600, 850)


def test_every_waiting_trial_gets_a_decision() -> None:
    trials = [waiting(at, *[1.0 / (at + 1)] * (at % 3 + 1)) for at in range(9)] + [finished(9, 1.0, 1.0, 1.0, 0.5)]
    for kind in ("none", "median", "asha", "hyperband", "patience", "early_verdict"):
        assert set(decide(study(kind), trials)) == set(range(9))


def test_asha_promotes_the_best_third_and_the_others_wait() -> None:
    trials = [waiting(at, value) for at, value in enumerate([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])]
    assert verdicts(study("asha"), trials) == {0: "wait", 1: "continue", 2: "wait", 3: "continue", 4: "wait", 5: "wait"}
    assert verdicts(study("asha"), trials[:2]) == {0: "wait", 1: "wait"}


def test_a_promoted_trial_keeps_its_place_at_the_rung() -> None:
    trials = [trial(0, TrialState.RUNNING, 1.0), waiting(1, 2.0), waiting(2, 3.0), waiting(3, 4.0)]
    assert set(verdicts(study("asha"), trials).values()) == {"wait"}
    trials += [waiting(4, 5.0), waiting(5, 6.0)]
    assert [number for number, verdict in verdicts(study("asha"), trials).items() if verdict == "continue"] == [1]


def test_diverged_trials_count_as_the_worst_of_a_rung() -> None:
    trials = [waiting(0, 2.0), finished(1, None), trial(2, TrialState.FINISHED, None, value=None)]
    assert verdicts(study("asha"), trials) == {0: "continue"}


def test_once_no_trial_can_come_the_best_goes_on_and_the_rest_stops() -> None:
    trials = [waiting(0, 2.0), waiting(1, 1.0)]
    assert verdicts(study("asha", budget={"trials": 2}), trials) == {0: "stop", 1: "continue"}
    assert verdicts(study("asha"), trials, exhausted=True) == {0: "stop", 1: "continue"}
    running = [*trials, trial(2, TrialState.RUNNING)]
    assert verdicts(study("asha", budget={"trials": 3}), running) == {0: "wait", 1: "wait"}


def test_a_later_rung_waits_for_those_on_their_way_to_it() -> None:
    budget = {"trials": 4}
    trials = [waiting(0, 2.0, 2.0), trial(1, TrialState.RUNNING, 1.0), waiting(2, 3.0), waiting(3, 4.0)]
    assert verdicts(study("asha", budget=budget), trials) == {0: "wait", 2: "stop", 3: "stop"}
    arrived = [waiting(0, 2.0, 2.0), waiting(1, 1.0, 1.0), waiting(2, 3.0), waiting(3, 4.0)]
    assert verdicts(study("asha", budget=budget), arrived) == {0: "stop", 1: "continue", 2: "stop", 3: "stop"}


def test_a_later_rung_waits_for_one_that_is_promoted_at_this_moment() -> None:
    trials = [waiting(0, 2.0, 2.0), waiting(1, 1.0), waiting(2, 3.0), waiting(3, 4.0)]
    found = verdicts(study("asha", budget={"trials": 4}), trials)
    assert found == {0: "wait", 1: "continue", 2: "stop", 3: "stop"}


def test_a_rung_where_nothing_is_measured_stops_nobody() -> None:
    trials = [waiting(at, None) for at in range(6)]
    for kind in ("asha", "hyperband"):
        assert set(verdicts(study(kind), trials).values()) == {"continue"}
    done = [finished(at, None, 1.0) for at in range(10, 16)]
    assert set(verdicts(study("median"), [*trials, *done]).values()) == {"continue"}


def test_trials_of_different_scientific_values_are_not_judged_against_each_other() -> None:
    duel = make_study(DUEL, sampler="random", pruner={"kind": "asha", "eta": 2})
    points = [each.point for each in run_study(duel, 8, lambda _: 1.0)]
    worse = [10.0 * (point["/optimizer"] == "sgd") for point in points]
    trials = [Trial(at, point, TrialState.WAITING, (at + worse[at],)) for at, point in enumerate(points)]
    going = [number for number, verdict in verdicts(duel, trials).items() if verdict == "continue"]
    assert sorted(points[number]["/optimizer"] == "sgd" for number in going) == [False, False, True, True]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["asha", "hyperband"])
def test_a_study_always_ends_with_a_finished_trial(kind: str, seed: int) -> None:
    """Simulated to its end: whatever the order of arrivals, nothing waits for ever and the best is trained out."""
    generator = random.Random(seed)
    given = study(kind, budget={"trials": 20})
    steps = rung_steps(given, 2700)
    quality = {number: generator.random() for number in range(20)}
    trials: dict[int, Trial] = {}
    for _ in range(500):
        running = [each for each in trials.values() if each.state == TrialState.RUNNING]
        for number, decision in decide(given, list(trials.values())).items():
            rungs = trials[number].rungs
            states = {"continue": TrialState.RUNNING, "stop": TrialState.PRUNED, "wait": TrialState.WAITING}
            trials[number] = trial(number, states[decision.verdict], *rungs)
        if len(trials) < 20 and len(running) < 3:
            trials[len(trials)] = trial(len(trials), TrialState.RUNNING)
        running = [each for each in trials.values() if each.state == TrialState.RUNNING]
        if not running:
            break
        each = generator.choice(running)
        value = quality[each.number]
        if len(each.rungs) == len(steps):
            trials[each.number] = trial(each.number, TrialState.FINISHED, *each.rungs, value=value)
        else:
            trials[each.number] = waiting(each.number, *each.rungs, value)
    assert len(trials) == 20
    assert {each.state for each in trials.values()} <= {TrialState.FINISHED, TrialState.PRUNED}
    done = [number for number, each in trials.items() if each.state == TrialState.FINISHED]
    assert min(quality, key=lambda number: quality[number]) in done
    assert len(done) <= 10


def optuna_study(pruner: Any, values: list[list[float]]) -> Any:
    """Return Optuna's study with finished trials whose last value is the objective's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(pruner=pruner)
    for rungs in values:
        intermediate = dict(enumerate(rungs[:-1]))
        made.add_trial(optuna.trial.create_trial(value=rungs[-1], intermediate_values=intermediate))
    return made


def prunes(study: Any, rungs: list[float]) -> bool:
    asked = study.ask()
    for at, value in enumerate(rungs):
        asked.report(value, at)
    return bool(asked.should_prune())


def test_the_median_rule_is_optunas() -> None:
    import optuna

    generator = random.Random(0)
    stops = 0
    for _ in range(200):
        done = [[generator.random() for _ in range(6)] for _ in range(generator.randrange(1, 9))]
        rungs = [generator.random() for _ in range(generator.randrange(1, 6))]
        trials = [finished(at, *values) for at, values in enumerate(done)] + [waiting(99, *rungs)]
        ours = verdicts(study({"kind": "median", "startup": 3}), trials)[99] == "stop"
        theirs = prunes(optuna_study(optuna.pruners.MedianPruner(n_startup_trials=3), done), rungs)
        assert ours == theirs
        stops += ours
    assert 20 < stops < 150


@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
def test_patience_is_optunas() -> None:
    """Optuna counts the rung of the best value too: its patience is ours less one."""
    import optuna

    generator = random.Random(0)
    stops = 0
    for _ in range(200):
        rungs = [generator.random() for _ in range(generator.randrange(1, 12))]
        ours = verdicts(study({"kind": "patience", "rungs": 3}), [waiting(0, *rungs)])[0] == "stop"
        theirs = prunes(optuna_study(optuna.pruners.PatientPruner(None, patience=2), []), rungs)
        assert ours == theirs
        stops += ours
    assert 30 < stops < 170


def test_one_rung_of_asha_is_optunas_successive_halving() -> None:
    """The last of several trials that reach a rung: Optuna lets it go on exactly where ours is promoted at once."""
    import optuna

    generator = random.Random(0)
    goes_on = 0
    for _ in range(100):
        values = [generator.random() for _ in range(generator.randrange(3, 12))]
        theirs = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3))
        for value in values[:-1]:
            asked = theirs.ask()
            asked.report(value, 1)
            asked.should_prune()
        asked = theirs.ask()
        asked.report(values[-1], 1)
        ours = verdicts(study("asha"), [waiting(at, value) for at, value in enumerate(values)])
        assert (ours[len(values) - 1] == "continue") == (not asked.should_prune())
        goes_on += ours[len(values) - 1] == "continue"
    assert 20 < goes_on < 60


def test_hyperband_gives_brackets_the_shares_of_the_paper() -> None:
    from service.studies.pruning.candidates import Candidates
    from service.studies.pruning.halving import brackets_of

    trials = tuple(waiting(at, 1.0) for at in range(490))
    brackets = list(brackets_of(Candidates(study("hyperband"), trials, False)).values())
    sizes = [27, 12, 6, 4]  # ceil(4 / (s + 1) 3^s) for s = 3, 2, 1, 0
    for bracket, size in enumerate(sizes):
        assert abs(brackets.count(bracket) - 490 * size / sum(sizes)) <= 3
    assert len(set(brackets[:12])) >= 3


def test_the_last_bracket_of_hyperband_stops_nobody() -> None:
    from service.studies.pruning.candidates import Candidates
    from service.studies.pruning.halving import brackets_of

    given = study("hyperband")
    trials = [waiting(at, float(at)) for at in range(30)]
    brackets = brackets_of(Candidates(given, tuple(trials), False))
    decisions = verdicts(given, trials, exhausted=True)
    assert all(decisions[number] == "continue" for number, bracket in brackets.items() if bracket > 0)
    first = [number for number, bracket in brackets.items() if bracket == 0]
    assert sum(decisions[number] == "continue" for number in first) == math.floor(len(first) / 3)
