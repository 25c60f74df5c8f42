"""Requests that mean harm, for every route of the API's document: a base request, and one hostile value in one place.

A value depends on the kind of the place: text, id, number, enum, cursor, list, header, or any pointer of a JSON body.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Json = Any
Schema = Mapping[str, Any]

SURROGATE = "%ED%A0%80"  # as bytes, which are no UTF-8
TEXTS = (
    "",
    "%00",
    "a%00",
    SURROGATE,
    "%FF",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "%25",
    "'",
    '"',
    "%0A",
    "%2F..%2F..",
    "a" * 5000,
)
NUMBERS = (
    "1e308",
    "-1e308",
    "1e400",
    "NaN",
    "Infinity",
    "9" * 400,
    "-1",
    "9223372036854775808",
    "0.5",
    "%D9%A3",
    "0x10",
)
LISTS = (",", ",,,", "," * 3000, "a,a", "a%00,b", f"a,{SURROGATE}", ",".join(f"n{i}" for i in range(900)))
WORDS = (
    "NONE",
    "null",
    "__class__",
    "constructor",
    "-",
    "--",
    "optimizer.lr",
    "-best(loss)",
    "best(",
    "((((",
    "a = 'b'",
)
HEADERS = (b"", b"\xff\xfe", b'"', b"W/", b"*", b"9" * 400, b"a" * 4100, b"\xed\xa0\x80", b"1e308")
CURSORS = [
    *([value, "x"] for value in ("\ud800", "a\0", "NaN", "infinity", 1e308, -1e308, 10**400, True, {}, [], None)),
    *([date, "x"] for date in ("0001-01-01T00:00:00-23:59", "9999-12-31T23:59:59+00:00")),
    *([None, "a\0"], ["x", "\ud800"], ["x"], [], {}, "x", None, [None, None], ["x", "x", "x"], [1, 1]),
]
ORDERS = ("name", "-created", "best(loss)", "optimizer.lr", "tags")
DEEP = "[" * 900 + "]" * 900
RAW = (  # JSON as sent
    *("{}", "[]", "null", "true", "0", "-1", "1e308", "-1e308", "0.5", "1e400", "9" * 400, str(2**63)),
    *(r'"\ud800"', r'"a\u0000"', r'"\udfff\ud800"', '""', '"NaN"', json.dumps("x" * 5000), r'"\u202e"'),
    *('{"kind": {}}', '{"kind": []}', '{"kind": 1}', '{"kind": null}', r'{"kind": "\ud800"}', '[{"kind": {}}]'),
    *(r'{"\ud800": 1}', r'{"\u0000": 1}', '{"": 1}', '{"a": 1, "a": 1}', '["a", {}]', "[[[[1]]]]", "[null]", DEEP),
)


@dataclass(frozen=True)
class Hostile:
    """A request; `what` says which value stands where."""

    method: str
    path: str
    what: str
    headers: Mapping[str, str | bytes]
    body: bytes | None = None


class Requests:
    """The hostile requests of a document; `known` has an id or name for parameters and patterns of ids by prefix."""

    def __init__(self, document: Schema, known: Mapping[str, str], bodies: Mapping[str, list[Json]]) -> None:
        self._document, self._known, self._bodies = document, known, bodies

    def of(self, method: str, path: str) -> Iterator[Hostile]:
        """Yield every request of one operation, the plain one first."""
        operation = self._document["paths"][path][method]
        parameters = operation.get("parameters", [])
        content = operation.get("requestBody", {}).get("content", {})
        media = next(iter(content), None)
        documents: list[Json] = []
        if media == "application/json":
            documents = self._bodies.get(operation["operationId"]) or [self.sample(content[media]["schema"])]
        body = None if media is None else json.dumps(documents[0] if documents else None).encode()
        headers = {} if media is None else {"Content-Type": media}
        base = self._path(path, parameters, {})
        yield Hostile(method, base, "nothing", headers, body)
        for parameter in parameters:
            for value in values_for(self.resolve(parameter["schema"]), parameter["name"], parameter["in"]):
                what = f"{parameter['name']}={value[:60]!r}"
                if isinstance(value, bytes):
                    yield Hostile(method, base, what, headers | {parameter["name"]: value}, body)
                    continue
                for others in self._companions(parameter, parameters):
                    changed = self._path(path, parameters, {parameter["name"]: value} | others)
                    yield Hostile(method, changed, "&".join((what, *others.values())), headers, body)
        for plain in documents:
            yield Hostile(method, base, "nothing", headers, json.dumps(plain).encode())
            for pointer, raw in mutations(plain):
                yield Hostile(method, base, pointer, headers, raw.encode())

    def _companions(self, parameter: Schema, parameters: list[Any]) -> Iterator[dict[str, str]]:
        """Yield what other parameters say beside one: nothing; for a number each unit; for a cursor some orders."""
        yield {}
        for other in parameters:
            choices = self.resolve(other["schema"]).get("enum", [])
            if parameter["name"] == "cursor" and other["name"] == "sort":
                choices = ORDERS
            elif other is parameter or not is_number(self.resolve(parameter["schema"]), parameter["name"]):
                continue
            yield from ({other["name"]: quote(str(choice))} for choice in choices)

    def _path(self, path: str, parameters: list[Any], changed: Mapping[str, str]) -> str:
        query = []
        for each in parameters:
            name = each["name"]
            if each["in"] == "path":
                known = self._known.get(name) or str(self.sample(each["schema"]))
                path = path.replace(f"{{{name}}}", changed.get(name, quote(known, safe="")))
            elif each["in"] == "query" and (name in changed or each.get("required")):
                query.append(f"{name}={changed.get(name, self._known.get(name, 'a'))}")
        return path + ("?" + "&".join(query) if query else "")

    def resolve(self, schema: Schema) -> Schema:
        """Return what a reference names, and of a union the first member that is not null."""
        while "$ref" in schema or "anyOf" in schema or "oneOf" in schema:
            if "$ref" in schema:
                schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            else:
                members = schema.get("anyOf") or schema["oneOf"]
                schema = next(each for each in members if each.get("type") != "null")
        return schema

    def sample(self, schema: Schema, depth: int = 0) -> Json:
        """Return a document with every field that a schema has, down to some depth."""
        for key in ("const", "examples", "enum"):
            if key in schema:
                return schema[key] if key == "const" else schema[key][0]
        schema = self.resolve(schema)
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object":
                fields = schema.get("properties", {}) if depth < 4 else {}
                return {name: self.sample(each, depth + 1) for name, each in fields.items()}
            case "array":
                return [self.sample(schema.get("items", {}), depth + 1)]
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        pattern = schema.get("pattern", "")
        return next((known for name, known in self._known.items() if f"^{name}_" in pattern), "a")


def values_for(schema: Schema, name: str, place: str) -> Iterator[str | bytes]:
    """Yield the values of a parameter's kind, percent-encoded; bytes for a header."""
    if place == "header":
        yield from HEADERS
        return
    yield from TEXTS
    if is_number(schema, name):
        yield from NUMBERS
    else:
        yield from (*WORDS, *LISTS)
    if name == "cursor":
        for each in CURSORS:
            yield base64.urlsafe_b64encode(json.dumps(each).encode()).decode()
        yield base64.urlsafe_b64encode(DEEP.encode()).decode()


def is_number(schema: Schema, name: str) -> bool:
    """Whether a parameter is a number, though its schema may allow words too."""
    return schema.get("type") in ("integer", "number") or name in ("from", "to", "points", "last_event_id", "step")


def mutations(document: Json) -> Iterator[tuple[str, str]]:
    """Yield the document as sent, with each value at each pointer."""
    for pointer in pointers(document):
        for raw in RAW:
            yield f"/{'/'.join(map(str, pointer))} is {raw[:40]}", replaced(document, pointer, raw)


def pointers(document: Json, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where a value stands in a document, the whole document first."""
    yield here
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, each in inner:
        yield from pointers(each, (*here, key))


def replaced(document: Json, pointer: tuple[str | int, ...], raw: str) -> str:
    """Return the JSON of the document with `raw` at the pointer."""
    if not pointer:
        return raw
    mark = "\0here"
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in pointer[:-1]:
        inner = inner[key]
    inner[pointer[-1]] = mark
    return json.dumps(copy).replace(json.dumps(mark), raw)
