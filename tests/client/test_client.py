import itertools
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from service.client import Client, Refused, Unreachable, Unusable
from service.client.curves import LiveCurves
from tests.harness.product import Product


def ended(client: Client, run_id: str) -> None:
    for _ in client.watch(run_id):
        pass


def test_a_spec_becomes_runs_curves_and_frames(client: Client, spec: Callable[..., dict[str, Any]]) -> None:
    made = client.submit(spec(name="typed"), seeds=[3, 4], changes=["optimizer.lr=1e-1"])
    assert made.spec["optimizer"]["lr"] == 0.1
    assert [run.seed for run in made.runs] == [3, 4]
    for run in made.runs:
        ended(client, run.id)
    assert made.id
    done = client.experiment(made.id)
    assert done.over
    assert [run.state for run in done.runs] == ["succeeded"] * 2
    first = done.runs[0]
    loss = client.series(first.id, ["loss"])["loss"]
    assert loss.exact
    assert loss.step.tolist() == list(range(1, 41))
    assert loss.value.dtype == np.float64
    assert loss.value[-1] == first.series["loss"].last
    reduced = client.series(first.id, ["loss"], points=5)["loss"]
    assert not reduced.exact
    assert reduced.min is not None
    assert reduced.max is not None
    assert reduced.max.max() == loss.value.max()
    frame = client.frame([run.id for run in done.runs], ["loss"])
    assert list(frame.columns) == ["run", "experiment", "name", "seed", "series", "step", "value"]
    assert frame[frame.seed == 3].value.tolist() == loss.value.tolist()
    assert {item.id for item in client.experiments(limit=300)} >= {made.id}
    assert next(client.runs(limit=1)).experiment_id == made.id


def test_a_refusal_carries_every_problem(client: Client, spec: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(Refused) as refused:
        client.submit(spec(optimizer={"kind": "sgd", "lr": -1, "momentm": 0.9}, steps=0))
    error = refused.value
    assert (error.http_status, error.reason) == (422, "invalid")
    assert [problem.pointer for problem in error.problems] == ["/optimizer/lr", "/optimizer/momentm", "/steps"]
    said = str(error)
    assert "Allowed: >= 0.0." in said
    assert "Did you mean 'momentum'?" in said
    assert error.request_id


def test_nothing_leaves_its_place_in_a_path(client: Client) -> None:
    for wrong in ("../experiments", "run_x/cancel", "", "..", "run_x?y=1"):
        with pytest.raises(Unusable):
            client.run(wrong)


def test_following_goes_over_a_restart_and_misses_nothing(
    server: Product, client: Client, spec: Callable[..., dict[str, Any]]
) -> None:
    run = client.submit(spec(name="restarted", steps=3000)).runs[0].id
    live, seen = LiveCurves(), []
    restarting = threading.Thread(target=server.restart_api, args=(signal.SIGKILL, 0.3))
    kinds = []
    for event in client.watch(run):
        kinds.append(event.kind)
        live.add(event)
        if "loss" in event.points:
            seen += event.points["loss"].step.tolist()
            if len(seen) > 300 and not restarting.ident:
                restarting.start()
    restarting.join()
    assert seen == list(range(1, 3001))
    assert kinds[-1] == "end"
    exact = client.series(run, ["loss"])["loss"]
    assert live.curve("loss").value.tolist() == exact.value.tolist()


@contextmanager
def losing_first_answers(target: str, lost: int) -> Iterator[str]:
    """A relay that hands requests on and cuts the line instead of the first `lost` answers to a POST."""
    host, port = target.removeprefix("http://").split(":")
    posts = itertools.count()
    listening = socket.create_server(("127.0.0.1", 0))

    def relay(near: socket.socket) -> None:
        with near, socket.create_connection((host, int(port))) as far:
            request = near.recv(65536)
            while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < length(request):
                request += near.recv(65536)
            far.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            answer = b"".join(iter(lambda: far.recv(65536), b""))
            if not (request.startswith(b"POST") and next(posts) < lost):
                near.sendall(answer)

    def length(request: bytes) -> int:
        found = [line for line in request.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return int(found[0].partition(b":")[2]) if found else 0

    def accept() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(near,)).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def test_a_lost_answer_does_not_train_twice(
    server: Product, client: Client, spec: Callable[..., dict[str, Any]]
) -> None:
    with losing_first_answers(server.url, 2) as url, Client(url, server.key) as far:
        made = far.submit(spec(name="only once", steps=1))
    assert [item.id for item in client.experiments(limit=50) if item.name == "only once"] == [made.id]


def test_a_server_that_is_away_or_none_of_ours_is_named(server: Product) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(free, "key") as nobody, pytest.raises(Unreachable, match=free):
        nobody.run("run_x")
    with Client(server.url + "/v2", server.key) as elsewhere, pytest.raises(Refused, match="nothing at this path"):
        next(elsewhere.experiments())
    with Client(server.url, "key_wrong") as stranger, pytest.raises(Refused, match="SADDLE_KEY"):
        next(stranger.experiments())


def test_numbers_and_arrays_of_numpy_are_taken_in_a_spec(client: Client, spec: Callable[..., dict[str, Any]]) -> None:
    of_numpy = spec(
        steps=np.int64(3),
        optimizer={"kind": "sgd", "lr": np.float32(0.25)},
        seeds=np.arange(2),
        shuffle=np.bool_(False),
    )
    found = client.submit(of_numpy, dry_run=True).spec
    assert (found["steps"], found["optimizer"]["lr"], found["seeds"], found["shuffle"]) == (3, 0.25, [0, 1], False)
    assert client.submit(spec(), seeds=np.arange(3), dry_run=True).spec["seeds"] == [0, 1, 2]
    assert client.submit(spec(), seeds=range(2), changes=["steps=4"], dry_run=True).spec["steps"] == 4
    assert client.preview("constant", np.float64(0.5), np.int32(2)).value.tolist() == [0.5, 0.5]
    with pytest.raises(Unusable, match=r"builtins\.set is no number"):
        client.submit(spec(tags={"a"}), dry_run=True)
