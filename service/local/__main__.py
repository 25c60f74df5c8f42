"""`python -m service.local up | down | status`: Saddle on this machine."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from service.errors import SaddleError
from service.local.commands import DEVICE
from service.local.down import down, status
from service.local.failure import cannot_use
from service.local.folder import DataFolder
from service.local.up import Options, up


def port(text: str) -> int:
    """A TCP port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to 65535")
    return int(text)


def workers(text: str) -> int:
    """A number of workers."""
    if not text.isdecimal() or not 0 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; give one from 0 to 64")
    return int(text)


def devices(text: str) -> list[str]:
    """Names of devices, in the order in which workers are dealt out over them."""
    names = text.split(",")
    for name in names:
        if not DEVICE.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{name!r} is no device; give some of cpu, cuda:0, cuda:1, ... by commas")
    return names


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="run.py", description="Saddle on this machine.")
    commands = whole.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start everything and keep it running until Ctrl-C")
    start.add_argument("--demo", action="store_true", help="also train and compare two presets, live")
    start.add_argument("--port", type=port, default=8000, help="where the API listens on 127.0.0.1 (default 8000)")
    start.add_argument("--workers", type=workers, help="how many workers (default: one for each device)")
    start.add_argument(
        "--devices",
        type=devices,
        default=[],
        help="what they train on, as cuda:0,cpu (default: each GPU, else the CPU)",
    )
    stop = commands.add_parser("down", help="end what `up` started")
    look = commands.add_parser("status", help="say what runs")
    for command in (start, stop, look):
        command.add_argument("--data", type=Path, help="the data folder (default: SADDLE_DATA, or .saddle)")
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; a refusal is one sentence and exit status 1."""
    asked = parser().parse_args(arguments)
    folder = DataFolder.chosen(asked.data, os.environ)
    try:
        if asked.command == "up":
            return up(Options(folder, asked.port, asked.workers, asked.devices, asked.demo))
        return down(folder) if asked.command == "down" else status(folder)
    except SaddleError as refusal:
        print(f"saddle: {refusal}", file=sys.stderr)
    except OSError as error:
        print(f"saddle: {cannot_use(folder.path, error)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
