"""`python -m service.local up | down | status | admin`: Saddle on this machine."""

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from service.devices import ALL, MAX_SLOTS, parse_slots
from service.errors import SaddleError
from service.local.administer import administer
from service.local.down import down, status
from service.local.failure import folder_error
from service.local.folder import DataFolder
from service.local.hosts import LOOPBACK
from service.local.up import Options, up


def parse_port(text: str) -> int:
    """Return a TCP port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def parse_host(text: str) -> str:
    """Return an address to listen on."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        advice = "give an address of this machine, or 0.0.0.0 for all of them"
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address; {advice}") from None


def parse_slot_count(text: str) -> int:
    """Return a number of slots, which `--workers` still calls workers."""
    if not text.isdecimal() or not 0 <= int(text) <= MAX_SLOTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers; give a number from 0 to {MAX_SLOTS}")
    return int(text)


def parse_device_list(text: str) -> list[str]:
    """Return the devices of each slot, as SADDLE_DEVICES names them; none for `all`."""
    try:
        return ["+".join(devices) for devices in parse_slots(text) or []]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="run.py", description="Saddle on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start everything and keep it running until Ctrl-C")
    start.add_argument("--demo", action="store_true", help="also train two presets and compare them")
    start.add_argument("--port", type=parse_port, default=8000, help="port of the API (default 8000)")
    start.add_argument(
        "--host",
        type=parse_host,
        default=LOOPBACK,
        help="address to listen on (default 127.0.0.1; 0.0.0.0: reachable by others, by the names of this machine or "
        "those in SADDLE_ALLOWED_HOSTS)",
    )
    start.add_argument("--workers", type=parse_slot_count, help="runs to train at once (default: one per device)")
    start.add_argument(
        "--devices",
        type=parse_device_list,
        default=os.environ.get("SADDLE_DEVICES", ALL),
        help="devices to train on, such as 0,1 or cpu x 4 or 0+1 (default: SADDLE_DEVICES, or all)",
    )
    stop = commands.add_parser("down", help="stop everything")
    show = commands.add_parser("status", help="show what is running")
    admin = commands.add_parser("admin", help="back up, restore, collect garbage, or look at every part")
    for command in (start, stop, show, admin):
        command.add_argument("--data", type=Path, help="the data folder (default: SADDLE_DATA, or .saddle)")
    admin.add_argument("arguments", nargs=argparse.REMAINDER, help="backup DIR, restore DIR, gc [--delete], doctor")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; print an error as one sentence and return 1."""
    options = build_parser().parse_args(arguments)
    os.umask(0o077)  # nothing that is written here is for other users
    folder = DataFolder.locate(options.data, os.environ)
    try:
        if options.command == "up":
            given = (options.port, options.workers, options.devices, options.demo, options.host)
            return up(Options(folder, *given))
        if options.command == "admin":
            return administer(folder, options.arguments)
        return down(folder) if options.command == "down" else status(folder)
    except SaddleError as error:
        print(f"saddle: {error}", file=sys.stderr)
    except OSError as error:
        print(f"saddle: {folder_error(folder.path, error)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
