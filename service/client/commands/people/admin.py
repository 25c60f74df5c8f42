"""`saddle admin`: projects, users, quotas, the queue and workers of the whole server; backup, restore, gc and doctor.

The first half asks the server with a server admin's key. The other needs the machine of the server: it runs there, as
the owner of the database, also when the server is down.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

from service.client import lookup
from service.client.commands.context import Commands, Context, command
from service.client.errors import Unusable
from service.client.formatting import duration, number, size

HERE = ("backup", "restore", "gc", "doctor")
QUOTAS = ("queued_runs", "running_runs", "device_hours", "run_hours", "upload_bytes", "checkpoint_bytes")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "the whole server, for its admins: projects, users, quotas, queue, workers; backup, restore, gc, doctor"
    parser = command(commands, "admin", do, summary, "saddle admin drain worker-1")
    parser.set_defaults(without_server=run_here)
    parser.add_argument("action", choices=(*ACTIONS, *HERE))
    parser.add_argument(
        "what", nargs="*", help="a user; a worker; a run or experiment; a quota and its limit; a folder"
    )
    parser.add_argument("--project", help="quota: of one project (default: all that have no own limit)")
    parser.add_argument("--person", action="store_true", help="quota: of each person, not of the project as a whole")
    parser.add_argument("--limit", type=int, default=50, help="queue: how many runs (default 50)")
    parser.add_argument("--delete", action="store_true", help="gc: delete what it finds")
    parser.add_argument("--api", action="append", metavar="URL", help="doctor: of an API")
    parser.add_argument("--data", metavar="DIR", help="backup, restore, gc, doctor: the data folder of this machine")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Ask the server."""
    ACTIONS[arguments.action](arguments, context)


def run_here(arguments: argparse.Namespace) -> int | None:
    """Run the operator's half on this machine, and return its exit status; None for what the server answers."""
    if arguments.action not in HERE:
        return None
    if importlib.util.find_spec("sqlalchemy") is None:
        raise Unusable(
            f"`saddle admin {arguments.action}` runs on the machine of the server; in Docker: "
            f"docker compose run --rm migrate python -m service.admin {arguments.action}"
        )
    options = [*(["--json"] if arguments.json else []), *(["--delete"] if arguments.delete else [])]
    options += [word for url in arguments.api or () for word in ("--api", url)]
    data = ["--data", arguments.data] if arguments.data else []
    program = [sys.executable, "-m", "service.local", "admin", *data, arguments.action]
    return subprocess.run([*program, *arguments.what, *options], check=False).returncode


def _one(arguments: argparse.Namespace, what: str) -> str:
    if len(arguments.what) != 1:
        raise Unusable(f"name one {what}: saddle admin {arguments.action} {what.upper()}")
    return str(arguments.what[0])


def do_projects(_: argparse.Namespace, context: Context) -> None:
    """List the projects with their use."""
    found = list(context.client.all_projects())
    rows = [
        [
            each["name"],
            str(len(each["members"])),
            str(each["running"]),
            str(each["queued"]),
            number(each["device_hours"], 3),
            duration(each["recent_s"]),
            size(each["checkpoint_bytes"]),
            size(each["upload_bytes"]),
        ]
        for each in found
    ]
    head = ["project", "people", "running", "waiting", "hours", "recent", "checkpoints", "uploads"]
    context.show(found, head, rows, right=head[1:])


def do_users(_: argparse.Namespace, context: Context) -> None:
    """List the accounts."""
    found = list(context.client.accounts())
    rows = [[each["name"], each["kind"], each.get("email") or "-", " ".join(_facts(each))] for each in found]
    context.show(found, ["name", "kind", "e-mail", ""], rows)


def _facts(account: dict[str, object]) -> list[str]:
    return ["server admin"] * bool(account.get("admin")) + ["disabled"] * bool(account.get("disabled_at"))


def do_disable(arguments: argparse.Namespace, context: Context) -> None:
    """Stop an account at once, or let it in again."""
    name, disable = _one(arguments, "user"), arguments.action == "disable"
    found = [each for each in context.client.accounts() if name in (each["name"], each["id"])]
    if not found:
        raise Unusable(f"no account is called {name!r}: saddle admin users lists them")
    done = context.client.disable(found[0]["id"], disable)
    context.emit(done) if context.json else context.say(f"{name} is {'disabled' if disable else 'let in again'}")


