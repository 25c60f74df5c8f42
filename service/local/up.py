"""The command `up`: servers, schema, key, API and workers, started and kept running until a signal."""

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
from service.local.commands import (
    Commands,
    api_program,
    count_slots,
    last_line,
    read_devices,
    run_command,
    worker_programs,
)
from service.local.demo import run_demo
from service.local.failure import CannotStart, folder_error
from service.local.folder import PROJECT, DataFolder, InstanceLock
from service.local.hosts import LOOPBACK, address, known_hosts
from service.local.port import wait_for_port
from service.local.postgres import EmbeddedPostgres
from service.local.processes import Child, Children, rotate_log
from service.local.server import EmbeddedServer
from service.local.signals import Interrupted, ShutdownSignals
from service.local.valkey import EmbeddedValkey

API_ROLE, WORKER_ROLE = "saddle_api", "saddle_worker"  # their rights in Postgres are in service.db.rights
DETECT_S = 60.0  # a hanging driver must not delay the start for longer
READY_S = 120.0  # the first start compiles modules
WORKERS_S = 10.0  # for the workers to register
MAX_API_DEATHS = 4  # before the API was ever ready
FIRST_SPEC = (
    '{"name": "first", "dataset": {"kind": "digits"}, "model": {"kind": "mlp"}, "loss": {"kind": "cross_entropy"},'
    ' "optimizer": {"kind": "adamw", "lr": 0.001}, "epochs": 20}'
)


@dataclass(frozen=True)
class Options:
    """The options of `up`."""

    folder: DataFolder
    port: int = 8000
    slots: int | None = None  # None: one per device
    devices: Sequence[str] = ()  # of each slot; empty: all that are detected
    demo: bool = False
    host: str = LOOPBACK  # the address to listen on
    commands: Commands = field(default_factory=Commands)


def say(text: str) -> None:
    """Print a line to the terminal, which may have been closed."""
    with suppress(OSError):
        print(text, flush=True)


def up(options: Options) -> int:
    """Run until a signal; return 0, also if Saddle is already running."""
    options.folder.create()
    instance = InstanceLock(options.folder)
    try:
        acquired = instance.acquire()
    except OSError as error:
        raise folder_error(options.folder.path, error) from error
    if not acquired:
        describe_running(options, instance)
        return 0
    signals = ShutdownSignals()
    stack = LocalStack(options, instance)
    try:
        signals.listen()
        stack.start()
        if options.demo:
            run_demo(stack.url, stack.key, say)
        stack.watch()
    except Interrupted:
        say("stopping: workers first, so that they save their runs")
    finally:
        signals.stopping = True
        stack.stop(signals.is_repeated)
        instance.release()
    say("Saddle has stopped")
    return 0


def describe_running(options: Options, instance: InstanceLock) -> None:
    """Print where the running `up` of this folder is; with `--demo`, run the demo on it."""
    state = instance.read_state()
    url, key = state.get("url"), options.folder.read_key()
    if state.get("state") != "ready" or not url:
        say(f"Saddle is {state.get('state', 'starting')} on {options.folder.path}, by process {state.get('pid', '?')}")
        return
    say(f"Saddle is already running: {url} (process {state['pid']}, data in {options.folder.path})")
    if options.demo and key:
        run_demo(url, key, say)


