"""Tools that say what a spec can choose: search the parts, show one with its fields and ranges."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from service.client.formatting import allowed_text, default_text, first_line
from service.client.mcp.tool import Tool
from service.client.paths import part
from service.markdown import document, plain, table

if TYPE_CHECKING:
    from service.client.client import Client

MAX_FOUND, MAX_FIELDS, MAX_DESCRIPTION = 30, 40, 160  # rows, rows, characters
PRESETS = "presets"


def find_parts(
    client: "Client",
    query: Annotated[str, Field(description="words that all occur in kind or summary; empty: everything")] = "",
    family: Annotated[
        str,
        Field(
            description="only these: datasets, models, losses, optimizers, schedules, inits, probes, augmentations, "
            "preparations, metrics; of studies dimensions, samplers, pruners; or presets (whole experiments)"
        ),
    ] = "",
) -> str:
    """Search what a spec or a study can choose from. Start here when you do not know a kind's exact name.

    Without arguments: every family with the names of its kinds. Then call show_part for the fields of one.
    """
    families: dict[str, list[dict[str, Any]]] = {
        each["family"]: each["items"] for each in client.http.get("/v1/catalog")["items"]
    }
    families[PRESETS] = [{"kind": name, "summary": notes} for name, notes in client.presets().items()]
    if family:
        families = {family: families[family]} if family in families else families
    words = query.lower().split()
    found = [
        (name, each["kind"], first_line(str(each.get("summary") or "")))
        for name, kinds in families.items()
        for each in kinds
        if all(word in f"{each['kind']} {each.get('summary')}".lower() for word in words)
    ]
    if not words and len(families) > 1:
        sections = [
            [f"**{name}**: {', '.join(plain(each['kind']) for each in kinds)}"] for name, kinds in families.items()
        ]
        return document([["# What a spec can choose"], *sections], "GET /v1/catalog")
    if not found:
        return f"Nothing matches. Families are: {', '.join(families)}. Try fewer or other words.\n"
    rows = [[name, plain(kind), plain(summary)] for name, kind, summary in found]
    return document([table(["family", "kind", "what it is"], rows, MAX_FOUND)], "GET /v1/catalog")


def show_part(
    client: "Client",
    family: Annotated[str, Field(description="as find_parts names it, for example optimizers")],
    kind: Annotated[str, Field(description="for example adamw")],
) -> str:
    """Show one part: each field with default and allowed range, formula and paper; of a preset its spec.

    Call it before you write a part into a spec, instead of guessing names and ranges.
    """
    if family == PRESETS:
        return f"# preset {part(kind)}\n\n```json\n{json.dumps(client.preset(kind))}\n```\n"
    found = client.kind(family, kind)
    head = [f"# {found.family} / {found.kind}", "", plain(found.summary or "")]
    head += [f"- formula: {plain(found.formula)}"] if found.formula else []
    head += [f"- paper: {plain(found.paper)}"] if found.paper else []
    head += [f"- needs: {', '.join(found.needs)}, which not every worker has"] if found.needs else []
    fields = found.json_schema.get("properties", {})
    required = found.json_schema.get("required", [])
    rows = [
        [
            plain(name),
            plain(default_text(name, each, required)),
            plain(allowed_text(each)),
            plain(first_line(str(each.get("description", "")))[:MAX_DESCRIPTION]),
        ]
        for name, each in fields.items()
        if name != "kind"
    ]
    listed = table(["field", "default", "allowed", "what it is"], rows, MAX_FIELDS) if rows else ["It has no fields."]
    return document([head, listed], f"GET /v1/catalog/{family}/{kind}")


TOOLS = (Tool("Search the catalogue", "reads", find_parts), Tool("Show a part with its fields", "reads", show_part))
