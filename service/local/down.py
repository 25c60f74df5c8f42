"""The commands `down` and `status`: stop or describe what runs on a data folder."""

import os
import signal
import time
from contextlib import suppress

from service.local.failure import CannotStart
from service.local.folder import DataFolder, InstanceLock
from service.local.postgres import EmbeddedPostgres
from service.local.server import EmbeddedServer
from service.local.up import say
from service.local.valkey import EmbeddedValkey

SHUTDOWN_TIMEOUT_S = 240.0  # workers alone may take two minutes


def running_servers(folder: DataFolder) -> list[EmbeddedServer]:
    """Return the embedded servers of a folder that are running, in the order in which they are stopped."""
    both: list[EmbeddedServer] = [EmbeddedValkey(folder.valkey), EmbeddedPostgres(folder.postgres)]
    return [server for server in both if server.running]


def down(folder: DataFolder) -> int:
    """Stop the running `up`, or the servers that a killed one left behind; return 0."""
    instance = InstanceLock(folder)
    if instance.is_held():
        stop_up(instance)
    elif left := running_servers(folder):
        for server in left:
            server.stop()
            say(f"stopped {server.name}, left behind by a killed start")
    else:
        say(f"Saddle is not running on {folder.path}")
        return 0
    say("Saddle has stopped")
    return 0


def stop_up(instance: InstanceLock) -> None:
    """Send SIGTERM to the process that holds the lock, and wait until it releases it."""
    pid = instance.read_state().get("pid")
    if not isinstance(pid, int):
        raise CannotStart("Saddle has only just started; try again in a moment")
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, signal.SIGTERM)
    began = reported = time.monotonic()
    while instance.is_held():
        now = time.monotonic()
        if now - began > SHUTDOWN_TIMEOUT_S:
            raise CannotStart(f"process {pid} has not ended after {SHUTDOWN_TIMEOUT_S:.0f} s")
        if now - reported > 3.0:
            say(f"waiting for process {pid} to stop its workers and servers ({now - began:.0f} s)")
            reported = now
        time.sleep(0.1)


def status(folder: DataFolder) -> int:
    """Print what is running; return 0 if Saddle is, else 1."""
    instance = InstanceLock(folder)
    running = running_servers(folder)
    if not instance.is_held():
        say(f"Saddle is not running on {folder.path}")
        for server in running:
            say(f"  {server.name} is still running, left behind by a killed start; `down` stops it, `up` uses it")
        return 1
    state = instance.read_state()
    say(f"Saddle is {state.get('state', 'starting')}: {state.get('url', '')} (process {state.get('pid', '?')})")
    for server in reversed(running):
        say(f"  {server.name}: {'ready' if server.is_ready() else 'running, does not answer'}")
    for name, pid in state.get("children", {}).items():
        say(f"  {name}: {f'process {pid}' if pid else 'restarting'}; log {folder.logs / f'{name}.log'}")
    say(f"  data: {folder.path}")
    return 0
