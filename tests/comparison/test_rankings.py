"""What a comparison concludes over HTTP: verdicts, fairness, effort, axes and times to a target."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.metrics.codec import Chunk, pack
from service.db.runs import leases
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import Worker

Submit = Callable[..., dict[str, Any]]
Train = Callable[..., str]
STEPS = 40
DIVERGED = {"code": "diverged", "detail": "the loss is nan"}
CPU = {"device": "cpu", "device_name": "x86_64 AVX2", "threads": 1, "torch": "2.13.0"}


def falling(least: float, steps: int = STEPS) -> dict[str, Chunk]:
    """A loss that falls in a straight line from 1 to `least`; the rate beside it."""
    at = np.arange(1, steps + 1)
    return {"loss": pack(at, np.linspace(1.0, least, steps)), "lr": pack(at, np.full(steps, 0.1))}


@pytest.fixture
def train(submit: Submit, worker: Worker, engine: Engine) -> Train:
    """Train an experiment whose seed i ends at the loss `least[i]`; None: it diverges."""

    def trained(least: Sequence[float | None], environment: dict[str, Any] = CPU, **changes: Any) -> str:
        posted = submit(seeds=list(range(len(least))), **({"steps": STEPS} | changes))
        for _ in least:
            held = worker.claim()
            with transaction(engine) as connection:
                leases.flush(connection, held, {}, environment)
            end = least[held.seed]
            if end is None:
                worker.finish(held, {"loss": pack([1, 2], [1.0, float("nan")])}, State.FAILED, DIVERGED)
            else:
                worker.finish(held, falling(end))
        return str(posted["id"])

    return trained


@pytest.fixture
def compare(client: TestClient) -> Callable[..., dict[str, Any]]:
    def compared(experiments: Sequence[str], **question: Any) -> dict[str, Any]:
        asked = {"experiments": list(experiments), "series": ["loss"], "figure": "best", "points": None} | question
        answer = client.post("/v1/comparisons", json=asked)
        assert answer.status_code == 201, answer.text
        view: dict[str, Any] = answer.json()
        return view

    return compared


Compare = Callable[..., dict[str, Any]]


def rates(train: Train, lrs: dict[float, Sequence[float | None]], kind: str = "sgd") -> list[str]:
    return [train(least, name=f"{kind} {lr}", optimizer={"kind": kind, "lr": lr}) for lr, least in lrs.items()]


def test_a_spread_that_seeds_share_hides_no_difference(train: Train, compare: Compare) -> None:
    """The groups' intervals overlap wide; seed by seed one is always better."""
    ids = rates(train, {0.1: [0.1, 0.3, 0.5, 0.7], 0.2: [0.15, 0.36, 0.55, 0.74]})
    ranking = compare(ids)["ranking"]
    assert ranking["verdict"] == "better"
    contrast = ranking["items"][1]["contrast"]
    assert ranking["items"][0]["contrast"] is None
    assert (contrast["against"], contrast["verdict"], contrast["seeds"]) == ("sgd 0.1", "worse", 4)
    assert contrast["difference"] == pytest.approx(0.05)
    assert contrast["wins"] == 0.0
    assert contrast["bootstrap_low"] > 0
    assert not contrast["provisional"]
    best = ranking["items"][0]["best"]
    assert (best["q1"], best["q3"]) == pytest.approx((0.25, 0.55))
    assert best["ci_low"] < best["bootstrap_low"] < best["mean"] < best["bootstrap_high"] < best["ci_high"]


def test_a_named_baseline_is_held_against_all_others(train: Train, compare: Compare) -> None:
    ids = rates(train, {0.1: [0.1, 0.2], 0.2: [0.3, 0.401], 0.3: [0.5, 0.602]})
    assert compare(ids)["ranking"]["tests"] == 3
    ranking = compare(ids, baseline="sgd 0.2")["ranking"]
    assert (ranking["baseline"], ranking["tests"]) == ("sgd 0.2", 2)
    assert [item["contrast"] and item["contrast"]["verdict"] for item in ranking["items"]] == ["better", None, "worse"]


