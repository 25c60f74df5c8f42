"""What every command is given, and how it is declared."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.client.client import Client
from service.client.table import Row, table
from service.client.terminal import Terminal, plain


@dataclass
class Context:
    """The server, the terminal, and whether a program reads along."""

    client: Client
    json: bool = False
    terminal: Terminal = field(default_factory=Terminal)

    def emit(self, document: Any) -> None:
        """A JSON document; ASCII, so that nothing in it can command a terminal."""
        self.terminal.say(json.dumps(document, indent=2, allow_nan=False))

    def emit_line(self, document: Any) -> None:
        """One of several JSON documents, each in a line of its own."""
        self.terminal.say(json.dumps(document, allow_nan=False))

    def say(self, text: str = "", colour: str | None = None) -> None:
        """A line that may hold texts of others."""
        self.terminal.say(self.terminal.colour(plain(text), colour))

    def table(
        self, head: Sequence[str], rows: Sequence[Row], right: Sequence[str] = (), whole: Sequence[str] = ()
    ) -> None:
        """A table that fits."""
        for line in table(head, rows, self.terminal, right, whole):
            self.terminal.say(line)


Do = Callable[[argparse.Namespace, Context], int]


class Commands(Protocol):
    """What argparse's subparsers offer; their own type is private."""

    def add_parser(self, name: str, **more: Any) -> argparse.ArgumentParser:
        """A parser for one command."""


def command(commands: Commands, name: str, do: Do, summary: str, example: str) -> argparse.ArgumentParser:
    """A command with its summary, one example, and what all have in common."""
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
