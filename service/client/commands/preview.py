"""`saddle preview`: a schedule drawn before anything runs."""

import argparse

from service.client import documents
from service.client.chart import Line, chart
from service.client.commands.context import Commands, Context, command
from service.client.table import number

WIDEST = 78


def add(commands: Commands) -> None:
    """Declare it."""
    example = "saddle preview cosine --lr 0.1 --steps 1000 --set floor=0.01"
    parser = command(commands, "preview", do, "the learning rate of a schedule at every step", example)
    parser.add_argument("schedule", help="a kind (see: saddle catalog schedules), a FILE with a spec, or JSON")
    parser.add_argument("--lr", type=float, default=1.0, help="the base rate (default 1)")
    parser.add_argument("--steps", type=int, default=1000, help="how long the run is (default 1000)")
    parser.add_argument("--points", type=int, default=200, help="how many steps are asked for (default 200)")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a field of the schedule")


def do(asked: argparse.Namespace, context: Context) -> int:
    """Ask the server, which knows the formula, and draw."""
    named = asked.schedule
    document = {"kind": named} if named.replace("_", "").isalnum() else documents.read(named)
    schedule = documents.changed(document.get("schedule", document), asked.set)
    curve = context.client.preview(schedule, asked.lr, asked.steps, asked.points)
    if context.json:
        context.emit({"steps": curve.step.tolist(), "rates": curve.value.tolist()})
        return 0
    width = min(context.terminal.columns - 1, WIDEST)
    for line in chart([Line("lr", curve.step, curve.value)], context.terminal, width, linear=True):
        context.terminal.say(line)
    first, last = number(float(curve.value[0])), number(float(curve.value[-1]))
    peak = int(curve.value.argmax())
    highest = f"highest at {curve.step[peak]}: {number(float(curve.value[peak]))}"
    context.say(f"step 1: {first}, {highest}, step {asked.steps}: {last}")
    return 0