def do_quota(arguments: argparse.Namespace, context: Context) -> None:
    """Show the quotas of projects, or set one."""
    if not arguments.what:
        found = [each for each in context.client.all_projects() if arguments.project in (None, each["name"])]
        rows = [
            [each["name"], quota["name"], _amount(quota, "used"), _amount(quota, "limit")]
            for each in found
            for quota in each["quotas"]
        ]
        context.show(found, ["project", "quota", "used", "limit"], rows, right=["used", "limit"])
        return
    if len(arguments.what) != 2 or arguments.what[0] not in QUOTAS:
        raise Unusable(f"name a quota and its limit, none or default: one of {', '.join(QUOTAS)}")
    name, text = arguments.what
    subject: Literal["project", "person"] = "person" if arguments.person else "project"
    value = None if text in ("none", "default") else _value(text)
    client = context.client
    done = client.set_server_quota(name, value, arguments.project, subject, default=text == "default")
    whose = "each person" if arguments.person else "each project"
    context.emit(done) if context.json else context.say(f"{name} is {text} for {arguments.project or whose}")


def _amount(quota: dict[str, object], field: str) -> str:
    value = quota[field]
    if not isinstance(value, int | float):
        return "-"
    return size(value) if quota["unit"] == "bytes" else f"{value:,.6g}"


def _value(text: str) -> int:
    """Return a whole number, which may end with a unit such as GiB."""
    found = re.fullmatch(r"([0-9]{1,15})([kMGT]|[KMGT]i)?B?", text)
    if found is None:
        raise Unusable(f"{text!r} is no limit: give a whole number, such as 100 or 20GiB, or none, or default")
    return int(found[1]) * UNITS[found[2] or ""]


def do_queue(arguments: argparse.Namespace, context: Context) -> None:
    """List what waits, in the order of turns."""
    found = context.client.whole_queue(arguments.limit)
    rows = [
        [
            each["pool"],
            str(each["before"] + 1),
            each["run_id"],
            each["project"],
            each["member"],
            each["experiment"],
            duration(each["waited_s"]),
            each["reason"],
        ]
        for each in found
    ]
    context.show(found, ["pool", "place", "run", "project", "member", "experiment", "waits", "why"], rows)


def do_workers(_: argparse.Namespace, context: Context) -> None:
    """List workers with what they train."""
    found = context.client.busy_workers()
    rows = [
        [
            each["name"],
            each["pool"],
            each["state"],
            f"drained by {each['drain_by']}" if each["drain_since"] else "",
            f"{each['project']}/{each['experiment']}" if each["run_id"] else "-",
            f"{each['step']}/{each['total_steps']}" if each["run_id"] else "-",
            duration(each["beat_s"]),
        ]
        for each in found
    ]
    context.show(found, ["worker", "pool", "state", "", "trains", "step", "beat"], rows)


def do_drain(arguments: argparse.Namespace, context: Context) -> None:
    """Drain a worker, or let it take runs again."""
    found = context.client.drain(_one(arguments, "worker"), arguments.action == "drain")
    what = "takes no more runs" if found["drain_since"] else "takes runs again"
    context.emit(found) if context.json else context.say(f"{found['name']} {what}")


def do_stop(arguments: argparse.Namespace, context: Context) -> None:
    """Cancel a run or an experiment of any project, by its whole id."""
    thing = _one(arguments, "run or experiment")
    kind = next((kind for kind, prefix in (("run", "run"), ("experiment", "exp")) if lookup.is_id(thing, prefix)), None)
    if kind is None:
        raise Unusable(f"{thing!r} is no id of a run or experiment; `saddle admin queue` shows those that wait")
    found = context.client.stop("run" if kind == "run" else "experiment", thing)
    context.emit(found) if context.json else context.say(f"{thing} is being cancelled")


ACTIONS: dict[str, Callable[[argparse.Namespace, Context], None]] = {
    "projects": do_projects,
    "users": do_users,
    "disable": do_disable,
    "enable": do_disable,
    "quota": do_quota,
    "queue": do_queue,
    "workers": do_workers,
    "drain": do_drain,
    "undrain": do_drain,
    "stop": do_stop,
}
