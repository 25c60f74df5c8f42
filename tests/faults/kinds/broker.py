"""Valkey that forgets, dies, hangs, is full; notifications that come too often or hold garbage."""

import contextlib
import os
import re
import signal
import threading
import time

import redis

from service.notifications import Notifier
from tests.faults.fault import Fault, Missed, Scene, kind
from tests.faults.stack import WINDOW_S

QUEUE = "saddle.cpu"


def broker(scene: Scene) -> "redis.Redis":
    valkey = scene.stack.valkey
    return redis.Redis(unix_socket_path=str(valkey.socket), password=valkey.password, socket_timeout=5)


def stop(scene: Scene) -> None:
    server = scene.stack.valkey
    os.kill(int((server.home / "pid").read_text()), signal.SIGKILL)
    while server.running:
        time.sleep(0.02)


@kind("broker")
def broker_flushed(scene: Scene, fault: Fault) -> None:
    """FLUSHALL: every notification and every binding is gone."""
    broker(scene).flushall()


@kind("broker")
def broker_killed(scene: Scene, fault: Fault) -> None:
    """kill -9, and an empty one in its place."""
    stop(scene)
    scene.stack.valkey.start()


@kind("broker")
def broker_absent(scene: Scene, fault: Fault) -> None:
    """Away for a long while: runs start by polling."""
    stop(scene)
    scene.sleep(2 * WINDOW_S, 4 * WINDOW_S, fault)
    scene.stack.valkey.start()


@kind("broker")
def broker_full(scene: Scene, fault: Fault) -> None:
    """No memory left and nothing may be evicted: every publication is refused."""
    line = broker(scene)
    line.config_set("maxmemory", 1)
    scene.sleep(1.0, 3.0, fault)
    line.config_set("maxmemory", 0)


@kind("broker")
def broker_hung(scene: Scene, fault: Fault) -> None:
    """It is stopped: connections stand, nothing answers."""
    pid = int((scene.stack.valkey.home / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    scene.sleep(0.5, 3.0, fault)
    os.kill(pid, signal.SIGCONT)


@kind("broker")
def notifications_tenfold(scene: Scene, fault: Fault) -> None:
    """Every message that is sent in a while is delivered ten times; a run is posted meanwhile."""
    over, copies = threading.Event(), [0]

    def copy() -> None:
        line = broker(scene)
        watched = broker(scene)
        with contextlib.suppress(redis.RedisError, OSError, AttributeError), watched.monitor() as watch:
            while not over.is_set():
                found = re.match(rf'"?LPUSH"? "?{QUEUE}"? "?(.*?)"?$', watch.next_command()["command"])
                if found and "copied" not in found[1]:
                    message = found[1].replace('\\"', '"').replace("\\\\", "\\")
                    for _ in range(9):
                        line.lpush(QUEUE, message.replace('"headers": {', '"headers": {"copied": 1, ', 1))
                        copies[0] += 1

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    for _ in range(2):
        scene.people.post(fault.rng.choice(sorted(scene.people.specs)))
    scene.sleep(0.3, 1.0, fault)
    over.set()
    with contextlib.suppress(redis.RedisError):
        broker(scene).ping()  # something to watch, so that the watch ends
    thread.join(3)
    fault.note = f"{copies[0]} copies"
    if not copies[0]:
        raise Missed("no notification was sent")


@kind("broker")
def notifications_without_end(scene: Scene, fault: Fault) -> None:
    """Two hundred notifications for nothing."""
    Notifier(scene.stack.valkey.url).notify("cpu", 200)


@kind("broker")
def messages_forged(scene: Scene, fault: Fault) -> None:
    """What somebody pushes who found the broker open: no JSON, a pickle, unknown tasks, arguments, no headers."""
    body = '{"body": "W10=", "content-encoding": "utf-8", "content-type": "%s", "headers": {"task": "%s", "id": "x"}, '
    body += '"properties": {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "q"}, '
    body += '"body_encoding": "base64"}}'
    forged = [
        b"no JSON at all \xff\xfe",
        b"{}",
        b"[1, 2]",
        body % ("application/x-python-serialize", "saddle.wake"),
        body % ("application/json", "os.system"),
        body % ("application/json", "saddle.wake"),
    ]
    what = fault.rng.choice(forged)
    try:
        broker(scene).lpush(QUEUE, what)
    except redis.RedisError as error:
        raise Missed(str(error)) from error
    fault.note = repr(what)[:40]
