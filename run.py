#!/usr/bin/env python3
"""Installs and runs Saddle with nothing but Python 3.11: `python3 run.py up` or `python3 run.py test`.

    up [--demo] [--port N] [--host ADDRESS] [--data DIR] [--workers N]   start everything until Ctrl-C
    test [pytest arguments]                             run the tests
    down, status [--data DIR]                           stop everything, or show what is running
    admin [--data DIR] backup | restore | gc | doctor   administer what is stored there

The first call creates `.venv` beside this file and installs into it; a change of pyproject.toml installs again.
Standard library only; Python 3.6 must be able to parse this file, so that it can print which version is needed.
"""

import ast
import errno
import hashlib
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress

if sys.version_info < (3, 11):  # noqa: UP036  # older versions get a message
    sys.exit(
        "saddle: Python 3.11 or newer is needed, and this is {}.{}; try python3.12 run.py".format(*sys.version_info[:2])
    )
if os.name != "posix":
    sys.exit("saddle: Linux or macOS is needed; on Windows use WSL")

import fcntl
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "saddle-installed.json"  # extra -> hash of pyproject.toml
LOG = VENV / "saddle-install.log"  # output of failed steps
EXTRAS = {"up": "local", "down": "local", "status": "local", "admin": "local", "test": "dev"}
PROVIDED_BY = {"local": ("local", "dev"), "dev": ("dev",)}  # the extra dev includes local
PROGRESS_S = 3.0  # seconds between two lines of progress

# pip's settings and uv's variables for them; uv does not read pip's settings.
UV_VARIABLES = {
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}

DISK_FULL = ("No space left on device", "os error 28", "Errno 28", "Disk quota exceeded")
NOT_PERMITTED = ("Permission denied", "Read-only file system", "Operation not permitted")
OFFLINE = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "nodename nor servname provided",
    "Network is unreachable",
    "No route to host",
    "Connection refused",
    "ConnectTimeoutError",
    "Connection timed out",
    "NameResolutionError",
    "NewConnectionError",
    "dns error",
    "tcp connect error",
    "Could not connect",
)


PYTEST_OPTIONS = ("-n", "2", "--dist", "worksteal", "--durations=25")  # tests mostly wait for processes


