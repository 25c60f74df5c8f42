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
from service.client.commands.context import Context
from service.client.errors import ClientError
from service.client.terminal import plain

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
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
    """Do what was asked; a refusal is said on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot write must not end the command
            stream.reconfigure(errors="backslashreplace")
    asked = parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        with Client(asked.url) as client:
            status: int = asked.do(asked, Context(client, asked.json))
        sys.stdout.flush()
    except ClientError as refusal:
        for line in str(refusal).splitlines():
            print(f"saddle: {plain(line)}" if not line.startswith("  ") else plain(line), file=sys.stderr)
        return refusal.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--sort -best(loss)` as one word: argparse takes what begins with a hyphen for an option."""
    made: list[str] = []
    for word in arguments:
        if made and made[-1] == "--sort" and word.startswith("-") and not word.startswith("--"):
            made[-1] = f"--sort={word}"
        else:
            made.append(word)
    return made


if __name__ == "__main__":
    sys.exit(main())
