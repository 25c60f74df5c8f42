"""The whole local start: servers, schema, key, API and workers, watched until somebody ends it."""

import getpass
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from service.local import http
from service.local.commands import Commands, api_program, last_line, read_devices, run, worker_programs
from service.local.demo import run_demo
from service.local.failure import CannotStart, cannot_use
from service.local.folder import PROJECT, DataFolder, Ownership
from service.local.port import wait_for_port
from service.local.postgres import EmbeddedPostgres
from service.local.processes import Children
from service.local.server import EmbeddedServer
from service.local.signals import Interrupted, ShutdownSignals
from service.local.valkey import EmbeddedValkey

API, WORKER = "saddle_api", "saddle_worker"  # what each may do in Postgres: service.db.rights
DETECT_S = 60.0  # a driver that hangs must not keep the rest from starting
READY_S = 120.0  # the API's first start compiles its modules
WORKERS_S = 10.0  # for the workers to announce themselves
GIVE_UP_DEATHS = 4  # of the API before it ever was ready
FIRST_SPEC = (
    '{"name": "first", "dataset": {"kind": "digits"}, "model": {"kind": "mlp"}, "loss": {"kind": "cross_entropy"},'
    ' "optimizer": {"kind": "adamw", "lr": 0.001}, "epochs": 20}'
)


@dataclass(frozen=True)
class Options:
    """What `up` was asked for."""

    folder: DataFolder
    port: int = 8000
    workers: int | None = None  # None: one for each device
    devices: Sequence[str] = ()  # empty: those that are found
    demo: bool = False
    commands: Commands = field(default_factory=Commands)


def say(text: str) -> None:
    """One line for the person at the terminal, who may have closed it."""
    with suppress(OSError):
        print(text, flush=True)


def up(options: Options) -> int:
    """Run until ended; 0 when ended on request or when it runs already."""
    options.folder.make()
    ownership = Ownership(options.folder)
    try:
        mine = ownership.take()
    except OSError as error:
        raise cannot_use(options.folder.path, error) from error
    if not mine:
        return already(options, ownership)
    signals = ShutdownSignals()
    start = Start(options, ownership)
    try:
        signals.listen()
        start.begin()
        if options.demo:
            run_demo(start.url, start.key, say)
        start.watch()
    except Interrupted:
        say("ending: workers first, they save what they train")
    finally:
        signals.ending = True
        start.end(signals.is_repeated)
        ownership.release()
    say("ended; nothing runs any more")
    return 0


def already(options: Options, ownership: Ownership) -> int:
    """A second `up` on the same folder: say where the first one is."""
    facts = ownership.read()
    url, key = facts.get("url"), options.folder.read_key()
    if facts.get("state") != "ready" or not url:
        say(f"Saddle is {facts.get('state', 'starting')} on {options.folder.path}, by process {facts.get('pid', '?')}")
        return 0
    say(f"Saddle runs already: {url} (process {facts['pid']}, data in {options.folder.path})")
    if options.demo and key:
        run_demo(url, key, say)
    return 0


