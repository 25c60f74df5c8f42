"""Every whole number that a spec may set has a smallest and a largest value: none is beyond what can be read."""

from collections.abc import Iterator
from typing import Any

from service.spec.experiment import Experiment
from service.spec.parse.document import DATA, read_json

LOW, HIGH = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}


def integers(schema: Any, definitions: dict[str, Any], seen: set[str], pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the schemas of whole numbers, without those that the server writes (`resolved`)."""
    if isinstance(schema, list):
        for at, each in enumerate(schema):
            yield from integers(each, definitions, seen, f"{pointer}/{at}")
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "integer" and "const" not in schema and "enum" not in schema:
        yield pointer, schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:
        seen.add(name)
        yield from integers(definitions[name], definitions, seen, name)
    for key, each in schema.items():
        if key not in ("$defs", "default", "resolved"):
            yield from integers(each, definitions, seen, f"{pointer}/{key}")


def test_every_whole_number_of_a_spec_is_bounded_on_both_sides() -> None:
    schema = Experiment.model_json_schema()
    found = dict(integers(schema, schema["$defs"], set()))
    assert len(found) > 100
    assert [pointer for pointer, each in found.items() if not (each.keys() & LOW and each.keys() & HIGH)] == []


def test_a_long_whole_number_in_a_row_is_read_as_a_double() -> None:
    assert read_json(b"[123456789012345678901234567890]", DATA) == [123456789012345678901234567890.0]
