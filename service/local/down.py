"""`down` and `status`: end or describe what an `up` runs on a data folder."""

import os
import signal
import time
from contextlib import suppress

from service.local.failure import CannotStart
from service.local.folder import DataFolder, Ownership
from service.local.postgres import EmbeddedPostgres
from service.local.server import EmbeddedServer
from service.local.up import say
from service.local.valkey import EmbeddedValkey

PATIENCE_S = 240.0  # workers alone may take two minutes


def servers(folder: DataFolder) -> list[EmbeddedServer]:
    """The embedded servers of a folder that run now, in the order they end."""
    both: list[EmbeddedServer] = [EmbeddedValkey(folder.valkey), EmbeddedPostgres(folder.postgres)]
    return [server for server in both if server.running]


def down(folder: DataFolder) -> int:
    """End the running `up`, or the servers that a killed one left; 0 when nothing runs any more."""
    ownership = Ownership(folder)
    if ownership.taken():
        ask(ownership)
    elif left := servers(folder):
        for server in left:
            server.stop()
            say(f"{server.name}, left by a start that was killed, is ended")
    else:
        say(f"nothing runs on {folder.path}")
        return 0
    say("ended; nothing runs any more")
    return 0


def ask(ownership: Ownership) -> None:
    """SIGTERM to the process that holds the lock, and wait until it lets go."""
    pid = ownership.read().get("pid")
    if not isinstance(pid, int):
        raise CannotStart("Saddle has only just begun to start; try again in a moment")
    with suppress(ProcessLookupError):  # it may end while we look
        os.kill(pid, signal.SIGTERM)
    began = told = time.monotonic()
    while ownership.taken():
        now = time.monotonic()
        if now - began > PATIENCE_S:
            raise CannotStart(f"process {pid} has not ended after {PATIENCE_S:.0f} s")
        if now - told > 3.0:
            say(f"waiting for process {pid} to end its workers and servers ({now - began:.0f} s)")
            told = now
        time.sleep(0.1)


def status(folder: DataFolder) -> int:
    """Say what runs; 0 if Saddle does, 1 if not."""
    ownership = Ownership(folder)
    left = servers(folder)
    if not ownership.taken():
        say(f"Saddle does not run on {folder.path}")
        for server in left:
            say(f"  {server.name} still runs, left by a start that was killed; `down` ends it, `up` goes on with it")
        return 1
    facts = ownership.read()
    say(f"Saddle is {facts.get('state', 'starting')}: {facts.get('url', '')} (process {facts.get('pid', '?')})")
    for server in reversed(left):
        say(f"  {server.name}: {'answers' if server.answers() else 'runs, does not answer'}")
    for name, pid in facts.get("children", {}).items():
        say(f"  {name}: {f'process {pid}' if pid else 'being started again'}; log {folder.logs / f'{name}.log'}")
    say(f"  data: {folder.path}")
    return 0