def test_a_filter_chooses_the_experiments_anew_at_every_reading(train: Train, client: TestClient) -> None:
    first = rates(train, {0.1: [0.1, 0.2], 2.0: [0.3, 0.4]})
    question = {"filter": "optimizer.lr < 1", "series": ["loss"], "points": None}
    asked = client.post("/v1/comparisons", json=question)
    assert [group["experiment_id"] for group in asked.json()["groups"]] == first[:1]
    later = rates(train, {0.5: [0.5, 0.6]})
    view = client.get(asked.headers["Location"]).json()
    assert [group["experiment_id"] for group in view["groups"]] == [first[0], *later]
    wrong = client.post("/v1/comparisons", json={"filter": "optimiser.lr < 1"})
    problem = wrong.json()["errors"][0]
    assert (problem["pointer"], problem["column"], problem["did_you_mean"]) == ("/filter", 1, "optimizer.lr")
    assert client.post("/v1/comparisons", json={"filter": "name = nobody"}).status_code == 404


def test_a_baseline_that_is_no_group_is_refused_with_a_guess(train: Train, client: TestClient) -> None:
    ids = rates(train, {0.1: [0.1]})
    answer = client.post("/v1/comparisons", json={"experiments": ids, "baseline": "sgd 0,1"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["did_you_mean"] == "sgd 0.1"


def test_a_note_says_what_is_missing_and_what_diverged(train: Train, compare: Compare) -> None:
    ids = [train([0.1, 0.2, 0.3], name="good"), train([None, None, None], name="lost"), train([None] * 3, name="gone")]
    assert compare(ids[:2])["ranking"]["note"].endswith("good diverged on 0 of the shared seeds, lost on 3.")
    assert compare(ids[1:])["ranking"]["note"].endswith("lost diverged on 3 of the shared seeds, gone on 3.")
    mistyped = compare([*ids[:1], train([0.1], name="one")], series=["los"])["ranking"]["note"]
    assert mistyped == "No value of the ranked series in: good and one."


def test_other_data_are_not_comparable_and_other_losses_only_by_accuracy(train: Train, compare: Compare) -> None:
    ids = [train([0.1, 0.2]), train([0.5, 0.6], dataset={"kind": "iris", "split_seed": 1})]
    view = compare(ids)
    assert view["ranking"]["verdict"] == "not_comparable"
    assert view["ranking"]["items"][1]["contrast"]["more_seeds"] is None
    (mismatch,) = [each for each in view["comparability"]["mismatches"] if each["severity"] == "fatal"]
    assert (mismatch["aspect"], [value["split_seed"] for value in mismatch["values"]]) == ("split", [0, 1])
    assert not view["comparability"]["comparable"]
    smoothed = train([0.5, 0.6], loss={"kind": "cross_entropy", "label_smoothing": 0.1})
    assert compare([ids[0], smoothed])["ranking"]["verdict"] == "not_comparable"
    assert compare([ids[0], smoothed], series=["val/accuracy"])["comparability"]["comparable"]


def test_every_difference_of_conditions_is_named(train: Train, compare: Compare) -> None:
    faster = CPU | {"device_name": "x86_64 AVX512", "torch": "2.12.0"}
    ids = [train([0.1, 0.2]), train([0.1, 0.2, 0.3], faster, precision="bf16", steps=80, evaluate={"every_steps": 5})]
    report = compare(ids, series=["val/loss"])["comparability"]
    named = {each["aspect"]: each["severity"] for each in report["mismatches"]}
    assert named == {
        "precision": "noted",
        "cadence": "unfair",
        "budget": "unfair",
        "seeds": "unfair",
        "schedule": "unfair",
        "hardware": "noted",
        "software": "noted",
    }
    assert (report["comparable"], report["fair"]) == (True, False)


def test_clocks_of_different_hardware_are_not_compared(train: Train, client: TestClient) -> None:
    ids = [train([0.1]), train([0.1], CPU | {"threads": 2})]
    answer = client.post("/v1/comparisons", json={"experiments": ids, "x": "wall_s"})
    assert answer.status_code == 409
    assert "x86_64 AVX2, 2 threads" in answer.json()["detail"]


def test_diverged_runs_are_in_no_mean_and_never_forgotten(train: Train, compare: Compare) -> None:
    ids = rates(train, {0.1: [0.5, 0.5, 0.5, 0.5, 0.5], 9.0: [None, None, None, 0.1, None]})
    view = compare(ids)
    assert [item["label"] for item in view["ranking"]["items"]] == ["sgd 0.1", "sgd 9.0"], "one lucky seed is no lead"
    assert view["ranking"]["items"][1]["contrast"]["diverged"] == [4, 0]
    assert (view["groups"][1]["diverged"], view["groups"][1]["unfinished"]) == (4, 0)
    assert "4 of the runs diverged: they are counted, but left out of every mean." in view["warnings"]


def test_a_schedule_that_has_not_ended_makes_a_verdict_provisional(
    train: Train, compare: Compare, submit: Submit, worker: Worker
) -> None:
    done = train([0.5, 0.6])
    half = submit(steps=STEPS, seeds=[0, 1], optimizer={"kind": "sgd", "lr": 0.2})["id"]
    for _ in range(2):
        worker.flush(worker.claim(), falling(0.1, steps=20))
    view = compare([done, half])
    assert [item["contrast"] and item["contrast"]["provisional"] for item in view["ranking"]["items"]] == [None, True]
    assert [group["unfinished"] for group in view["groups"]] == [0, 2]
    assert any("the order may still change" in each for each in view["warnings"])


@pytest.mark.parametrize(("state", "failure"), [(State.FAILED, {"code": "cuda_oom"}), (State.CANCELLED, None)])
def test_runs_that_ended_early_are_final_and_told(
    train: Train, compare: Compare, submit: Submit, worker: Worker, state: State, failure: dict[str, Any] | None
) -> None:
    done = train([0.5, 0.6])
    short = submit(steps=STEPS, seeds=[0, 1], optimizer={"kind": "sgd", "lr": 0.2})["id"]
    for _ in range(2):
        worker.finish(worker.claim(), falling(0.1, steps=20), state, failure)
    view = compare([done, short])
    assert [item["contrast"] and item["contrast"]["provisional"] for item in view["ranking"]["items"]] == [None, False]
    assert [group["unfinished"] for group in view["groups"]] == [0, 0]
    assert "2 of the runs failed, were cancelled or stopped before the end of their schedule." in view["warnings"]
    assert not any("may still turn" in each or "will change" in each for each in view["warnings"])


def test_groups_by_a_field_are_ranked_by_their_best_trial_and_say_what_it_took(train: Train, compare: Compare) -> None:
    ids = rates(train, {0.01: [0.8, 0.9], 0.1: [0.2, 0.3], 1.0: [None, None]})
    ids += rates(train, {0.3: [0.4, 0.5]}, "adam")
    view = compare(ids, group="optimizer.kind")
    assert [group["label"] for group in view["groups"]] == ["optimizer.kind sgd", "optimizer.kind adam"]
    first = view["ranking"]["items"][0]
    assert (first["experiment_id"], first["trials"], first["best"]["mean"]) == (ids[1], 3, pytest.approx(0.25))
    effort = view["groups"][0]["effort"]
    assert (effort["trials"], effort["runs"], effort["steps"]) == (3, 6, 4 * STEPS + 2 * 2)
    assert effort["tuned"] == {"/optimizer/lr": [0.01, 0.1, 1.0]}
    assert effort["border"] == []
    assert effort["expected_best"] == pytest.approx([(0.25 + 0.85 + 0.85) / 3, (0.25 * 2 + 0.85) / 3, 0.25])
    assert effort["sensitivity"]["best_lr"] == 0.1
    assert effort["sensitivity"]["value"] == pytest.approx(((0.6 + 0) / 2 + (0 + 0.75) / 2) / 2)
    assert view["groups"][1]["effort"]["expected_best"] == []
    assert effort["device_s"] > 0
    tuning = [each for each in view["comparability"]["mismatches"] if each["aspect"] == "tuning"]
    assert tuning[0]["values"] == [3, 1]
    assert len(view["difference"]["/optimizer/lr"]["values"]) == 4
    labels = [label for group in view["groups"] for label in group["trial_labels"]]
    assert labels == ["sgd 0.01", "sgd 0.1", "sgd 1.0", "adam 0.3"]
    at_border = compare(rates(train, {0.01: [0.8], 0.1: [0.5], 1.0: [0.2]}), group="optimizer.kind")
    assert at_border["groups"][0]["effort"]["border"] == ["/optimizer/lr"]


def test_an_unknown_field_to_group_by_is_refused_with_a_guess(train: Train, client: TestClient) -> None:
    answer = client.post("/v1/comparisons", json={"experiments": [train([0.1])], "group": "optimiser.kind"})
    assert answer.status_code == 422
    problem = answer.json()["errors"][0]
    assert (problem["pointer"], problem["did_you_mean"]) == ("/group", "optimizer.kind")


@pytest.mark.parametrize(
    ("x", "last"),
    [("epoch", 10.0), ("samples", 1200.0), ("gradient_evaluations", 40.0)],
)
def test_curves_meet_on_the_axis_that_is_asked(train: Train, compare: Compare, x: str, last: float) -> None:
    """120 training rows in batches of 32: the fourth step of an epoch has 24."""
    curve = compare([train([0.1])], x=x, points=200)["groups"][0]["series"]["loss"]["curve"]
    assert (curve["x"][-1], len(curve["x"])) == (last, STEPS)
    if x == "samples":
        assert curve["x"][:5] == [32.0, 64.0, 96.0, 120.0, 152.0]


def test_an_optimizer_that_searches_is_counted_by_its_gradients(
    compare: Compare, submit: Submit, worker: Worker
) -> None:
    posted = submit(steps=3)
    counted = pack([1, 2, 3], [5.0, 9.0, 20.0])
    worker.finish(worker.claim(), falling(0.1, 3) | {"gradient_evaluations": counted})
    view = compare([posted["id"]], x="gradient_evaluations", points=10)
    assert view["groups"][0]["series"]["loss"]["curve"]["x"] == [5.0, 9.0, 20.0]


def test_seconds_are_those_of_attempts_and_checkpoints(
    compare: Compare, submit: Submit, worker: Worker, engine: Engine
) -> None:
    """Lost after 20 steps and 10 s; goes on 100 s later from the checkpoint, and ends 30 s after that."""
    posted = submit(steps=40)
    first = worker.claim()
    worker.save(first, 20, falling(0.5, 20))
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE run SET state = 'queued', lease = NULL, worker = NULL WHERE id = :id"), {"id": first.run_id}
        )
    second = worker.claim()
    rest = np.arange(21, 41)
    worker.finish(second, {"loss": pack(rest, np.linspace(0.5, 0.1, 20))})
    with transaction(engine) as connection:
        for statement in (
            "UPDATE attempt SET started_at = r.started_at, ended_at = r.started_at + interval '15 s' "
            "FROM run r WHERE r.id = run_id AND attempt.attempt = 1",
            "UPDATE checkpoint SET created_at = r.started_at + interval '10 s' FROM run r WHERE r.id = run_id",
            "UPDATE attempt SET started_at = r.started_at + interval '115 s', "
            "ended_at = r.started_at + interval '145 s' FROM run r WHERE r.id = run_id AND attempt.attempt = 2",
        ):
            connection.execute(text(statement))
    for x, last in (("wall_s", 145.0), ("device_s", 45.0)):
        view = compare([posted["id"]], x=x, points=200)
        seen = view["groups"][0]["series"]["loss"]["curve"]["x"]
        assert (seen[0], seen[19], seen[-1]) == pytest.approx((0.5, 10.0, last))
        assert seen[20] == pytest.approx(last - 30 + 1.5)
    assert view["groups"][0]["effort"]["device_s"] == pytest.approx(45.0)


def test_smoothing_stands_beside_the_raw_curve(train: Train, compare: Compare) -> None:
    series = compare([train([0.1])], points=200, smoothing=0.5)["groups"][0]["series"]["loss"]
    raw, smoothed = series["curve"]["mean"], series["smoothed"]["mean"]
    assert raw[:2] == pytest.approx([1.0, 1 - 0.9 / 39])
    assert smoothed[:2] == pytest.approx([1.0, (0.25 * raw[0] + 0.5 * raw[1]) / 0.75])


def test_times_to_a_target_are_medians_over_seeds_of_the_best_trial(train: Train, compare: Compare) -> None:
    """The loss falls in a straight line over 40 steps, so 0.5 is reached at a step known in advance."""
    ids = rates(train, {0.1: [0.0, 0.0, 0.0], 0.2: [0.25, 0.25, None]})
    ids += rates(train, {0.3: [0.9, 0.9, 0.9]}, "adam")
    target = compare(ids, group="optimizer.kind", target={"value": 0.5})["target"]
    assert target["workloads"] == [{"label": "iris, linear", "target": 0.5}]
    assert target["times"] == [[21.0], ["Infinity"]]
    assert target["ratios"] == [[1.0], ["Infinity"]]
    assert (target["scores"], target["reached"], target["speedups"]) == ([1.0, 0.0], [1, 0], [1.0, None])
    alone = compare(ids, target={"value": 0.5})["target"]
    assert alone["times"] == [[21.0], [27.0], ["Infinity"]]
    assert alone["scores"] == pytest.approx([1.0, (4 - 27 / 21) / 3, 0.0])
    share = compare(ids[:1], target={"share": 0.5})["target"]
    assert share["workloads"][0]["target"] == pytest.approx(0.5)


def test_a_workload_that_not_every_group_has_is_left_out_by_name(train: Train, compare: Compare) -> None:
    ids = [
        train([0.1, 0.1], name="a"),
        train([0.1, 0.1], name="b", dataset={"kind": "wine"}),
        train([0.1, 0.1], name="c", optimizer={"kind": "adam", "lr": 0.1}),
    ]
    target = compare(ids, group="optimizer.kind", target={"value": 0.5})["target"]
    assert [each["label"] for each in target["workloads"]] == ["iris, linear"]
    assert target["left_out"] == ["wine, linear"]


def test_a_run_that_still_trains_may_yet_reach_the_target(
    train: Train, compare: Compare, submit: Submit, worker: Worker
) -> None:
    open_id = submit(steps=STEPS)["id"]
    worker.flush(worker.claim(), falling(0.9, 10))
    target = compare([open_id, train([0.1])], target={"value": 0.5})["target"]
    assert target["open"] == [[1], [0]]


def test_a_replay_never_speaks_and_a_retry_speaks_for_its_seed(train: Train, compare: Compare, engine: Engine) -> None:
    experiment = train([None, 0.2])
    with transaction(engine) as connection:
        runs = connection.execute(
            text("SELECT id FROM run WHERE experiment_id = :id ORDER BY seed"), {"id": experiment}
        ).scalars()
        failed, good = list(runs)
        for parent, relation, new in ((failed, "retry", "y"), (good, "replay", "z")):
            connection.execute(
                text(
                    "INSERT INTO run (id, experiment_id, project_id, owner_id, seed, total_steps, pool, parent_run_id, "
                    "relation) SELECT :new, experiment_id, project_id, owner_id, seed, total_steps, pool, id, :relation"
                    " FROM run WHERE id = :parent"
                ),
                {"new": "run_" + "z" * 25 + new, "relation": relation, "parent": parent},
            )
    (group,) = compare([experiment])["groups"]
    assert group["runs"] == ["run_" + "z" * 25 + "y", good]
    assert group["diverged"] == 0


@pytest.mark.parametrize(
    ("part", "pointer"),
    [
        ({"target": {}}, "/target"),
        ({"target": {"value": 0.1, "share": 0.5}}, "/target"),
        ({"target": {"share": 1.5}}, "/target/share"),
        ({"smoothing": 1.0}, "/smoothing"),
        ({"figure": "mean"}, "/figure"),
    ],
)
def test_a_part_of_a_question_without_sense_is_refused(shared: TestClient, part: dict[str, Any], pointer: str) -> None:
    answer = shared.post("/v1/comparisons", json={"experiments": ["exp_" + "0" * 26]} | part)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_the_greater_accuracy_is_ranked_first(submit: Submit, worker: Worker, compare: Compare) -> None:
    ids = []
    for name, best in (("low", 0.6), ("high", 0.9)):
        ids.append(submit(name=name, seeds=[0], steps=STEPS)["id"])
        accuracy = pack(np.arange(1, STEPS + 1), np.linspace(0.1, best, STEPS))
        worker.finish(worker.claim(), {"val/accuracy": accuracy})
    ranking = compare(ids, series=["val/accuracy"])["ranking"]
    assert ranking["direction"] == "max"
    assert [each["label"] for each in ranking["items"]] == ["high", "low"]
