"""`saddle mcp`: the tools of this server for an assistant, over the Model Context Protocol."""

import argparse

from service.client.address import LOOPBACK
from service.client.client import Client
from service.client.commands.context import Commands, command
from service.client.export import library

PORT = 8331


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "serve an assistant (MCP) over standard input and output, or over HTTP"
    parser = command(commands, "mcp", lambda *_: 0, summary, "saddle mcp --http --port 8331")
    parser.add_argument("--http", action="store_true", help="over streamable HTTP, at /mcp, instead of standard input")
    parser.add_argument(
        "--host", default="127.0.0.1", help="where --http listens; beyond this machine each caller must bring a key"
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port of --http (default {PORT})")
    parser.set_defaults(without_server=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until standard input ends, or Ctrl-C."""
    library("mcp", "'saddle[mcp]'")
    from service.client.mcp.server import build, with_own_key  # noqa: PLC0415  the SDK takes a second to import

    if not arguments.http:
        with Client(arguments.url) as own:
            build(with_own_key(arguments.url, own)).run("stdio")
        return 0
    if arguments.host in LOOPBACK:
        with Client(arguments.url) as own:
            build(with_own_key(arguments.url, own)).run("streamable-http", host=arguments.host, port=arguments.port)
    else:
        build(with_own_key(arguments.url, None)).run("streamable-http", host=arguments.host, port=arguments.port)
    return 0