class Start:
    """The parts of one running start, from the first server to the last worker."""

    def __init__(self, options: Options, ownership: Ownership) -> None:
        self.options, self.folder, self._ownership = options, options.folder, ownership
        self.url = f"http://127.0.0.1:{options.port}"
        self.key = ""
        self._servers: list[EmbeddedServer] = []
        self._children = Children(self.folder.logs, PROJECT, say)
        self._environment = {**os.environ, "SADDLE_DATA_DIR": str(self.folder.path)}
        self._logins: dict[str, dict[str, str]] = {}  # what differs for a role, where the database is our own
        self._detection: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Everything, in order; returns once the API is ready and the workers are known to it."""
        began = time.monotonic()
        wait_for_port(self.options.port, patience=15.0 if self._ownership.left_behind() else 0.0)
        self._report("starting")
        self._detect()
        self._serve()
        self._migrate()
        made = self._find_key()
        environment = {role: self._environment | self._logins.get(role, {}) for role in (API, WORKER)}
        devices = self._devices()
        program = api_program(self.options.commands, self.options.port, devices, environment[API])
        api = self._children.start([program])[0]
        self._await(lambda: api.deaths < GIVE_UP_DEATHS, api.log)
        if not made and not http.accepted(self.url, self.key):
            self._new_key()  # the database is another one than the key was made for
            made = True
        workers = worker_programs(self.options.commands, devices, self.options.workers, environment[WORKER])
        self._children.start(workers)
        self._await_workers(len(workers))
        self._report("ready")
        self._welcome(made, f"{len(workers)} worker(s) on {', '.join(devices)}", time.monotonic() - began)

    def watch(self) -> None:
        """Keep everything alive; ends only by Interrupted."""
        looked = time.monotonic()
        pids = self._pids()
        while True:
            time.sleep(0.1)
            self._children.watch()
            if self._pids() != pids:
                pids = self._pids()
                self._report("ready")
            if time.monotonic() - looked > 2.0:
                self._revive_servers()
                looked = time.monotonic()

    def end(self, hurried: Callable[[], bool]) -> None:
        """Workers, API, Valkey, Postgres: each while what it needs still runs."""
        self._report("ending")
        if self._detection is not None:
            self._detection.kill()
            self._detection.communicate()
        self._children.stop(hurried)
        for server in reversed(self._servers):
            try:
                server.stop()
            except CannotStart as refusal:
                say(str(refusal))

    def _detect(self) -> None:
        """Ask for devices early: where there is a GPU it loads torch, which takes as long as the rest together."""
        if self.options.devices:
            return
        with (self.folder.logs / "devices.log").open("ab") as log:
            self._detection = subprocess.Popen(
                self.options.commands.devices,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=PROJECT,
                text=True,
            )

    def _devices(self) -> Sequence[str]:
        """What was asked for, or else what the detection found; `end` ends one that hangs."""
        if self._detection is None:
            return self.options.devices or ["cpu"]
        try:
            output = self._detection.communicate(timeout=DETECT_S)[0]
        except subprocess.TimeoutExpired:
            say(f"looking for devices took over {DETECT_S:g} s; going on with the CPU (--devices cuda:0 names a GPU)")
            return ["cpu"]
        self._detection = None
        return read_devices(output)

    def _serve(self) -> None:
        """Postgres and Valkey, each unless its URL was given."""
        binaries = os.environ.get("SADDLE_POSTGRES_BIN")
        if not _given("SADDLE_DATABASE_URL"):
            log = self.folder.logs / "postgres.log"
            postgres = EmbeddedPostgres(self.folder.postgres, binaries=Path(binaries) if binaries else None, log=log)
            self._environment["SADDLE_DATABASE_URL"] = postgres.url
            self._logins = {role: {"SADDLE_DATABASE_URL": postgres.url_as(role)} for role in (API, WORKER)}
            self._start(postgres)
        if not _given("SADDLE_BROKER_URL"):
            valkey = EmbeddedValkey(self.folder.valkey, log=self.folder.logs / "valkey.log")
            self._environment["SADDLE_BROKER_URL"] = valkey.url
            self._start(valkey)

    def _start(self, server: EmbeddedServer) -> None:
        self._servers.append(server)
        how = "started" if server.start() else "still ran, joined"
        say(f"{server.name}: {how}")

    def _revive_servers(self) -> None:
        for server in self._servers:
            if not server.running:
                say(f"{server.name} has gone; starting it again; its log: {server.log}")
                try:
                    server.start()
                except CannotStart as refusal:
                    say(str(refusal))

    def _migrate(self) -> None:
        log = self.folder.logs / "migrate.log"
        run("bringing the database's schema up to date", self.options.commands.migrate, self._environment, PROJECT, log)

    def _find_key(self) -> bool:
        """True if the key had to be made."""
        known = self.folder.read_key()
        if known:
            self.key = known
            return False
        self._new_key()
        return True

    def _new_key(self) -> None:
        command = [*self.options.commands.key, "--project", "default", "--member", user_name()]
        printed = run("making the first API key", command, self._environment, PROJECT, self.folder.logs / "key.log")
        self.key = printed.strip().rpartition("\n")[2]
        self.folder.write_key(self.key)

    def _await(self, hopeful: Callable[[], bool], log: Path) -> None:
        """Until the API is ready, with a sign of life every few seconds."""
        began = told = time.monotonic()
        while not http.ready(self.url):
            now = time.monotonic()
            self._children.watch()
            if not hopeful() or now - began > READY_S:
                raise CannotStart(f"the API did not become ready: {last_line(log)} (all of it: {log})")
            if now - told > 5.0:
                say(f"waiting for the API ({now - began:.0f} s)")
                told = now
            time.sleep(0.05)

    def _await_workers(self, count: int) -> None:
        """Return once so many workers announced themselves, or after `WORKERS_S`: they are not needed to post a run.

        A run posted before is warned that nobody serves its pool.
        """
        end = time.monotonic() + WORKERS_S
        while http.workers(self.url, self.key) < count and time.monotonic() < end:
            self._children.watch()
            time.sleep(0.05)

    def _pids(self) -> dict[str, int | None]:
        return {child.program.name: child.pid for child in self._children}

    def _report(self, state: str) -> None:
        """What `status` and a second `up` read; a full disk must not end what runs."""
        servers = [server.name for server in self._servers]
        facts = {"state": state, "url": self.url, "pid": os.getpid(), "servers": servers, "children": self._pids()}
        with suppress(OSError):
            self._ownership.write(facts)

    def _welcome(self, made: bool, workers: str, seconds: float) -> None:
        key_file = shlex.quote(str(self.folder.key))
        say(f"\nSaddle is ready after {seconds:.1f} s: {self.url}  ({workers}; data in {self.folder.path})")
        if made:
            say(f"API key, shown this once and kept in {self.folder.key}: {self.key}")
            say(f"The page, signed in: {self.url}/#key={self.key}")
        else:
            say(f"API key: the one of the first start, kept in {self.folder.key}")
        say(
            f"\nTo train something, paste:\n\n  export SADDLE_URL={self.url}\n  export SADDLE_KEY=$(cat {key_file})\n"
            "  curl -sS $SADDLE_URL/v1/experiments -H 'Content-Type: application/json' \\\n"
            f'    -H "Authorization: Bearer $SADDLE_KEY" -d {shlex.quote(FIRST_SPEC)}\n\n'
            "Ctrl-C ends it; runs go on with the next start."
        )


def _given(variable: str) -> bool:
    """Whether the environment holds a secret, or names the file that does."""
    return bool(os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))


def user_name() -> str:
    """Who we are, for the first member; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"
