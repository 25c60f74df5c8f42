"""Postgres that stops, is slow, is out of reach, answers into the void, or has no room left."""

import contextlib
import os
import signal
import threading
import time
from typing import Any

import psycopg

from tests.faults.fault import Fault, Missed, Scene, kind
from tests.faults.stack import WINDOW_S


def stop(scene: Scene, number: int) -> None:
    """End the server with a signal of its own: SIGINT is fast, SIGQUIT immediate."""
    server = scene.stack.postgres
    os.kill(int((server.home / "pid").read_text()), number)
    while server.running:
        with contextlib.suppress(ChildProcessError):
            time.sleep(0.02)


def absent(scene: Scene, fault: Fault, number: int, low: float, high: float) -> None:
    stop(scene, number)
    scene.sleep(low, high, fault)
    scene.stack.postgres.start()


@kind("postgres", loses=True)
def postgres_crashed(scene: Scene, fault: Fault) -> None:
    """Immediate stop and start: what was answered is there, what was not may be."""
    absent(scene, fault, signal.SIGQUIT, 0.0, 0.5)


@kind("postgres", loses=True)
def postgres_restarted(scene: Scene, fault: Fault) -> None:
    """Fast stop and start."""
    absent(scene, fault, signal.SIGINT, 0.0, 0.5)


@kind("postgres", loses=True)
def postgres_absent(scene: Scene, fault: Fault) -> None:
    """Away for longer than a lease."""
    absent(scene, fault, signal.SIGINT, WINDOW_S + 0.5, 2 * WINDOW_S + 1)


@kind("postgres")
def sessions_terminated(scene: Scene, fault: Fault) -> None:
    """pg_terminate_backend of every session of the product."""
    with scene.stack.connect() as session:
        row = session.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'saddle%%'"
        ).fetchone()
    fault.note = f"{row[0]} sessions" if row else ""


@kind("gates", loses=True)
def statements_slow(scene: Scene, fault: Fault) -> None:
    """Each statement takes 0.13 s longer: 2 s in the clock of a deployment."""
    for gate in scene.stack.gates_in_use:
        gate.delay_s = 0.13
    scene.sleep(1.0, 3.0, fault)
    for gate in scene.stack.gates_in_use:
        gate.delay_s = 0.0


@kind("gates")
def connections_reset(scene: Scene, fault: Fault) -> None:
    """Every connection is cut, whatever it was doing."""
    for gate in scene.stack.gates_in_use:
        gate.reset_all()


@kind("worker", loses=True)
def worker_half_open(scene: Scene, fault: Fault) -> None:
    """A worker's connection swallows everything for longer than its lease, and is then reset."""
    gate = scene.training(fault).gate
    gate.blackholed = True
    scene.sleep(WINDOW_S + 0.5, WINDOW_S + 2, fault)
    gate.reset_all()
    gate.blackholed = False


@kind("worker", loses=True)
def worker_delayed(scene: Scene, fault: Fault) -> None:
    """As half open, but what was swallowed arrives late after all."""
    gate = scene.training(fault).gate
    gate.blackholed = True
    scene.sleep(0.5, WINDOW_S + 1.5, fault)
    gate.blackholed = False


@kind("worker", loses=True)
def worker_partitioned(scene: Scene, fault: Fault) -> None:
    """A worker reaches no database for longer than its lease; the broker is still there."""
    gate = scene.training(fault).gate
    gate.refusing = True
    gate.reset_all()
    scene.sleep(WINDOW_S + 0.5, WINDOW_S + 2, fault)
    gate.refusing = False


@kind("api")
def api_half_open(scene: Scene, fault: Fault) -> None:
    """An API process's connections swallow everything, and are then reset."""
    gate = scene.target(fault).gate
    gate.blackholed = True
    scene.sleep(0.5, 2.5, fault)
    gate.reset_all()
    gate.blackholed = False


@kind("worker")
def statement_torn(scene: Scene, fault: Fault) -> None:
    """A worker's connection is cut within a statement."""
    gate = scene.training(fault).gate
    gate.tear = fault.rng.randrange(1, 40)
    wait(lambda: gate.tear is None, 3)


def lose(scene: Scene, fault: Fault, about: str, seconds: float = 6.0) -> None:
    """Lose the answer to the next COMMIT of one kind; missed where none came by."""
    gate = scene.target(fault).gate
    gate.lose = about
    try:
        wait(lambda: gate.lose is None, seconds)
    finally:
        gate.lose = None


def wait(condition: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Missed("nothing came by")
        time.sleep(0.01)


@kind("worker")
def claim_unanswered(scene: Scene, fault: Fault) -> None:
    """The run is claimed and the worker does not hear of it."""
    lose(scene, fault, "claim")


@kind("worker")
def flush_unanswered(scene: Scene, fault: Fault) -> None:
    """Points are stored and the worker does not hear of it."""
    lose(scene, fault, "flush")


@kind("worker")
def checkpoint_unanswered(scene: Scene, fault: Fault) -> None:
    """A checkpoint is real and the worker does not hear of it."""
    lose(scene, fault, "checkpoint")


@kind("worker")
def end_unanswered(scene: Scene, fault: Fault) -> None:
    """The run has ended and the worker does not hear of it."""
    lose(scene, fault, "end")


@kind("worker")
def next_three_unanswered(scene: Scene, fault: Fault) -> None:
    """Three answers in a row are lost."""
    for _ in range(3):
        lose(scene, fault, "flush")


@kind("postgres", loses=True)
def rows_locked(scene: Scene, fault: Fault) -> None:
    """Somebody's open transaction holds the rows of every run that trains."""
    with scene.stack.connect() as session, session.transaction():
        session.execute("SELECT FROM run WHERE state = 'running' FOR UPDATE")
        scene.sleep(0.3, WINDOW_S, fault)


@kind("postgres", loses=True)
def table_locked(scene: Scene, fault: Fault) -> None:
    """A migration by hand holds the whole table."""
    with scene.stack.connect() as session, session.transaction():
        session.execute("LOCK TABLE run IN ACCESS EXCLUSIVE MODE")
        scene.sleep(0.3, WINDOW_S, fault)


@kind("postgres", loses=True)
def connections_exhausted(scene: Scene, fault: Fault) -> None:
    """No session is left for anybody; those that are open are cut too."""
    held: list[psycopg.Connection[Any]] = []
    over = threading.Event()
    try:
        with scene.stack.connect() as first:
            first.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'saddle%%'"
            )
        end = time.monotonic() + fault.rng.uniform(0.8, 2.0)
        while time.monotonic() < end:
            try:
                held.append(scene.stack.connect())
            except psycopg.OperationalError:
                time.sleep(0.05)
        fault.note = f"{len(held)} sessions held"
    finally:
        over.set()
        for each in held:
            with contextlib.suppress(psycopg.Error):
                each.close()


@kind("postgres", loses=True)
def postgres_disk_full(scene: Scene, fault: Fault) -> None:
    """No page can be added to the table of points; the log still has room."""
    disk = scene.stack.disks["small"]
    if not disk.limited:
        raise Missed("this account may not mount a small disk")
    log = scene.stack.postgres.log
    before = log.read_bytes().count(b"No space left")
    disk.fill()
    scene.sleep(0.5, WINDOW_S + 0.5, fault)
    disk.free()
    if log.read_bytes().count(b"No space left") == before:
        raise Missed("nobody wanted another page")
