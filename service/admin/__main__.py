"""`python -m service.admin backup | restore | gc | doctor`: what needs the machine, as the owner of the database.

`saddle admin backup` and so on run it for the server of this machine; in Docker
`docker compose run --rm migrate python -m service.admin backup`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from service.admin.backup import back_up
from service.admin.doctor import examine, exit_status
from service.admin.gc import collect
from service.admin.restore import restore
from service.errors import SaddleError
from service.settings import settings

LOCAL_API = "http://127.0.0.1:8000"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="saddle admin", description="Administer the server of this machine; SADDLE_DATABASE_URL says which."
    )
    commands = made.add_subparsers(dest="command", required=True)
    backup = commands.add_parser("backup", help="add a backup to a folder, while runs train")
    backup.add_argument("folder", type=Path, metavar="DIR")
    restored = commands.add_parser("restore", help="restore the newest backup of a folder, into an empty server")
    restored.add_argument("folder", type=Path, metavar="DIR", help="of backups, or of one of them")
    gc = commands.add_parser("gc", help="show what nothing names any more: files and rows")
    gc.add_argument("--delete", action="store_true", help="delete it")
    doctor = commands.add_parser("doctor", help="look at every part; exit status 0 well, 1 warnings, 2 failures")
    doctor.add_argument("--api", action="append", metavar="URL", help=f"of an API (default: {LOCAL_API})")
    for each in (backup, restored, gc, doctor):
        each.add_argument("--json", action="store_true", help="print JSON for programs")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; print an error as a sentence and return 2."""
    given = parser().parse_args(arguments)
    os.umask(0o077)  # a backup holds every secret of the server
    try:
        return COMMANDS[given.command](given)
    except (SaddleError, OSError) as error:
        print(f"saddle: {error}", file=sys.stderr)
        return 2


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _backup(given: argparse.Namespace) -> int:
    """Return 1 where something that rows still name is not in the backup."""
    backup, made = back_up(given.folder, settings(), _say)
    told = {"backup": str(backup), "missing": made.missing, "lost": made.lost}
    print(json.dumps(told) if given.json else backup)
    return 1 if made.lost else 0


def _restore(given: argparse.Namespace) -> int:
    done = restore(given.folder, settings(), _say)
    rows = sum(each.rows for each in done.manifest.tables.values())
    told = {"backup": str(done.backup), "rows": rows, "runs_queued_again": done.requeued}
    text = f"restored {rows} rows of {done.backup}; {done.requeued} runs that trained are queued again"
    print(json.dumps(told) if given.json else text)
    return 0


def _gc(given: argparse.Namespace) -> int:
    found = collect(settings(), given.delete)
    if given.json:
        print(json.dumps(asdict(found), default=str))
        return 0
    files: dict[str, Sequence[object]] = {
        "checkpoint": found.checkpoints,
        "upload": found.uploads,
        "unfinished upload": found.partial,
    }
    for what, names in files.items():
        for name in names:
            print(f"{what} {name}")
    for what, count in found.rows.items():
        if count:
            print(f"{count} {what}")
    _say("deleted" if given.delete else "nothing was deleted: do it with --delete")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    lines = examine(settings(), given.api or [os.environ.get("SADDLE_URL") or LOCAL_API])
    if given.json:
        print(json.dumps([asdict(each) for each in lines]))
    else:
        width = max(len(each.part) for each in lines)
        for each in lines:
            print(f"{each.status:4}  {each.part:{width}}  {each.found}" + (f"  -> {each.fix}" if each.fix else ""))
    return exit_status(lines)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "backup": _backup,
    "restore": _restore,
    "gc": _gc,
    "doctor": _doctor,
}

if __name__ == "__main__":
    sys.exit(main())
