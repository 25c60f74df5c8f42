"""Whether a remedy helped, by figures, by divergence, by the symptom where figures do not tell, and over seeds."""

import numpy as np
import pytest

from service.verification.outcomes import Result, SeedOutcome, TrainedRun, combine_seeds, final_level, judge_seed

GENERATOR = np.random.default_rng(0)


def flat(at: float, noise: float = 0.0, **more: object) -> TrainedRun:
    return TrainedRun(at + noise * GENERATOR.standard_normal(200), **more)  # type: ignore[arg-type]


def test_the_level_is_the_mean_of_the_last_tenth_of_what_is_finite() -> None:
    values = np.array([*range(18), np.nan, np.inf, 20.0, 22.0])
    found = final_level(values, less=True)
    assert found is not None
    assert (found.last, found.best, found.error) == (21.0, 0.0, pytest.approx(1.0))
    assert final_level(np.array([np.nan]), less=True) is None


CLIMBING = TrainedRun(1.05 ** np.arange(200))  # far from infinity, and on its way


@pytest.mark.parametrize(
    ("control", "patched", "result"),
    [
        (flat(1.0, 0.1), flat(0.5, 0.1), "helped"),
        (flat(0.5, 0.1), flat(1.0, 0.1), "did_not_help"),
        (flat(1.0), flat(0.99), "undecided"),
        (flat(1.0), flat(0.97), "helped"),
        (flat(1.0, 1.0), flat(0.9, 1.0), "undecided"),
        (flat(1.0, symptom=True), flat(1.0, symptom=False), "symptom_gone"),
        (flat(1.0, symptom=True), flat(1.0, symptom=True), "did_not_help"),
        (flat(1.0, symptom=False), flat(1.0, symptom=False), "undecided"),
        (flat(1.0, diverged=True), flat(5.0), "helped"),
        (flat(1.0), flat(0.1, diverged=True), "did_not_help"),
        (flat(1.0, diverged=True), flat(1.0, diverged=True), "did_not_help"),
        (flat(1.0), flat(0.1, ended=False), "undecided"),
        (flat(0.0), flat(-1.0), "helped"),
        (flat(1.0, diverged=True), CLIMBING, "did_not_help"),
        (flat(1.0), CLIMBING, "did_not_help"),
        (CLIMBING, flat(1.0), "helped"),
    ],
)
def test_one_seed_is_judged_by_its_level_its_end_and_then_its_symptom(
    control: TrainedRun, patched: TrainedRun, result: Result
) -> None:
    assert judge_seed(control, patched, "loss", less=True).result == result


def test_more_is_better_of_an_accuracy() -> None:
    assert judge_seed(flat(0.5), flat(0.9), "val/accuracy", less=False).result == "helped"
    assert judge_seed(flat(0.9), flat(0.5), "val/accuracy", less=False).result == "did_not_help"


def test_where_the_loss_means_another_thing_only_the_symptom_tells() -> None:
    nothing = np.empty(0)
    gone = judge_seed(TrainedRun(nothing, symptom=True), TrainedRun(nothing, symptom=False), None, less=True)
    assert (gone.result, gone.control) == ("helped", None)
    assert judge_seed(TrainedRun(nothing), TrainedRun(nothing), None, less=True).result == "undecided"


def test_two_thirds_of_the_seeds_must_agree_and_the_sentence_counts_them() -> None:
    def of(result: Result) -> SeedOutcome:
        return SeedOutcome(result, "because", None, None, None)

    assert combine_seeds([of("helped")]) == ("helped", "because.")
    assert combine_seeds([of("helped"), of("helped"), of("did_not_help")])[0] == "helped"
    result, why = combine_seeds([of("helped"), of("did_not_help")])
    assert (result, why) == ("undecided", "Of 2 seeds: 1 helped, 1 did not help; two thirds must agree.")
    assert combine_seeds([of("did_not_help"), of("did_not_help"), of("undecided")])[0] == "did_not_help"


def test_a_gain_must_exceed_the_noise_of_the_seeds() -> None:
    def seed(gain: float) -> SeedOutcome:
        return judge_seed(flat(1.0), flat(1.0 - gain), "loss", less=True)

    assert combine_seeds([seed(0.5), seed(0.4), seed(0.6)])[0] == "helped"
    result, why = combine_seeds([seed(0.5), seed(0.4), seed(-1.0)])
    assert (result, "within the noise of the seeds" in why) == ("undecided", True)
    assert combine_seeds([seed(0.5), seed(0.5)])[0] == "helped", "two say nothing about a spread"