def say(text: str) -> None:
    """Print progress to stderr; stdout is for the command that is started."""
    print(f"saddle: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    """Exit with a message and status 1."""
    sys.exit(f"saddle: {text}")


def main(arguments: Sequence[str]) -> NoReturn:
    """Install what the command needs, then run it in place of this process."""
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__, file=sys.stderr)
        sys.exit(0 if arguments and arguments[0] in ("-h", "--help", "help") else 2)
    command, *rest = arguments
    if command in ("down", "status") and not PYTHON.exists():
        say("nothing is installed here, so nothing is running")
        sys.exit(0 if command == "down" else 1)
    install(EXTRAS[command])
    if command == "test":
        os.chdir(ROOT)
        execute("-m", "pytest", *PYTEST_OPTIONS, *rest)
    execute("-P", "-m", "service.local", command, *rest)  # -P: ignore a `service` in the current folder


def execute(*arguments: str) -> NoReturn:
    """Replace this process by the environment's Python."""
    try:
        os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606  # no shell is needed
    except OSError as error:
        stop(f"{PYTHON} cannot be run ({error.strerror}); delete {VENV} and try again")


def install(extra: str) -> None:
    """Install `extra` unless it is up to date; one process at a time."""
    if installed(extra):
        return
    began = time.monotonic()
    with install_lock():
        if installed(extra):  # by another process, meanwhile
            return
        make_environment()
        requirement = f"{ROOT}[{extra}]"
        if not (get_uv() and install_with_uv(requirement)):
            install_with_pip(requirement)
        write_stamp(extra)
    say(f"installed in {time.monotonic() - began:.0f} s")


def fingerprint() -> str:
    """Return a hash that changes with pyproject.toml."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def read_stamp() -> Mapping[str, str]:
    """Return the fingerprint of each installed extra; none without a working environment."""
    try:
        stamp = json.loads(STAMP.read_text()) if PYTHON.exists() else {}
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def installed(extra: str) -> bool:
    """Whether `extra` is installed as the current pyproject.toml defines it."""
    stamp, wanted = read_stamp(), fingerprint()
    return any(stamp.get(name) == wanted for name in PROVIDED_BY[extra])


def write_stamp(extra: str) -> None:
    """Record that `extra` is installed; written last, so an interrupted installation is repeated."""
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps({**read_stamp(), extra: fingerprint()}))
    new.replace(STAMP)


@contextmanager
def install_lock() -> Iterator[None]:
    """Lock this file, which needs no lock file and ends with the process."""
    with Path(__file__).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run.py is installing; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_environment() -> None:
    """Create `.venv` with pip, unless it exists and works."""
    check_writable()
    if not works(PYTHON, "import sys"):
        options = ["--clear"] if VENV.exists() else []
        status, output = run("creating .venv", [sys.executable, "-m", "venv", *options, str(VENV)])
        if status != 0 and not works(PYTHON, "import sys"):
            stop(explain_venv_failure(output))
    if not works(
        PYTHON, "import pip._internal.cli.main; import pip._vendor.packaging.version"
    ):  # `venv` hides why it could not add pip
        status, output = run("adding pip to .venv", [str(PYTHON), "-m", "ensurepip", "--upgrade"])
        if status != 0:
            stop(explain_venv_failure(output))


def works(python: Path, code: str) -> bool:
    """Whether an interpreter exists and runs `code`."""
    try:
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def check_writable() -> None:
    """Exit if the folder is not writable, before anything slow starts."""
    place = VENV if VENV.exists() else ROOT
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(65536))
    except OSError as error:
        stop(explain_os_error(OSError(error.errno, error.strerror), place))  # without the name of the probe


def explain_venv_failure(output: str) -> str:
    """Return why `python -m venv` failed."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not is_full(output) and re.search("ensurepip is not available|No module named '?(ensurepip|venv)", output):
        return (
            f"this Python {version} cannot create a virtual environment; "
            f"on Debian and Ubuntu install it with: apt install python{version}-venv"
        )
    return explain("creating .venv", output)


def get_uv() -> bool:
    """Install uv with pip into .venv if it is missing, because it is five times faster; return whether it is there."""
    if works(PYTHON, "import uv"):
        return True
    status, output = run("installing uv, a faster installer", [*pip_install(), "uv"])
    if status != 0 and (is_full(output) or any(sign in output for sign in (*OFFLINE, *NOT_PERMITTED))):
        stop(explain("installing uv", output))
    return status == 0


def install_with_uv(requirement: str) -> bool:
    """Install with uv; return False if that failed and pip should try."""
    environment = uv_environment(pip_settings(), os.environ)
    command = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "-e", requirement]
    status, output = run("installing with uv", command, environment)
    if status != 0 and is_full(output):
        stop(explain("installing", output))
    if status != 0:
        say(f"uv failed ({last_line(output)}); trying pip")
    return status == 0


def install_with_pip(requirement: str) -> None:
    """Install with pip, which is slower and reads its own settings."""
    status, output = run("installing with pip", [*pip_install(), "-e", requirement])
    if status != 0:
        stop(explain("installing", output))


def pip_install() -> list[str]:
    """Return the command `pip install`, without prompts and notices."""
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]


