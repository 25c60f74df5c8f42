#!/usr/bin/env python3
"""Saddle on this machine, from nothing but Python 3.11: `python3 run.py up` or `python3 run.py test`.

    up [--demo] [--port N] [--data DIR] [--workers N]   start everything, and keep it running
    test [pytest arguments]                             pass the tests
    down, status [--data DIR]                           end what runs, or say what does

The first call makes `.venv` beside this file and installs into it; later ones only look whether pyproject.toml changed.
Standard library only. Until the version is checked, nothing here may need a newer Python than 3.6 to be read.
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

if sys.version_info < (3, 11):  # noqa: UP036  # the sentence is for those who have an older one
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
STAMP = VENV / "saddle-installed.json"
LOG = VENV / "saddle-install.log"  # what failed
EXTRAS = {"up": "local", "down": "local", "status": "local", "test": "dev"}
HOLDS = {"local": ("local", "dev"), "dev": ("dev",)}  # dev contains everything that local has
TELL_S = 3.0  # seconds between two signs of life

# What pip was told, and how uv is told the same; uv reads none of pip's settings itself.
UV_NAMES = {
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

FULL = ("No space left on device", "os error 28", "Errno 28", "Disk quota exceeded")
CLOSED = ("Permission denied", "Read-only file system", "Operation not permitted")
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


TWO_AT_ONCE = ("-n", "2", "--dist", "worksteal", "--durations=25")  # tests mostly wait for processes; a later -n wins


def say(text: str) -> None:
    """Progress goes to stderr: stdout belongs to what is started."""
    print(f"saddle: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    """One sentence, exit status 1."""
    sys.exit(f"saddle: {text}")


def main(arguments: Sequence[str]) -> NoReturn:
    """Install what the command needs, then become it."""
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__, file=sys.stderr)
        sys.exit(0 if arguments and arguments[0] in ("-h", "--help", "help") else 2)
    command, *rest = arguments
    if command in ("down", "status") and not PYTHON.exists():
        say("nothing was ever installed here, so nothing runs")
        sys.exit(0 if command == "down" else 1)
    install(EXTRAS[command])
    if command == "test":
        os.chdir(ROOT)
        become("-m", "pytest", *TWO_AT_ONCE, *rest)
    become("-P", "-m", "service.local", command, *rest)  # -P: a folder `service` where we stand is not ours


def become(*arguments: str) -> NoReturn:
    """Replace this process."""
    try:
        os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606  # no shell is the point
    except OSError as error:
        stop(f"{PYTHON} cannot be run ({error.strerror}); delete {VENV} and try again")


def install(extra: str) -> None:
    """Make the environment hold `extra`; one process at a time, nothing to do where the stamp is right."""
    if installed(extra):
        return
    began = time.monotonic()
    with my_turn():
        if installed(extra):  # another one did it while we waited
            return
        make_environment()
        requirement = f"{ROOT}[{extra}]"
        if not (have_uv() and install_with_uv(requirement)):
            install_with_pip(requirement)
        write_stamp(extra)
    say(f"installed in {time.monotonic() - began:.0f} s")


def fingerprint() -> str:
    """Changes whenever there may be something to install."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def read_stamp() -> Mapping[str, str]:
    """What was installed, by extra; nothing if the environment is gone or its Python is."""
    try:
        stamp = json.loads(STAMP.read_text()) if PYTHON.exists() else {}
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def installed(extra: str) -> bool:
    """Whether the environment holds `extra` as pyproject.toml asks for it now."""
    stamp, wanted = read_stamp(), fingerprint()
    return any(stamp.get(name) == wanted for name in HOLDS[extra])


def write_stamp(extra: str) -> None:
    """Written last, so that an interrupted installation is done again."""
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps({**read_stamp(), extra: fingerprint()}))
    new.replace(STAMP)


@contextmanager
def my_turn() -> Iterator[None]:
    """A lock on this very file: it needs no file of its own, and ends with the process."""
    with Path(__file__).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run.py is installing; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_environment() -> None:
    """`.venv` with pip; one that is there and works is kept."""
    check_writable()
    if not works(PYTHON, "import sys"):
        before = ["--clear"] if VENV.exists() else []
        status, output = run("making .venv", [sys.executable, "-m", "venv", *before, str(VENV)])
        if status != 0 and not works(PYTHON, "import sys"):
            stop(why_no_environment(output))
    if not works(
        PYTHON, "import pip._internal.cli.main; import pip._vendor.packaging.version"
    ):  # also where `venv` could not, because it hides the reason
        status, output = run("adding pip to .venv", [str(PYTHON), "-m", "ensurepip", "--upgrade"])
        if status != 0:
            stop(why_no_environment(output))


def works(python: Path, code: str) -> bool:
    """Whether an interpreter is there and runs `code`."""
    try:
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def check_writable() -> None:
    """A folder that cannot be written is refused before anything long begins."""
    place = VENV if VENV.exists() else ROOT
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(65536))
    except OSError as error:
        stop(why_not(OSError(error.errno, error.strerror), place))  # without the name of the probe


