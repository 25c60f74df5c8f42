"""`saddle plugin`: write a package with own components, and check one. Neither asks the server."""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from service.client.commands.context import Commands, Context, command
from service.client.commands.plugin.template import render
from service.client.errors import Unusable

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
TAKEN = {"service", "worker", "migrations", "tests", "torch", "saddle"} | set(sys.stdlib_module_names)


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "own models, losses, ...: write a package that adds some, or check one"
    parser = command(commands, "plugin", do, summary, "saddle plugin new acme && saddle plugin check acme")
    parser.set_defaults(without_server=run_here)
    parser.add_argument("action", choices=("new", "check"))
    parser.add_argument(
        "what", nargs="?", help="new: name of the package; check: its folder (default: this one), or an installed one"
    )
    parser.add_argument("--data", metavar="FILE", help="check: train on this file instead of bundled data")
    parser.add_argument("--predict", metavar="COLUMN", help="check: the column of --data to predict; default: the last")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Do nothing: `run_here` has."""


def run_here(arguments: argparse.Namespace) -> int:
    """Write or check a package, and return the exit status."""
    if arguments.action == "check":
        options = ["--json"] if arguments.json else []
        options += ["--data", arguments.data] if arguments.data else []
        options += ["--predict", arguments.predict] if arguments.predict else []
        return _check(arguments.what or ".", options)
    if not arguments.what:
        raise Unusable("give the package a name: saddle plugin new acme")
    _write(arguments.what)
    return 0


def _write(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > 40 or name.replace("-", "_") in TAKEN:
        raise Unusable(f"{name!r} cannot name a package: use small letters, digits and -, and no name that Python has")
    folder = Path(name)
    if folder.exists():
        raise Unusable(f"{folder} is already there: choose another name, or remove it")
    try:
        for path, text in render(name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        raise Unusable(f"{folder} cannot be written: {error.strerror}") from error
    print(f"wrote {folder}: a model, a loss, a preparation, tests, and spec.json that trains with them")
    print(f"check it:   saddle plugin check {folder}")
    print(f"install it where the server and its workers run, and restart them:   pip install ./{folder}")


def _check(target: str, options: list[str]) -> int:
    """Check a package in a process of its own: it needs torch, which this one does without."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("worker") is None:
        raise Unusable("`saddle plugin check` trains, so it needs torch: run the saddle of a worker's environment")
    program = [sys.executable, "-P", "-m", "worker.trainer.plugin_check", target]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([*program, *options], check=False, env=environment).returncode