def pip_settings() -> dict[str, str]:
    """Return pip's settings; the environment overrides files, and `install.` overrides `global.`."""
    listed = subprocess.run([*pip_install()[:3], "config", "list"], check=False, capture_output=True, text=True).stdout
    ranks = {":env:": 2, "install": 1, "global": 0}
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        name, equals, quoted = line.partition("=")
        section, _, key = name.strip().partition(".")
        if not equals or section not in ranks or key not in UV_VARIABLES:
            continue
        if key not in found or ranks[section] >= found[key][0]:
            found[key] = (ranks[section], str(ast.literal_eval(quoted)))
    return {key: value for key, (_, value) in found.items()}


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with pip's settings as uv's variables, which do not override those that are set.

    With pip's default index, Linux without a GPU gets the CPU build of torch from torch's own index: the default index
    has only the build with several GB of CUDA libraries.
    """
    result = dict(environment)
    for key, value in settings.items():
        separator = "," if key == "find-links" else " "
        result.setdefault(UV_VARIABLES[key], separator.join(value.split()))
    if "extra-index-url" in settings:
        result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # as pip does: the best match of all indexes
    if not {"find-links", "index-url", "extra-index-url", "no-index"} & settings.keys():
        result.setdefault("UV_TORCH_BACKEND", "auto")
    return result


def run(what: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a long step, with a line of progress every few seconds; return its exit status and output."""
    say(what)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as step:
        try:
            output = read_output(what, step)
        except BaseException:
            step.terminate()
            raise
    if step.returncode != 0:
        append_log(what, output)
    return step.returncode, output


def read_output(what: str, step: "subprocess.Popen[bytes]") -> str:
    """Return everything a step prints, kept in memory because the disk may be full."""
    assert step.stdout is not None
    output = bytearray()
    began = reported = time.monotonic()
    while True:
        if select.select([step.stdout], [], [], 0.2)[0]:
            piece = os.read(step.stdout.fileno(), 65536)
            if not piece:
                return output.decode(errors="replace")
            output += piece
        if time.monotonic() - reported >= PROGRESS_S:
            reported = time.monotonic()
            say(f"{what}: {reported - began:.0f} s  {last_line(output[-2000:].decode(errors='replace'))}")


def last_line(output: str) -> str:
    """Return the last line that is not blank, cut to fit a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:100] if lines else ""


def append_log(what: str, output: str) -> None:
    """Append the output of a failed step to the log, if the disk has room."""
    with suppress(OSError), LOG.open("a") as log:
        log.write(f"--- {what}\n{output}\n")


def explain(what: str, output: str) -> str:
    """Return one sentence about a failed step."""
    if is_full(output):
        return explain_os_error(OSError(errno.ENOSPC, ""), ROOT)
    if any(sign in output for sign in NOT_PERMITTED):
        return f"{what} failed: {find_error_line(output, NOT_PERMITTED)}"
    if any(sign in output for sign in OFFLINE):
        return (
            f"{what} failed, because no package index can be reached; "
            "check the network, or name a mirror in PIP_INDEX_URL or a folder of wheels in PIP_FIND_LINKS"
        )
    return f"{what} failed: {find_error_line(output, ('ERROR', 'error', 'Error'))} (full output: {LOG})"


def is_full(output: str) -> bool:
    """Whether the disk is full, which a tool may report as another error."""
    return any(sign in output for sign in DISK_FULL) or shutil.disk_usage(ROOT).free < 20_000_000  # bytes


def find_error_line(output: str, signs: Sequence[str]) -> str:
    """Return the last line that contains the first sign found, else the last line."""
    lines = [line.strip() for line in output.splitlines()]
    matches = ([line for line in lines if sign in line] for sign in signs)
    return next((found[-1][:300] for found in matches if found), last_line(output))


def explain_os_error(error: OSError, place: Path) -> str:
    """Return one sentence about an error of the operating system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = f"{shutil.disk_usage(place).free / 1e9:.1f} GB are free"
        return f"no space left on the disk of {place} ({free}); the CPU installation takes about 2 GB"
    return f"{error.filename or place} cannot be used ({error.strerror}); run.py writes its .venv into {ROOT}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("saddle: interrupted; the next call continues from here")
    except OSError as error:
        stop(explain_os_error(error, ROOT))
