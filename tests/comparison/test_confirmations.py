"""A comparison that is confirmed: who is trained from which seeds, and what those seeds alone say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.comparison import answer as answers
from service.comparison.extension import SEED_END, unused_seeds
from service.db.access.principal import Principal
from service.db.metrics.codec import pack
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.experiments.context import Context
from service.lifecycle import State
from service.schemas.confirmations import ConfirmRequest
from service.settings import Settings
from tests.fixtures.api import Worker
from tests.harness.statements import sent_statements

Submit = Callable[..., dict[str, Any]]
STEPS = 40
DIVERGED = {"code": "diverged", "detail": "the loss is nan"}
LUCKY = {"sgd": [[0.10, 0.21, 0.29], *[[0.35 + k / 50, 0.42, 0.5] for k in range(4)]], "adam": [[0.16, 0.25, 0.36]]}


def end(worker: Worker, held: Claim, least: float | None) -> None:
    """The claimed run ends at this loss; None: it diverges."""
    if least is None:
        worker.finish(held, {"loss": pack([1, 2], [1.0, float("nan")])}, State.FAILED, DIVERGED)
    else:
        at = np.arange(1, STEPS + 1)
        worker.finish(held, {"loss": pack(at, np.linspace(1.0, least, STEPS))})


def trials(
    submit: Submit, worker: Worker, ends: Mapping[str, Sequence[Sequence[float | None]]], **more: Any
) -> dict[str, list[str]]:
    """Of each optimizer an experiment for each of its trials, whose seed i ends at the i-th loss."""
    made: dict[str, list[str]] = {}
    for kind, each in ends.items():
        for at, least in enumerate(each):
            optimizer = {"kind": kind, "lr": (at + 1) / 10}
            changes = {"seeds": list(range(len(least))), "steps": STEPS, "optimizer": optimizer} | more
            made.setdefault(kind, []).append(submit(name=f"{kind} {at}", **changes)["id"])
            for _ in least:
                held = worker.claim()
                end(worker, held, least[held.seed])
    return made


def compare(client: TestClient, made: Mapping[str, Sequence[str]], **question: Any) -> dict[str, Any]:
    ids = [each for some in made.values() for each in some]
    asked = {
        "experiments": ids,
        "series": ["loss"],
        "figure": "best",
        "points": None,
        "group": "optimizer.kind",
    } | question
    answer = client.post("/v1/comparisons", json={k: v for k, v in asked.items() if v is not None})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def confirm(client: TestClient, comparison: Mapping[str, Any], **order: Any) -> Any:
    return client.post(f"/v1/comparisons/{comparison['id']}/confirm", json=order)


def again(client: TestClient, comparison: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/comparisons/{comparison['id']}").json()
    return found


def test_a_winner_chosen_among_trials_is_unconfirmed_until_fresh_seeds_tell(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    made = trials(submit, worker, LUCKY)
    view = compare(client, made)
    ranking, contrast = view["ranking"], view["ranking"]["items"][1]["contrast"]
    assert (ranking["verdict"], contrast["choices"], view["confirmation"]) == ("unconfirmed", 5, None)
    assert contrast["p"] < 0.05 < contrast["p_adjusted"] == pytest.approx(5 * contrast["p"])
    assert "these seeds also selected it from 5 trials" in ranking["note"]
    assert compare(client, {"sgd": made["sgd"][:1], "adam": made["adam"]})["ranking"]["verdict"] == "better"

    answer = confirm(client, view, seeds=3)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/comparisons/{view['id']}")
    found = answer.json()["confirmation"]
    assert (found["state"], found["seeds"], found["verdict"], found["confirmed"]) == ("running", [3, 4, 5], None, None)
    assert [(each["trial_id"], each["trials"]) for each in found["contestants"]] == [
        (made["sgd"][0], 5),
        (made["adam"][0], 1),
    ]
    ends = {"sgd": {3: 0.31, 4: 0.35, 5: 0.33}, "adam": {3: 0.30, 4: 0.36, 5: 0.32}}
    for _ in range(6):
        held = worker.claim()
        kind = held.spec["optimizer"]["kind"]
        assert (held.spec["steps"], held.spec["name"]) == (STEPS, f"{kind} 0, confirmed with fresh seeds")
        end(worker, held, ends[kind][held.seed])
    found = again(client, view)["confirmation"]
    assert (found["state"], found["verdict"], found["confirmed"]) == ("done", "indistinguishable", False)
    assert found["note"].endswith("cannot be told apart over 3 shared seeds."), "no seeds can be added"
    assert found["ranking"]["items"][1]["contrast"]["more_seeds"] is None
    assert found["ranking"]["items"][0]["best"]["mean"] == pytest.approx(0.98 / 3)
    assert {each["label"]: each["best"]["n"] for each in found["ranking"]["items"]} == {
        "optimizer.kind sgd": 3,
        "optimizer.kind adam": 3,
    }


def test_a_better_winner_is_confirmed_and_diverged_fresh_seeds_count(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    view = compare(client, trials(submit, worker, LUCKY))
    confirm(client, view, seeds=4)
    for at in range(8):
        held = worker.claim()
        sgd = held.spec["optimizer"]["kind"] == "sgd"
        end(worker, held, None if at == 7 else (0.1 if sgd else 0.3) + held.seed / 100 + at**2 / 10_000)
    found = again(client, view)["confirmation"]
    assert (found["verdict"], found["confirmed"]) == ("better", True)
    assert [each["diverged"] for each in found["contestants"]] == [0, 1]
    assert found["note"].startswith("On fresh seeds alone: optimizer.kind sgd is better than optimizer.kind adam")


def test_a_run_that_was_cancelled_is_left_out_and_told(client: TestClient, submit: Submit, worker: Worker) -> None:
    view = compare(client, trials(submit, worker, LUCKY))
    found = confirm(client, view, seeds=2).json()["confirmation"]
    for _ in range(3):
        held = worker.claim()
        end(worker, held, 0.2)
    assert "3 of 4 runs have ended" in again(client, view)["confirmation"]["note"]
    client.post(f"/v1/experiments/{found['contestants'][1]['experiment_id']}/cancel")
    found = again(client, view)["confirmation"]
    assert (found["state"], [each["left_out"] for each in found["contestants"]]) == ("done", [0, 1])
    assert "1 of 4 runs have no result" in found["note"]


def test_a_comparison_has_one_confirmation_whose_experiments_join_no_filter(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    trials(submit, worker, LUCKY)
    view = compare(client, {}, experiments=None, filter="dataset.kind = iris")
    first = confirm(client, view, seeds=2)
    once_more = confirm(client, view)
    assert (once_more.status_code, once_more.headers["Idempotent-Replayed"]) == (202, "true")
    assert once_more.json()["confirmation"]["contestants"] == first.json()["confirmation"]["contestants"]
    other = confirm(client, view, seeds=3)
    assert other.status_code == 409
    assert "already has a confirmation" in other.json()["detail"]
    assert sum(len(group["trials"]) for group in again(client, view)["groups"]) == 6
    listed = client.get("/v1/experiments", params={"filter": f"confirms = {view['id']}"}).json()["items"]
    made = {each["experiment_id"] for each in first.json()["confirmation"]["contestants"]}
    assert {each["id"] for each in listed} == made
    for experiment_id in made:
        client.post(f"/v1/experiments/{experiment_id}/cancel")
    for forever in (False, True):
        for experiment_id, note in zip(sorted(made), ("experiments were deleted", None), strict=True):
            assert client.delete(f"/v1/experiments/{experiment_id}?forever={forever}").status_code == 204
            left = again(client, view)["confirmation"]
            assert left is None if note is None else note in left["note"]
        if not forever:
            refused = confirm(client, view, seeds=3)
            assert (refused.status_code, "in the bin" in refused.json()["detail"]) == (404, True), "it could come back"
            for experiment_id in made:
                client.post(f"/v1/experiments/{experiment_id}/restore")
    assert again(client, view)["confirmation"] is None
    assert confirm(client, view, seeds=3).status_code == 202


def test_single_seeds_prove_nothing_but_can_be_confirmed(client: TestClient, submit: Submit, worker: Worker) -> None:
    view = compare(client, trials(submit, worker, {"sgd": [[0.1], [0.2], [0.3]], "adam": [[0.4]]}))
    assert view["ranking"]["verdict"] == "indistinguishable"
    found = confirm(client, view).json()["confirmation"]
    assert found["seeds"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("order", "pointer"),
    [
        ({"seeds": 1}, "/seeds"),
        ({"seeds": "five"}, "/seeds"),
        ({"seed": 5}, "/seed"),
        ({"groups": ["optimizer.kind sgd"]}, "/groups"),
        ({"groups": ["optimizer.kind sgd", "optimizer.kind adan"]}, "/groups/1"),
        ({"groups": ["optimizer.kind sgd", "optimizer.kind sgd"]}, "/groups"),
    ],
)
def test_an_order_without_sense_is_refused(
    client: TestClient, submit: Submit, worker: Worker, order: dict[str, Any], pointer: str
) -> None:
    view = compare(client, trials(submit, worker, {"sgd": [[0.1]], "adam": [[0.2]]}))
    answer = confirm(client, view, **order)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_what_cannot_be_confirmed_is_refused_and_nothing_is_queued(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    made = trials(submit, worker, {"sgd": [[0.1, 0.2]], "adam": [[0.2, 0.3]]})
    view = compare(client, made)
    place = f"/v1/comparisons/{view['id']}/confirm"
    assert client.post(place, headers=stranger).status_code == 404
    singles = compare(client, made, group="run")
    assert "single runs" in confirm(client, singles).json()["detail"]
    one = compare(client, {"sgd": made["sgd"]})
    assert "one group" in confirm(client, one).json()["detail"]
    submit(name="sgd late", steps=STEPS, optimizer={"kind": "sgd", "lr": 0.7})
    waiting = compare(client, {}, experiments=None, filter="steps = 40")
    answer = confirm(client, waiting)
    assert (answer.status_code, "1 of the groups' runs have not ended" in answer.json()["detail"]) == (409, True)
    assert len(client.get("/v1/experiments").json()["items"]) == 3


def test_a_fork_cannot_begin_with_another_seed(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=STEPS)
    held = worker.claim()
    worker.save(held, 10, {"loss": pack(range(1, 11), np.linspace(1, 0.5, 10))})
    end_at = np.arange(11, STEPS + 1)
    worker.finish(held, {"loss": pack(end_at, np.linspace(0.5, 0.1, len(end_at)))})
    forked = client.post(f"/v1/runs/{held.run_id}/forks", json={"step": 10, "changes": {"optimizer": {"lr": 0.5}}})
    fork = worker.claim()
    worker.finish(fork, {"loss": pack(end_at, np.linspace(0.5, 0.2, len(end_at)))})
    ids = {"all": [client.get(f"/v1/runs/{held.run_id}").json()["experiment_id"], forked.json()["id"]]}
    answer = confirm(client, compare(client, ids, group="experiment"))
    assert (answer.status_code, "continues from a checkpoint" in answer.json()["detail"]) == (409, True)


def test_no_more_seeds_are_asked_for_where_the_planned_ones_have_told(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    view = compare(client, trials(submit, worker, LUCKY))
    confirm(client, view, seeds=5)
    finish_all(worker, 10, slightly_better)
    found = again(client, view)["confirmation"]
    looked = found["sequential"]
    assert (found["verdict"], found["confirmed"]) == ("better", True)
    assert (looked["seeds"], looked["decided"], looked["more_seeds"]) == (5, None, None), "its own 1 % takes more"
    assert "more seed" not in looked["note"]
    assert "has not decided; the test of the planned seeds has, and stands" in looked["note"]


def test_fresh_seeds_are_those_that_nobody_used() -> None:
    assert unused_seeds({0, 1, 7}, 3) == (8, 9, 10)
    assert unused_seeds(set(), 2) == (0, 1)
    assert unused_seeds({0, 2, SEED_END - 2}, 3) == (SEED_END - 1, 1, 3)


def extend(client: TestClient, comparison: Mapping[str, Any], **order: Any) -> Any:
    return client.post(f"/v1/comparisons/{comparison['id']}/confirm/extend", json=order)


def finish_all(worker: Worker, count: int, ends: Callable[[str, int], float | None]) -> None:
    """End so many runs at what `ends` says of their optimizer and seed."""
    for _ in range(count):
        held = worker.claim()
        end(worker, held, ends(held.spec["optimizer"]["kind"], held.seed))


def slightly_better(kind: str, seed: int) -> float:
    return 0.30 + seed / 1000 + (0.0 if kind == "sgd" else 0.02 + (seed % 3) / 200)


def test_a_confirmation_may_be_looked_at_early_and_extended_until_it_is_decided(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    view = compare(client, trials(submit, worker, LUCKY))
    confirm(client, view, seeds=2)
    finish_all(worker, 4, slightly_better)
    found = again(client, view)["confirmation"]
    looked = found["sequential"]
    assert (found["extended"], found["confirmed"], looked["seeds"], looked["decided"]) == (0, False, 2, None)
    assert (looked["first"], looked["second"]) == ("optimizer.kind sgd", "optimizer.kind adam")
    assert looked["more_seeds"] > 0
    assert f"{looked['more_seeds']} more seed" in looked["note"]
    assert looked["low"] is None

    answer = extend(client, view, seeds=12, after=2)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/comparisons/{view['id']}")
    found = answer.json()["confirmation"]
    assert (found["state"], found["extended"], found["seeds"]) == ("running", 1, list(range(3, 17)))
    assert (found["verdict"], found["confirmed"]) == (None, None), "the verdict of the planned seeds no longer counts"
    assert [len(each["runs"]) for each in found["contestants"]] == [14, 14]
    assert [len(each["experiment_ids"]) for each in found["contestants"]] == [2, 2]
    repeated = extend(client, view, seeds=12, after=2)
    assert (repeated.status_code, "has 14 fresh seeds by now, not 2" in repeated.json()["detail"]) == (409, True)

    finish_all(worker, 20, slightly_better)
    found = again(client, view)["confirmation"]
    assert (found["state"], found["sequential"]["seeds"]) == ("running", 10)
    finish_all(worker, 4, slightly_better)
    found = again(client, view)["confirmation"]
    looked = found["sequential"]
    assert (found["state"], found["verdict"], found["confirmed"]) == ("done", "better", True)
    assert (looked["seeds"], looked["decided"], looked["more_seeds"]) == (14, "optimizer.kind sgd", None)
    assert looked["p"] <= 0.01
    assert looked["e"] >= 100
    assert looked["low"] < looked["difference"] < looked["high"] < 0
    assert "which were extended: After 14 seeds, optimizer.kind sgd is better than optimizer.kind adam" in found["note"]
    listed = client.get("/v1/experiments", params={"filter": f"confirms = {view['id']}"}).json()["items"]
    assert len(listed) == 4


def test_a_pair_counts_when_all_before_it_have_ended(client: TestClient, submit: Submit, worker: Worker) -> None:
    view = compare(client, trials(submit, worker, {"sgd": [[0.1, 0.2]], "adam": [[0.2, 0.3]]}))
    confirm(client, view, seeds=4)
    held = [worker.claim() for _ in range(8)]
    late = next(each for each in held if each.seed == 3 and each.spec["optimizer"]["kind"] == "adam")
    for each in held:
        if each is not late:
            end(worker, each, 0.2 + each.seed / 100)
    looked = again(client, view)["confirmation"]["sequential"]
    assert (looked["seeds"], looked["difference"]) == (1, 0.0), "seeds 4 and 5 wait for 3, whose other run trains"
    end(worker, late, None)
    looked = again(client, view)["confirmation"]["sequential"]
    assert looked["seeds"] == 3
    assert "optimizer.kind adam on 1" in looked["note"]


def test_what_diverges_more_often_is_never_decided_to_be_better(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    view = compare(client, trials(submit, worker, {"sgd": [[0.1, 0.2]], "adam": [[0.2, 0.3]]}))
    confirm(client, view, seeds=15)
    finish_all(worker, 30, lambda kind, seed: None if (kind, seed) == ("sgd", 2) else slightly_better(kind, seed))
    found = again(client, view)["confirmation"]
    assert (found["sequential"]["seeds"], found["sequential"]["decided"]) == (14, None)
    assert found["sequential"]["p"] <= 0.01
    assert "diverged more often, so nothing is decided" in found["sequential"]["note"]


@pytest.mark.parametrize(
    ("order", "pointer"),
    [({}, "/seeds"), ({"seeds": 0}, "/seeds"), ({"seeds": 101}, "/seeds"), ({"seeds": 2, "after": 1}, "/after")],
)
def test_an_extension_without_sense_is_refused(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str], order: dict[str, Any], pointer: str
) -> None:
    view = compare(client, trials(submit, worker, {"sgd": [[0.1]], "adam": [[0.2]]}))
    answer = extend(client, view, **order)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    nothing = extend(client, view, seeds=2)
    assert (nothing.status_code, "no confirmation" in nothing.json()["detail"]) == (409, True)
    place = f"/v1/comparisons/{view['id']}/confirm/extend"
    assert client.post(place, json={"seeds": 2}, headers=stranger).status_code == 404


def test_folds_are_not_extended(client: TestClient, submit: Submit, worker: Worker) -> None:
    made = {}
    for kind in ("sgd", "adam"):
        folds = {"kind": "iris", "folds": 2}
        made[kind] = [
            submit(name=kind, seeds=[0, 1], steps=STEPS, dataset=folds, optimizer={"kind": kind, "lr": 0.1})["id"]
        ]
        finish_all(worker, 2, slightly_better)
    view = compare(client, made)
    confirm(client, view, seeds=2)
    assert again(client, view)["confirmation"]["sequential"] is None
    answer = extend(client, view, seeds=2)
    assert (answer.status_code, "not independent" in answer.json()["detail"]) == (409, True)


def test_confirming_many_contestants_takes_as_many_statements_as_confirming_few(
    client: TestClient, submit: Submit, worker: Worker, principal: Principal, settings: Settings
) -> None:
    (made,) = trials(submit, worker, {"sgd": [[at / 10] for at in range(1, 11)]}).values()
    sent = []
    for count, seeds in ((2, 2), (10, 5)):
        view = compare(client, {"sgd": made[:count]}, group="experiment")
        with transaction(worker.engine) as connection, sent_statements() as statements:
            context = Context(connection, principal, settings)
            found = answers.confirm(context, view["id"], ConfirmRequest(seeds=seeds)).answer.confirmation
        assert found is not None
        assert [each.trial_id for each in found.contestants] == made[:count], "in the order of their ranks"
        assert [len(each.runs) for each in found.contestants] == [seeds] * count
        sent.append(len(statements))
    assert sent[0] == sent[1]
