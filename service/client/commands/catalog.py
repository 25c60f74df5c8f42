"""`saddle catalog`: the parts that a spec or a study can choose, and their fields."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client.commands.context import Commands, Context, command
from service.client.formatting import allowed_text, default_text, first_line
from service.client.table import Row

if TYPE_CHECKING:
    from service.schemas.catalog import KindDetail


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "what can be chosen: families, their kinds, and a kind's fields"
    parser = command(commands, "catalog", do, summary, "saddle catalog optimizers adamw")
    parser.add_argument(
        "family",
        nargs="?",
        help="datasets, models, losses, optimizers, schedules, inits, probes, augmentations, preparations, metrics; "
        "of studies dimensions, samplers, pruners; or presets",
    )
    parser.add_argument("kind", nargs="?", help="one of its kinds")


def do(arguments: argparse.Namespace, context: Context) -> None:
    """Show all families, one family, or one kind."""
    if arguments.family == "presets":
        _presets(arguments, context)
    elif arguments.kind:
        kind = context.client.kind(arguments.family, arguments.kind)
        context.emit(kind) if context.json else show(context, kind)
    elif arguments.family:
        kinds = context.client.family(arguments.family)
        context.show(kinds, ["kind", "what it is"], [[each.kind, first_line(each.summary)] for each in kinds])
    else:
        found = {family: [each.kind for each in kinds] for family, kinds in context.client.catalog().items()}
        context.show(found, ["family", "kinds"], [[family, ", ".join(kinds)] for family, kinds in found.items()])
        if not context.json:
            context.say("presets are at: saddle catalog presets", "dim")


def _presets(arguments: argparse.Namespace, context: Context) -> None:
    if arguments.kind:
        context.emit(context.client.preset(arguments.kind))
    else:
        found = context.client.presets()
        context.show(found, ["preset", "what it shows"], [[name, first_line(notes)] for name, notes in found.items()])


def show(context: Context, kind: KindDetail) -> None:
    """Print summary, formula, paper and fields of a part."""
    context.say(f"{kind.family} / {kind.kind}", "bold")
    for text in (kind.summary, kind.formula, kind.paper):
        for line in (text or "").splitlines():
            context.say(f"  {line}")
    fields = kind.json_schema.get("properties", {})
    required = kind.json_schema.get("required", [])
    rows: list[Row] = [
        [name, default_text(name, each, required), allowed_text(each), each.get("description", "")]
        for name, each in fields.items()
        if name != "kind"
    ]
    if rows:
        context.say()
        context.table(["field", "default", "allowed", ""], rows)