class LocalStack:
    """The servers, the API and the workers of one start."""

    def __init__(self, options: Options, instance: InstanceLock) -> None:
        self.options, self.folder, self._instance = options, options.folder, instance
        self.url = address(options.host, options.port)
        self.key = ""
        self._servers: list[EmbeddedServer] = []
        self._children = Children(self.folder.logs, PROJECT, say)
        self._environment = {"SADDLE_ALLOWED_HOSTS": known_hosts(options.host)} | os.environ
        self._environment |= {"SADDLE_DATA_DIR": str(self.folder.path)}
        self._logins: dict[str, dict[str, str]] = {}  # per role, if the database is embedded
        self._detection: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start everything in order; return once the API is ready and knows the workers."""
        began = time.monotonic()
        patience_s = 15.0 if self._instance.was_killed() else 0.0
        wait_for_port(self.options.port, patience_s, self.options.host)
        self._publish("starting")
        self._start_detection()
        self._start_servers()
        self._migrate()
        made = self._load_or_create_key()
        environment = {role: self._environment | self._logins.get(role, {}) for role in (API_ROLE, WORKER_ROLE)}
        devices = self._chosen_devices()
        program = api_program(
            self.options.commands, self.options.host, self.options.port, devices, environment[API_ROLE]
        )
        api = self._children.start([program])[0]
        self._wait_for_api(api)
        if not made and not http.accepts_key(self.url, self.key):
            self._create_key()  # the stored key belongs to another database
            made = True
        workers = worker_programs(self.options.commands, devices, self.options.slots, environment[WORKER_ROLE])
        self._children.start(workers)
        slots = count_slots(workers)
        self._wait_for_workers(slots)
        self._publish("ready")
        self._print_welcome(made, f"{slots} slot(s) on {', '.join(devices)}", time.monotonic() - began)

    def watch(self) -> None:
        """Restart what dies, until `Interrupted`."""
        checked = time.monotonic()
        pids = self._pids()
        while True:
            time.sleep(0.1)
            self._children.restart_dead()
            if self._pids() != pids:
                pids = self._pids()
                self._publish("ready")
            if time.monotonic() - checked > 2.0:
                self._restart_dead_servers()
                self._rotate_logs()
                checked = time.monotonic()

    def stop(self, force: Callable[[], bool]) -> None:
        """Stop the workers, the API, Valkey and Postgres, each before what it depends on."""
        self._publish("stopping")
        if self._detection is not None:
            self._detection.kill()
            self._detection.communicate()
        self._children.stop(force)
        for server in reversed(self._servers):
            try:
                server.stop()
            except CannotStart as error:
                say(str(error))

    def _start_detection(self) -> None:
        """Start detecting devices early: with a GPU it loads torch, which takes as long as everything else."""
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

    def _chosen_devices(self) -> Sequence[str]:
        """Return the requested devices, else the detected ones; `stop` kills a detection that hangs."""
        if self._detection is None:
            return self.options.devices or ["cpu"]
        try:
            output = self._detection.communicate(timeout=DETECT_S)[0]
        except subprocess.TimeoutExpired:
            say(f"detecting devices took more than {DETECT_S:g} s; using the CPU (name a GPU with --devices 0)")
            return ["cpu"]
        self._detection = None
        return read_devices(output)

    def _start_servers(self) -> None:
        """Start Postgres and Valkey, each unless its URL is configured."""
        binaries = os.environ.get("SADDLE_POSTGRES_BIN")
        if not is_configured("SADDLE_DATABASE_URL"):
            log = self.folder.logs / "postgres.log"
            postgres = EmbeddedPostgres(self.folder.postgres, binaries=Path(binaries) if binaries else None, log=log)
            self._environment["SADDLE_DATABASE_URL"] = postgres.url
            self._logins = {
                role: {"SADDLE_DATABASE_URL": postgres.url_for_role(role)} for role in (API_ROLE, WORKER_ROLE)
            }
            self._start_server(postgres)
        if not is_configured("SADDLE_BROKER_URL"):
            valkey = EmbeddedValkey(self.folder.valkey, log=self.folder.logs / "valkey.log")
            self._environment["SADDLE_BROKER_URL_FILE"] = str(valkey.url_file)
            self._start_server(valkey)

    def _start_server(self, server: EmbeddedServer) -> None:
        self._servers.append(server)
        say(f"{server.name}: {'started' if server.start() else 'already running, joined'}")

    def _restart_dead_servers(self) -> None:
        for server in self._servers:
            if not server.running:
                say(f"{server.name} has died; restarting it; log: {server.log}")
                try:
                    server.start()
                except CannotStart as error:
                    say(str(error))

    def _rotate_logs(self) -> None:
        """Keep the logs of servers and children below their size; a log that cannot be emptied ends nothing."""
        with suppress(OSError):
            self._children.rotate_logs()
            for server in self._servers:
                rotate_log(server.log)

    def _migrate(self) -> None:
        log = self.folder.logs / "migrate.log"
        run_command("updating the database schema", self.options.commands.migrate, self._environment, PROJECT, log)

    def _load_or_create_key(self) -> bool:
        """Load or create the first API key; return whether it is new."""
        if key := self.folder.read_key():
            self.key = key
            return False
        self._create_key()
        return True

    def _create_key(self) -> None:
        command = [*self.options.commands.key, "--project", "default", "--member", user_name(), "--server-admin"]
        printed = run_command(
            "creating the first API key", command, self._environment, PROJECT, self.folder.logs / "key.log"
        )
        self.key = printed.strip().rpartition("\n")[2]
        self.folder.write_key(self.key)

    def _wait_for_api(self, api: Child) -> None:
        """Wait until the API is ready, printing a line every few seconds."""
        began = reported = time.monotonic()
        while not http.is_ready(self.url):
            now = time.monotonic()
            self._children.restart_dead()
            if api.deaths >= MAX_API_DEATHS or now - began > READY_S:
                raise CannotStart(f"the API did not become ready: {last_line(api.log)} (full output: {api.log})")
            if now - reported > 5.0:
                say(f"waiting for the API ({now - began:.0f} s)")
                reported = now
            time.sleep(0.05)

    def _wait_for_workers(self, count: int) -> None:
        """Wait until `count` slots have registered, at most `WORKERS_S`.

        A run can be posted earlier, with the warning that no worker serves its pool.
        """
        deadline = time.monotonic() + WORKERS_S
        while http.count_workers(self.url, self.key) < count and time.monotonic() < deadline:
            self._children.restart_dead()
            time.sleep(0.05)

    def _pids(self) -> dict[str, int | None]:
        return {child.program.name: child.pid for child in self._children}

    def _publish(self, phase: str) -> None:
        """Write the state that `status` and a second `up` read; a full disk must not stop the start."""
        servers = [server.name for server in self._servers]
        state = {"state": phase, "url": self.url, "pid": os.getpid(), "servers": servers, "children": self._pids()}
        with suppress(OSError):
            self._instance.write_state(state)

    def _print_welcome(self, made: bool, workers: str, seconds: float) -> None:
        key_file = shlex.quote(str(self.folder.key))
        say(f"\nSaddle is ready after {seconds:.1f} s: {self.url}  ({workers}; data in {self.folder.path})")
        if made:
            say(f"API key, shown only this once and stored in {self.folder.key}: {self.key}")
            say(f"The page, signed in: {self.url}/#key={self.key}")
        else:
            say(f"API key: as before, stored in {self.folder.key}")
        say(
            f"\nTo train something, paste:\n\n  export SADDLE_URL={self.url}\n  export SADDLE_KEY=$(cat {key_file})\n"
            "  curl -sS $SADDLE_URL/v1/experiments -H 'Content-Type: application/json' \\\n"
            f'    -H "Authorization: Bearer $SADDLE_KEY" -d {shlex.quote(FIRST_SPEC)}\n\n'
            "Ctrl-C stops Saddle; unfinished runs continue at the next start."
        )


def is_configured(variable: str) -> bool:
    """Whether the environment contains a secret, or names the file that does."""
    return bool(os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))


def user_name() -> str:
    """Return the name of the current user; in a container the user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"