def why_no_environment(output: str) -> str:
    """What is wrong when `python -m venv` fails."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not is_full(output) and re.search("ensurepip is not available|No module named '?(ensurepip|venv)", output):
        return (
            f"this Python {version} cannot make a virtual environment; "
            f"on Debian and Ubuntu install it with: apt install python{version}-venv"
        )
    return explain("making .venv", output)


def have_uv() -> bool:
    """uv installs five times faster than pip; it comes through pip, into .venv."""
    if works(PYTHON, "import uv"):
        return True
    status, output = run("getting uv, a faster installer", [*pip(), "uv"])
    if status != 0 and (is_full(output) or any(sign in output for sign in (*OFFLINE, *CLOSED))):
        stop(explain("getting uv", output))
    return status == 0


def install_with_uv(requirement: str) -> bool:
    """True if uv could; pip gets its chance otherwise."""
    environment = uv_environment(pip_settings(), os.environ)
    command = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "-e", requirement]
    status, output = run("installing with uv", command, environment)
    if status != 0 and is_full(output):
        stop(explain("installing", output))
    if status != 0:
        say(f"uv could not ({last_line(output)}); trying pip")
    return status == 0


def install_with_pip(requirement: str) -> None:
    """The slow way, which reads all its own settings."""
    status, output = run("installing with pip", [*pip(), "-e", requirement])
    if status != 0:
        stop(explain("installing", output))


def pip() -> list[str]:
    """pip, quiet about itself."""
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]


def pip_settings() -> dict[str, str]:
    """pip's settings by their plain name; the environment before the files, `install.` before `global.`."""
    listed = subprocess.run([*pip()[:3], "config", "list"], check=False, capture_output=True, text=True).stdout
    ranks = {":env:": 2, "install": 1, "global": 0}
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        name, equals, quoted = line.partition("=")
        section, _, key = name.strip().partition(".")
        if not equals or section not in ranks or key not in UV_NAMES:
            continue
        if key not in found or ranks[section] >= found[key][0]:
            found[key] = (ranks[section], str(ast.literal_eval(quoted)))
    return {key: value for key, (_, value) in found.items()}


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Our environment with pip's settings in uv's words; what the person set for uv stays.

    Without any setting of pip's, torch on a Linux without a GPU is the CPU build from its makers: the general index
    has only the one with several GB of CUDA libraries.
    """
    told = dict(environment)
    for key, value in settings.items():
        several = "," if key == "find-links" else " "
        told.setdefault(UV_NAMES[key], several.join(value.split()))
    if "extra-index-url" in settings:
        told.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # pip's way: the best of all indexes
    if not {"find-links", "index-url", "extra-index-url", "no-index"} & settings.keys():
        told.setdefault("UV_TORCH_BACKEND", "auto")
    return told


def run(what: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of a long step, with a line every few seconds that shows where it is."""
    say(what)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as step:
        try:
            output = follow(what, step)
        except BaseException:
            step.terminate()
            raise
    if step.returncode != 0:
        keep_log(what, output)
    return step.returncode, output


def follow(what: str, step: "subprocess.Popen[bytes]") -> str:
    """Everything a step prints, collected in memory: the disk may be what fails."""
    assert step.stdout is not None
    output = bytearray()
    began = told = time.monotonic()
    while True:
        if select.select([step.stdout], [], [], 0.2)[0]:
            piece = os.read(step.stdout.fileno(), 65536)
            if not piece:
                return output.decode(errors="replace")
            output += piece
        if time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            say(f"{what}: {told - began:.0f} s  {last_line(output[-2000:].decode(errors='replace'))}")


def last_line(output: str) -> str:
    """The last line that says something, cut to fit a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:100] if lines else ""


def keep_log(what: str, output: str) -> None:
    """The whole output of what failed, if there is room for it."""
    with suppress(OSError), LOG.open("a") as log:
        log.write(f"--- {what}\n{output}\n")


def explain(what: str, output: str) -> str:
    """One sentence for a step that failed."""
    if is_full(output):
        return why_not(OSError(errno.ENOSPC, ""), ROOT)
    if any(sign in output for sign in CLOSED):
        return f"{what} failed: {blamed(output, CLOSED)}"
    if any(sign in output for sign in OFFLINE):
        return (
            f"{what} failed, because no package index can be reached; "
            "check the network, or name a mirror in PIP_INDEX_URL or a folder of wheels in PIP_FIND_LINKS"
        )
    return f"{what} failed: {blamed(output, ('ERROR', 'error', 'Error'))} (all of it: {LOG})"


def is_full(output: str) -> bool:
    """Whether a step failed for want of room; tools that lost half a file give odd reasons instead."""
    return any(sign in output for sign in FULL) or shutil.disk_usage(ROOT).free < 20_000_000  # bytes


def blamed(output: str, signs: Sequence[str]) -> str:
    """The last line with the first sign that occurs, else the last line."""
    lines = [line.strip() for line in output.splitlines()]
    telling = [[line for line in lines if sign in line] for sign in signs]
    return next((found[-1][:300] for found in telling if found), last_line(output))


def why_not(error: OSError, place: Path) -> str:
    """One sentence for what the operating system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = f"{shutil.disk_usage(place).free / 1e9:.1f} GB are free"
        return f"no space left on the disk of {place} ({free}); the CPU installation takes about 2 GB"
    return f"{error.filename or place} cannot be used ({error.strerror}); run.py writes its .venv into {ROOT}"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("saddle: interrupted; the next call goes on from here")
    except OSError as error:
        stop(why_not(error, ROOT))
