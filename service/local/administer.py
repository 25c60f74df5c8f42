"""The operator's half of administration for the server of this machine: `python -m service.local admin ...`."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from service.local.failure import CannotStart
from service.local.folder import PROJECT, DataFolder, InstanceLock
from service.local.postgres import EmbeddedPostgres
from service.local.up import is_configured
from service.local.valkey import EmbeddedValkey


def administer(folder: DataFolder, arguments: Sequence[str]) -> int:
    """Run `service.admin` for the embedded servers of a folder; start Postgres for it where it does not run.

    The doctor starts nothing, because what is down is what it looks for.
    """
    wanted = arguments[0] if arguments else ""
    postgres = _postgres(folder)
    if postgres is None or wanted == "doctor" or postgres.running or not {"backup", "restore", "gc"} & {wanted}:
        return _run(folder, postgres, arguments)
    if wanted == "restore":
        folder.create()
    elif not postgres.home.exists():
        raise CannotStart(f"there is no server in {folder.path}: name its folder with --data")
    with postgres:
        return _run(folder, postgres, arguments)


def _postgres(folder: DataFolder) -> EmbeddedPostgres | None:
    """Return the embedded Postgres of a folder, unless another one is configured."""
    if is_configured("SADDLE_DATABASE_URL"):
        return None
    binaries = os.environ.get("SADDLE_POSTGRES_BIN")
    log = folder.logs / "postgres.log"
    return EmbeddedPostgres(folder.postgres, binaries=Path(binaries) if binaries else None, log=log)


def _run(folder: DataFolder, postgres: EmbeddedPostgres | None, arguments: Sequence[str]) -> int:
    environment = os.environ | {"SADDLE_DATA_DIR": str(folder.path)}
    if postgres is not None:
        environment["SADDLE_DATABASE_URL"] = postgres.url
    broker = EmbeddedValkey(folder.valkey).url_file
    if not is_configured("SADDLE_BROKER_URL") and broker.exists():
        environment["SADDLE_BROKER_URL_FILE"] = str(broker)
    if url := InstanceLock(folder).read_state().get("url"):
        environment.setdefault("SADDLE_URL", str(url))
    absolute = [
        str(Path(word).absolute()) if index == 1 and word[:1] != "-" else word for index, word in enumerate(arguments)
    ]
    return subprocess.run(
        [sys.executable, "-m", "service.admin", *absolute], env=environment, cwd=PROJECT, check=False
    ).returncode
