"""What every command is given, and how it is declared."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.client import answers
from service.client.client import Client
from service.client.table import Row, table
from service.client.terminal import Terminal, plain

INTERRUPTED = 130  # the exit status after Ctrl-C


@dataclass
class Context:
    """The server, the terminal, and whether the output is JSON for a program."""

    client: Client
    json: bool = False
    terminal: Terminal = field(default_factory=Terminal)

    def emit(self, document: Any) -> None:
        """Print JSON: a document, an answer, or a list of them; ASCII, so that nothing in it can command a terminal."""
        self.terminal.say(json.dumps(document, indent=2, allow_nan=False, default=answers.raw))

    def emit_line(self, document: Any) -> None:
        """Print one of several JSON documents on a line of its own."""
        self.terminal.say(json.dumps(document, allow_nan=False, default=answers.raw))

    def say(self, text: str = "", colour: str | None = None) -> None:
        """Print a line, which may hold text of other people."""
        self.terminal.say(self.terminal.colour(plain(text), colour))

    def warn(self, text: str) -> None:
        """Print a line on standard error."""
        print(f"saddle: {plain(text)}", file=sys.stderr)

    def table(
        self, head: Sequence[str], rows: Sequence[Row], right: Sequence[str] = (), whole: Sequence[str] = ()
    ) -> None:
        """Print a table that fits."""
        for line in table(head, rows, self.terminal, right, whole):
            self.terminal.say(line)

    def show(
        self,
        found: Any,
        head: Sequence[str],
        rows: Sequence[Row],
        right: Sequence[str] = (),
        whole: Sequence[str] = (),
    ) -> None:
        """Print what was found: as JSON where that is wanted, else as a table of its `rows`."""
        self.emit(found) if self.json else self.table(head, rows, right, whole)


Do = Callable[[argparse.Namespace, Context], int | None]  # the exit status; None: 0


class Commands(Protocol):
    """What argparse's subparsers offer; their own type is private."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Return a parser for one command."""


def command(commands: Commands, name: str, do: Do, summary: str, example: str) -> argparse.ArgumentParser:
    """Declare a command with its summary, an example, and the options that all commands have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(do=do)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--url", help="the server (default: SADDLE_URL, else the one on this machine)")
    return parser
