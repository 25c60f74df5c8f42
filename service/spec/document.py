"""Reading a document strictly: bytes to JSON to a model, with every problem at once and never an echo of the input."""

import difflib
import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import Invalid, Malformed, Problem

MAX_DEPTH, MAX_KEYS, MAX_STRING, MAX_DIGITS, MAX_PROBLEMS = 32, 2_000, 4_096, 20, 50
M = TypeVar("M", bound=BaseModel)


def read_json(raw: bytes) -> Any:
    """The JSON value in `raw`, or `Malformed`: UTF-8 without BOM, finite numbers, no repeated key, bounded depth and size."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8.") from error
    if text.startswith("\ufeff"):
        raise Malformed("The body starts with a byte order mark; send plain UTF-8.")
    _check_depth(text)
    keys = _KeyCounter()
    try:
        return json.loads(
            text,
            object_pairs_hook=keys.build,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"Not JSON: line {error.lineno}, column {error.colno}.") from error


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(
                    f"Nested deeper than {MAX_DEPTH} levels.",
                    [Problem("", "too_deep", "flatten it", MAX_DEPTH)],
                )
        elif character in "}]":
            depth -= 1


class _KeyCounter:
    """Builds objects, refusing repeated keys and too many of them."""

    def __init__(self) -> None:
        self.count = 0

    def build(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) < len(pairs):
            raise Malformed("A key is repeated in one object.", [Problem("", "duplicate_key", "give each key once")])
        self.count += len(pairs)
        if self.count > MAX_KEYS:
            raise Malformed(f"More than {MAX_KEYS} keys.", [Problem("", "too_many_keys", "send less", MAX_KEYS)])
        return built


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed("NaN and Infinity are not JSON.", [Problem("", "not_finite", "send finite numbers")])


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Malformed("A number is too large for a double.", [Problem("", "not_finite", "send finite numbers")])
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Malformed(
            f"A whole number has more than {MAX_DIGITS} digits.",
            [Problem("", "too_long_number", "shorten it")],
        )
    return int(digits)


def validate(model: type[M], document: Any) -> M:
    """`document` as a `model`, or `Invalid` with every problem."""
    found = list(_string_problems(document, ""))
    if found:
        raise Invalid.of(found[:MAX_PROBLEMS])
    try:
        return model.model_validate_json(json.dumps(document))  # JSON mode: strict, yet arrays are tuples
    except ValidationError as error:
        raise Invalid.of(problems_of(error, document)) from None


def _string_problems(value: Any, pointer: str) -> "list[Problem]":
    """Texts that Postgres or a reader could not take: surrogates, NUL, very long ones."""
    if isinstance(value, dict):
        return [
            p
            for k, v in value.items()
            for p in (_text_problems(k, pointer, "a key") + _string_problems(v, f"{pointer}/{escape(k)}"))
        ]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _string_problems(v, f"{pointer}/{i}")]
    return _text_problems(value, pointer, "the text") if isinstance(value, str) else []


def _text_problems(text: str, pointer: str, what: str) -> list[Problem]:
    if len(text) > MAX_STRING:
        return [Problem(pointer[:200], "too_long", f"{what} is longer than {MAX_STRING} characters.", MAX_STRING)]
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return [Problem(safe(pointer), "bad_character", f"{what} has a NUL or a lone surrogate: remove it.")]
    return []


def safe(text: str) -> str:
    """Text that can be sent whatever it held, and not much of it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "?")[:200]


def escape(key: str) -> str:
    """A key as a part of a JSON Pointer (RFC 6901)."""
    return safe(key.replace("~", "~0").replace("/", "~1"))


def problems_of(error: ValidationError, document: Any) -> list[Problem]:
    """What pydantic found, in the words of the API."""
    return [_problem(item, document) for item in error.errors(include_url=False, include_input=False)][:MAX_PROBLEMS]


def _problem(item: Any, document: Any) -> Problem:
    kind, context = item["type"], item.get("ctx", {})
    pointer, parent_keys = _locate(item["loc"], document)
    if kind == "extra_forbidden":
        name = pointer.rsplit("/", 1)[-1]
        known = context.get("known", ())
        return Problem(
            pointer, "unknown_field", "there is no such field.", None, _closest(name, [*known, *parent_keys])
        )
    if kind == "union_tag_not_found":
        return Problem(pointer + "/kind", "missing", "say which kind.")
    if kind == "union_tag_invalid":
        allowed = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
        return Problem(
            pointer + "/kind",
            "unknown_kind",
            f"choose one of: {', '.join(allowed)}.",
            allowed,
            _closest(context["tag"], allowed),
        )
    limits = {
        key: value for key, value in context.items() if key in ("gt", "ge", "lt", "le", "min_length", "max_length")
    }
    message = item["msg"].removeprefix("Value error, ")
    return Problem(pointer, kind, safe(message[0].lower() + message[1:]) + ".", limits or None)


def _locate(location: tuple[int | str, ...], document: Any) -> tuple[str, list[str]]:
    """The JSON Pointer of pydantic's location, which also holds union tags and types that are not in the document."""
    pointer, here = "", document
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(here, dict) and part in here:
            pointer, here = f"{pointer}/{escape(str(part))}", here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            pointer, here = f"{pointer}/{part}", here[part]
        elif last and isinstance(here, dict) and here.get("kind") != part:
            pointer = f"{pointer}/{escape(str(part))}"
    return pointer, []


def _closest(name: str, allowed: list[str]) -> str | None:
    """The allowed name that was probably meant."""
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    return close[0] if close else None
