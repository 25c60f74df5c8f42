"""Comparisons over HTTP: groups of seeds on one grid, with honest statistics and warnings."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.metrics.codec import pack
from service.lifecycle import State
from tests.fixtures.api import SPEC, Worker

Submit = Callable[..., dict[str, Any]]
SEEDS = [0, 1, 2]


@pytest.fixture
def train(submit: Submit, worker: Worker) -> Callable[..., str]:
    """Train an experiment: the loss of seed i falls from 1 to `least[i]` over the run."""

    def trained(least: Sequence[float], **changes: Any) -> str:
        steps = int(changes.pop("steps", 100))
        posted = submit(seeds=list(range(len(least))), steps=steps, **changes)
        for _ in least:
            held = worker.claim()
            loss = np.linspace(1.0, least[held.seed], steps)
            worker.finish(held, {"loss": pack(np.arange(1, steps + 1), loss)})
        return str(posted["id"])

    return trained


def test_two_groups_are_summed_up_over_their_seeds(client: TestClient, train: Callable[..., str]) -> None:
    low = train([0.1, 0.11, 0.12], name="low")
    high = train([0.5, 0.52, 0.51], name="high", optimizer={"kind": "sgd", "lr": 0.01})
    answer = client.post("/v1/comparisons", json={"experiments": [high, low], "series": ["loss"], "points": 10})
    view = answer.json()
    assert answer.status_code == 201
    assert [group["label"] for group in view["groups"]] == ["high", "low"]
    best = view["groups"][1]["series"]["loss"]["best"]
    assert (best["n"], best["diverged"]) == (3, 0)
    assert best["mean"] == pytest.approx(0.11)
    assert best["sd"] == pytest.approx(statistics.stdev([0.1, 0.11, 0.12]))
    half = 4.302652729911275 * best["sd"] / 3**0.5  # t with 2 degrees of freedom
    assert (best["ci_low"], best["ci_high"]) == pytest.approx((best["mean"] - half, best["mean"] + half))
    curve = view["groups"][0]["series"]["loss"]["curve"]
    assert (curve["x"][0], curve["x"][-1], len(curve["x"])) == (1.0, 100.0, 10)
    assert (curve["n"], curve["mean"][0], curve["sd"][0]) == ([3] * 10, 1.0, 0.0)
    assert view["difference"] == {"/optimizer/lr": {"values": [0.01, 0.1], "missing": []}}
    assert view["ranking"]["verdict"] == "better"
    assert [item["label"] for item in view["ranking"]["items"]] == ["low", "high"]
    assert view["warnings"] == []
    assert client.get(answer.headers["Location"]).json() == view


def test_overlapping_intervals_are_called_indistinguishable(client: TestClient, train: Callable[..., str]) -> None:
    ids = [train([0.1, 0.3, 0.2]), train([0.12, 0.33, 0.21], batch_size=16)]
    view = client.post("/v1/comparisons", json={"experiments": ids, "series": ["loss"]}).json()
    assert view["ranking"]["verdict"] == "indistinguishable"
    assert "cannot be told apart" in view["ranking"]["note"]
    labels = [group["label"] for group in view["groups"]]
    assert len(set(labels)) == 2, "equal names are told apart"


def test_settings_that_changed_nothing_are_told(client: TestClient, train: Callable[..., str]) -> None:
    same = [train([0.1, 0.2], name="one"), train([0.1, 0.3], name="other", optimizer={"kind": "sgd", "lr": 0.2})]
    view = client.post("/v1/comparisons", json={"experiments": same, "series": ["loss"]}).json()
    assert "one and other have identical losses: their difference had no effect." in view["warnings"]
    apart = [train([0.1], name="one"), train([0.2], name="other")]
    view = client.post("/v1/comparisons", json={"experiments": apart, "series": ["loss"]}).json()
    assert not any("had no effect" in told for told in view["warnings"])


def test_one_seed_each_proves_nothing(client: TestClient, train: Callable[..., str]) -> None:
    view = client.post("/v1/comparisons", json={"experiments": [train([0.1]), train([0.9])]}).json()
    assert view["ranking"]["verdict"] == "indistinguishable"
    assert "at least two" in view["ranking"]["note"]


def test_a_diverged_seed_is_counted_and_in_no_mean(client: TestClient, submit: Submit, worker: Worker) -> None:
    posted = submit(seeds=[0, 1], steps=3)
    good, bad = worker.claim(), worker.claim()
    worker.finish(good, {"loss": pack([1, 2, 3], [3.0, 2.0, 1.0])})
    failure = {"code": "diverged", "detail": "NaN"}
    worker.finish(bad, {"loss": pack([1, 2, 3], [3.0, 4.0, float("nan")])}, State.FAILED, failure)
    view = client.post("/v1/comparisons", json={"experiments": [posted["id"]], "series": ["loss"]}).json()
    (group,) = view["groups"]
    assert group["diverged"] == 1
    assert (group["series"]["loss"]["last"]["n"], group["series"]["loss"]["last"]["diverged"]) == (1, 1)
    assert group["series"]["loss"]["last"]["mean"] == 1.0
    assert group["series"]["loss"]["curve"]["mean"] == [3.0, 3.0, 1.0]
    assert group["series"]["loss"]["curve"]["n"] == [2, 2, 1]


def test_a_retry_from_a_checkpoint_is_said_to_lack_its_beginning(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(steps=3)
    held = worker.claim()
    worker.save(held, 2, {"loss": pack([1, 2], [3.0, 2.0])})
    worker.finish(held, {}, State.FAILED, {"code": "crashed", "detail": "x"})
    run = client.post(f"/v1/runs/{held.run_id}/retry").json()["id"]
    worker.finish(worker.claim(), {"loss": pack([3], [1.0])})
    view = client.post("/v1/comparisons", json={"experiments": [posted["id"]], "series": ["loss"]}).json()
    (told,) = [each for each in view["warnings"] if "retries" in each]
    assert f"in {run}, the first 2 steps" in told


def test_an_unfair_comparison_is_warned_about(client: TestClient, train: Callable[..., str], submit: Submit) -> None:
    ids = [train([0.1, 0.2]), train([0.1], dataset={"kind": "iris", "split_seed": 1}, steps=50), submit(steps=50)["id"]]
    told = " ".join(client.post("/v1/comparisons", json={"experiments": ids}).json()["warnings"])
    for words in ("hold out different rows", "different seeds", "different lengths", "not ended", "No values of loss"):
        assert words in told


def test_a_series_that_no_run_has_is_said_with_the_one_that_was_meant(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(steps=3)
    worker.finish(worker.claim(), {"loss": pack([1, 2, 3], [3.0, 2.0, 1.0]), "val/f1_macro": pack([3], [0.5])})
    for asked, meant in (("val/f1", "val/f1_macro"), ("los", "loss")):
        view = client.post("/v1/comparisons", json={"experiments": [posted["id"]], "series": [asked]}).json()
        assert [each for each in view["warnings"] if each.endswith(f"The runs have {meant}.")]
    view = client.post("/v1/comparisons", json={"experiments": [posted["id"]], "series": ["loss"]}).json()
    assert not any("The runs have" in each for each in view["warnings"])


def test_each_mean_is_held_against_the_reference_of_the_question(client: TestClient, train: Callable[..., str]) -> None:
    good = train([0.1, 0.11, 0.12], name="good")
    poor = train([0.5, 0.52, 0.51], name="poor", optimizer={"kind": "sgd", "lr": 0.01})
    question = {"experiments": [good, poor], "series": ["loss"], "figure": "best", "reference": 0.3}
    first, second = client.post("/v1/comparisons", json=question).json()["ranking"]["items"]
    assert first["reference"]["verdict"] == "better"
    assert first["reference"]["difference"] == pytest.approx(0.11 - 0.3)
    assert first["reference"]["bound"] == pytest.approx(0.11 + 2.919986 * 0.01 / 3**0.5, rel=1e-6)
    assert first["reference"]["p_adjusted"] == pytest.approx(2 * first["reference"]["p"])
    assert first["reference"]["note"] == "The mean of good is better than 0.3, over 3 seeds."
    assert second["reference"]["verdict"] == "not_shown"
    assert second["reference"]["p"] > 0.99
    plain = client.post("/v1/comparisons", json=question | {"reference": None}).json()
    assert [each["reference"] for each in plain["ranking"]["items"]] == [None, None]


def test_a_group_with_a_diverged_seed_is_not_shown_to_be_better(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(seeds=[0, 1, 2], steps=3)
    for lost in (False, False, True):
        held = worker.claim()
        state = (State.FAILED, {"code": "diverged", "detail": "NaN"}) if lost else (State.SUCCEEDED,)
        worker.finish(held, {"loss": pack([1, 2, 3], [3.0, 2.0, 1.0 + 0.001 * held.seed])}, *state)
    question = {"experiments": [posted["id"]], "series": ["loss"], "reference": 2.5, "figure": "best"}
    (item,) = client.post("/v1/comparisons", json=question).json()["ranking"]["items"]
    assert item["reference"]["verdict"] == "not_shown"
    assert "1 of its seeds diverged" in item["reference"]["note"]


def test_single_runs_can_be_compared_on_the_axis_of_epochs(client: TestClient, train: Callable[..., str]) -> None:
    experiment = client.get(f"/v1/experiments/{train([0.1, 0.2])}").json()
    ids = [run["id"] for run in experiment["runs"]]
    question = {"runs": ids, "group": "run", "series": ["loss"], "x": "epoch"}
    view = client.post("/v1/comparisons", json=question).json()
    assert [group["runs"] for group in view["groups"]] == [[run_id] for run_id in ids]
    assert view["groups"][0]["series"]["loss"]["curve"]["x"][-1] == 25.0  # 100 steps of 4 an epoch


def test_accuracies_are_better_when_higher(client: TestClient, submit: Submit, worker: Worker) -> None:
    ids = [submit(name="worse")["id"], submit(name="better", batch_size=16)["id"]]
    for value in (0.5, 0.9):
        worker.finish(worker.claim(), {"val/accuracy": pack([1, 2], [value, value - 0.1])})
    view = client.post("/v1/comparisons", json={"experiments": ids, "series": ["val/accuracy"]}).json()
    assert view["ranking"]["direction"] == "max"
    assert [item["best"]["mean"] for item in view["ranking"]["items"]] == [0.9, 0.5]


def test_what_is_ranked_by_default_is_the_validation_and_never_the_least_minibatch(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    """One lucky batch has the least loss of all; the validation says the other is better, and so does the end."""
    ids = [submit(name=name, steps=100)["id"] for name in ("lucky", "good")]
    for batch, end, validation in ((1e-9, 0.5, 0.6), (0.2, 0.2, 0.3)):
        loss = np.full(100, end)
        loss[50] = batch
        chunks = {"loss": pack(np.arange(1, 101), loss), "val/loss": pack([50, 100], [1.0, validation])}
        worker.finish(worker.claim(), chunks)
    ranking = client.post("/v1/comparisons", json={"experiments": ids}).json()["ranking"]
    assert (ranking["series"], ranking["figure"], ranking["stretch"]) == ("val/loss", "best", None)
    assert [(item["label"], item["best"]["mean"]) for item in ranking["items"]] == [("good", 0.3), ("lucky", 0.6)]
    ranking = client.post("/v1/comparisons", json={"experiments": ids, "series": ["loss"]}).json()["ranking"]
    assert (ranking["figure"], ranking["stretch"]) == ("last", [91, 100])
    assert [(item["label"], item["best"]["mean"]) for item in ranking["items"]] == [
        ("good", pytest.approx(0.2)),
        ("lucky", pytest.approx(0.5)),
    ]
    asked = client.post("/v1/comparisons", json={"experiments": ids, "series": ["loss"], "figure": "best"}).json()
    assert [item["label"] for item in asked["ranking"]["items"]] == ["lucky", "good"]


def test_runs_that_went_on_after_a_nan_are_diverged_in_every_sentence(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    ids = [submit(name=name, steps=3)["id"] for name in ("went on", "failed", "good")]
    worker.finish(worker.claim(), {"loss": pack([1, 2, 3], [0.1, float("nan"), 0.1])})
    worker.finish(worker.claim(), {"loss": pack([1, 2], [0.1, 0.1])}, State.FAILED, {"code": "lost_loop", "detail": ""})
    worker.finish(worker.claim(), {"loss": pack([1, 2, 3], [0.9, 0.9, 0.9])})
    view = client.post("/v1/comparisons", json={"experiments": ids}).json()
    assert "1 of the runs diverged: they are counted, but left out of every mean." in view["warnings"]
    assert "1 of the runs failed or were cancelled: they have no value and are in no mean." in view["warnings"]
    assert not any("may still turn" in each for each in view["warnings"]), "all have ended"
    counts = [(group["diverged"], group["incomplete"], group["unfinished"]) for group in view["groups"]]
    assert counts == [(1, 0, 0), (0, 1, 0), (0, 0, 0)]
    assert view["ranking"]["items"][0]["label"] == "good"


def test_a_stored_comparison_is_answered_with_what_is_there_by_then(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(steps=2)
    asked = client.post("/v1/comparisons", json={"experiments": [posted["id"]]})
    assert asked.json()["groups"][0]["series"]["loss"]["last"]["n"] == 0
    worker.finish(worker.claim(), {"loss": pack([1, 2], [2.0, 1.0])})
    later = client.get(asked.headers["Location"]).json()
    assert later["groups"][0]["series"]["loss"]["last"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("question", "pointer"),
    [
        ({}, "/experiments"),
        ({"experiments": ["exp_" + "0" * 26], "runs": ["run_" + "0" * 26]}, "/experiments"),
        ({"experiments": ["run_" + "0" * 26]}, "/experiments"),
        ({"runs": ["run_" + "0" * 26] * 2}, "/runs"),
        ({"experiments": []}, "/experiments"),
        ({"runs": ["nonsense"]}, "/runs/0"),
        ({"runs": ["run_" + "0" * 26], "points": 1}, "/points"),
        ({"runs": ["run_" + "0" * 26], "window": [3, 3]}, "/window"),
        ({"runs": ["run_" + "0" * 26], "window": [-1, 3]}, "/window/0"),
        ({"runs": ["run_" + "0" * 26], "x": "hour"}, "/x"),
    ],
)
def test_a_question_without_sense_is_refused(shared: TestClient, question: dict[str, Any], pointer: str) -> None:
    answer = shared.post("/v1/comparisons", json=question)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_a_comparison_of_what_is_not_there_is_not_found(client: TestClient) -> None:
    assert client.post("/v1/comparisons", json={"runs": ["run_" + "0" * 26]}).status_code == 404


def test_a_long_curve_is_drawn_by_real_points_at_the_ends_of_buckets(
    client: TestClient, train: Callable[..., str]
) -> None:
    ids = [train([0.1, 0.2], name="low", steps=5000), train([0.5], name="high", steps=5000)]
    question = {"experiments": ids, "series": ["loss"], "points": 100}
    curve = client.post("/v1/comparisons", json=question).json()["groups"][0]["series"]["loss"]["curve"]
    assert curve["x"] == [*range(63, 5000, 64), 5000]
    exact = [np.linspace(1.0, least, 5000)[np.array(curve["x"], int) - 1] for least in (0.1, 0.2)]
    assert curve["mean"] == pytest.approx(np.mean(exact, axis=0).tolist())
    assert curve["n"] == [2] * len(curve["x"])
    smoothed = client.post("/v1/comparisons", json=question | {"smoothing": 0.9}).json()
    assert len(smoothed["groups"][0]["series"]["loss"]["curve"]["x"]) == 100


@pytest.mark.parametrize(
    ("axis", "scale"),
    [("step", 1.0), ("epoch", 0.25)],  # four steps an epoch
)
@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_the_points_of_a_window_are_finer_and_its_figures_are_of_whole_runs(
    client: TestClient, train: Callable[..., str], axis: str, scale: float, smoothing: float
) -> None:
    question = {"experiments": [train([0.1, 0.2], steps=5000)], "series": ["loss"], "points": 100, "x": axis}
    question["smoothing"] = smoothing
    whole, part = (
        client.post("/v1/comparisons", json=question | {"window": window}).json()["groups"][0]["series"]["loss"]
        for window in (None, [2000 * scale, 2060 * scale])
    )
    inside = [x for x in part["curve"]["x"] if 2000 * scale <= x <= 2060 * scale]
    assert len(inside) >= 59
    assert len([x for x in whole["curve"]["x"] if 2000 * scale <= x <= 2060 * scale]) <= 2
    assert len(part["curve"]["x"]) <= 100
    assert (part["last"], part["best"]) == (whole["last"], whole["best"])
    exact = np.mean([np.linspace(1.0, least, 5000) for least in (0.1, 0.2)], axis=0)
    for x, value in zip(part["curve"]["x"], part["curve"]["mean"], strict=True):
        assert value == pytest.approx(exact[round(x / scale) - 1], abs=2e-4)


FOLDED = {"kind": "digits", "folds": 5}


def test_folds_are_paired_by_fold_and_count_their_overlap(client: TestClient, train: Callable[..., str]) -> None:
    low = train([0.1, 0.2, 0.15, 0.3, 0.12], name="low", dataset=FOLDED)
    high = train([0.2, 0.24, 0.22, 0.36, 0.29], name="high", dataset=FOLDED, batch_size=16)
    view = client.post("/v1/comparisons", json={"experiments": [low, high], "series": ["loss"], "points": 10}).json()
    (contrast,) = [item["contrast"] for item in view["ranking"]["items"] if item["contrast"]]
    assert (contrast["overlap"], contrast["seeds"]) == (0.25, 5)
    factor = 2.7764451051977987 * (1 / 5 + 1 / 4) ** 0.5  # t with 4 degrees of freedom
    assert contrast["ci_high"] - contrast["difference"] == pytest.approx(factor * contrast["sd"])
    best = view["groups"][0]["series"]["loss"]["best"]
    assert best["ci_high"] - best["mean"] == pytest.approx(factor * best["sd"])
    curve = view["groups"][0]["series"]["loss"]["curve"]
    assert curve["ci_high"][-1] - curve["mean"][-1] == pytest.approx(factor * curve["sd"][-1])
    assert any("5 folds of one dataset" in told for told in view["warnings"])
    main = client.get(f"/v1/experiments/{low}").json()["main"]
    assert main["best_interval"][1] - main["best"] == pytest.approx(factor * best["sd"])
    plain = train([0.2, 0.24], name="plain", dataset={"kind": "digits"})
    mixed = client.post("/v1/comparisons", json={"experiments": [low, plain], "series": ["loss"]}).json()
    assert mixed["ranking"]["verdict"] == "not_comparable"
    assert "hold out different rows" in mixed["ranking"]["note"]


def test_each_fold_has_as_many_runs(client: TestClient) -> None:
    document = {name: value for name, value in SPEC.items() if name != "seeds"}

    def post(**changes: Any) -> Any:
        return client.post("/v1/experiments", json=document | changes)

    assert [run["seed"] for run in post(dataset=FOLDED, restarts=2).json()["runs"]] == list(range(10))
    assert len(post(folds=3).json()["runs"]) == 3
    assert post(dataset=FOLDED, seeds=[5, 11, 2, 3, 4]).status_code == 201
    uneven = post(dataset=FOLDED, seeds=[0, 1, 2])
    assert [(each["pointer"], each["code"]) for each in uneven.json()["errors"]] == [("/seeds", "uneven_folds")]


def test_another_preparation_of_the_same_rows_is_only_noted(client: TestClient, train: Callable[..., str]) -> None:
    divided = {"kind": "digits", "prepare": [{"kind": "divide", "by": 16}], "scaling": "none"}
    chosen = [
        train([0.1, 0.2], name=f"group {at}", dataset=dataset)
        for at, dataset in enumerate(({"kind": "digits"}, divided, divided | {"shuffled_targets": 0.5}))
    ]
    for others, expected in ((chosen[:2], {"preprocessing": "noted"}), (chosen[1:], {"data": "fatal"})):
        view = client.post("/v1/comparisons", json={"experiments": others, "series": ["loss"]}).json()
        found = {each["aspect"]: each["severity"] for each in view["comparability"]["mismatches"]}
        assert found == expected
