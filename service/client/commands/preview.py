"""`saddle preview`: a schedule drawn before anything runs."""

import argparse

from service.client import documents
from service.client.commands.context import Commands, Context, command
from service.client.formatting import number

CHART_WIDTH = 78


def add(commands: Commands) -> None:
    """Declare the command."""
    example = "saddle preview cosine --lr 0.1 --steps 1000 --set floor=0.01"
    parser = command(commands, "preview", do, "draw the learning rate of a schedule at every step", example)
    parser.add_argument("schedule", help="a kind (see: saddle catalog schedules), a FILE with a spec, or JSON")
    parser.add_argument("--lr", type=float, default=1.0, help="the base rate (default 1)")
    parser.add_argument("--steps", type=int, default=1000, help="how long the run is (default 1000)")
    parser.add_argument("--points", type=int, default=200, help="how many steps are arguments for (default 200)")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a field of the schedule")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Ask the server for the rates, and draw them."""
    from service.client.chart import Line, chart  # noqa: PLC0415  numpy takes 0.1 s

    named = arguments.schedule
    document = {"kind": named} if named.replace("_", "").isalnum() else documents.read(named)
    schedule = documents.apply_changes(document.get("schedule", document), arguments.set)
    curve = context.client.preview(schedule, arguments.lr, arguments.steps, arguments.points)
    if context.json:
        context.emit({"steps": curve.step.tolist(), "rates": curve.value.tolist()})
        return
    width = min(context.terminal.columns - 1, CHART_WIDTH)
    for line in chart([Line("lr", curve.step, curve.value)], context.terminal, width, linear=True):
        context.terminal.say(line)
    first, last = number(float(curve.value[0])), number(float(curve.value[-1]))
    peak = int(curve.value.argmax())
    highest = f"highest at {curve.step[peak]}: {number(float(curve.value[peak]))}"
    context.say(f"step 1: {first}, {highest}, step {arguments.steps}: {last}")
