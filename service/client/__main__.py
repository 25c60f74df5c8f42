"""`saddle`, also `python3 -m service.client`: Saddle from the terminal.

Exit status: 0 done, 1 a watched run failed or was cancelled, or a diagnosed one has a fault, 2 the command or the spec
is wrong, 3 the server does not answer, 130 Ctrl-C.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

from service.client.client import Client
from service.client.commands import COMMANDS
from service.client.commands.context import INTERRUPTED, Context
from service.client.commands.people import keys
from service.client.errors import ClientError
from service.client.terminal import plain


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = argparse.ArgumentParser(
        prog="saddle",
        description="Train on a Saddle server, follow it, compare what came out.",
        epilog="SADDLE_URL and SADDLE_KEY say which server; without them the one that `run.py up` started here.\n"
        "example:\n  saddle submit preset:digits-adam --seeds 0-4 --watch",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; print a refusal on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # never fail on a name that the terminal cannot print
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(_join_sort(sys.argv[1:] if arguments is None else arguments))
    try:
        if "without_server" in given and (status := given.without_server(given)) is not None:
            return int(status)
        with Client(given.url) as client:
            status = given.do(given, Context(client, given.json)) or 0
            if client.http.key_expires:
                print(f"saddle: {keys.expiry_notice(client.http.key_expires)}", file=sys.stderr)
        sys.stdout.flush()
    except ClientError as refusal:
        for line in str(refusal).splitlines():
            print(f"saddle: {plain(line)}" if not line.startswith("  ") else plain(line), file=sys.stderr)
        return refusal.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` closed the pipe
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _join_sort(arguments: Sequence[str]) -> list[str]:
    """Join `--sort -best(loss)` into one word: argparse takes a word that begins with a hyphen for an option."""
    made: list[str] = []
    for word in arguments:
        if made and made[-1] == "--sort" and word.startswith("-") and not word.startswith("--"):
            made[-1] = f"--sort={word}"
        else:
            made.append(word)
    return made


if __name__ == "__main__":
    sys.exit(main())
