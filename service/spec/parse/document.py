"""Strict reading: from bytes to JSON to a model, reporting all problems at once and never echoing the input."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import Invalid, Malformed, Problem
from service.spec.component import Json
from service.spec.parse.kinds import with_kinds
from service.spec.validation_errors import escape_key, problems_from, sanitise

MAX_DEPTH, MAX_DIGITS = 32, 20
M = TypeVar("M", bound=BaseModel)


class Limits(NamedTuple):
    """What a document may hold, beside the bytes of its body."""

    keys: int = 2_000
    values: int = 10_000
    string: int = 4_096  # characters of one
    long_numbers: bool = False  # whole numbers of many digits are read as doubles


SETTINGS = Limits()
TEXTS = Limits(string=20_000)  # reports, written by people
DATA = Limits(20_000, 150_000, 400_000, True)  # rows, of which a body's bytes are the limit


def read_json(raw: bytes, limits: Limits = SETTINGS) -> Any:
    """Return the JSON value in `raw`; raise `Malformed` unless it is UTF-8 without BOM, finite, bounded and unique."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8.") from error
    if text.startswith("\ufeff"):
        raise Malformed("The body starts with a byte order mark; send plain UTF-8.")
    nesting = raw.count(b"[") + raw.count(b"{")
    if raw.count(b",") + nesting > limits.values:  # counted before parsing, so those inside strings count too
        raise _malformed("too_many_values", f"More than {limits.values} values.", "send less", limits.values)
    keys = _KeyCounter(limits.keys)
    try:
        document = json.loads(
            text,
            object_pairs_hook=keys.build,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=partial(_int, limits),
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"Not JSON: line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:  # the parser's own limit is far above ours
        raise _too_deep() from error
    if nesting > MAX_DEPTH:
        _check_depth(document)
    return document


def _malformed(code: str, detail: str, fix: str, limit: int | None = None) -> Malformed:
    return Malformed(detail, [Problem("", code, fix, limit)])


def _too_deep() -> Malformed:
    return _malformed("too_deep", f"Nested deeper than {MAX_DEPTH} levels.", "flatten it", MAX_DEPTH)


def _check_depth(document: object) -> None:
    """Raise `Malformed` for a document that is too deep, going level by level without recursion."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


class _KeyCounter:
    """Build objects, and refuse repeated keys and too many keys."""

    def __init__(self, most: int) -> None:
        self.count, self.most = 0, most

    def build(self, pairs: list[tuple[str, Any]]) -> Json:
        built = dict(pairs)
        if len(built) < len(pairs):
            raise _malformed("duplicate_key", "A key is repeated in one object.", "give each key once")
        self.count += len(pairs)
        if self.count > self.most:
            raise _malformed("too_many_keys", f"More than {self.most} keys.", "send less", self.most)
        return built


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed("not_finite", "NaN and Infinity are not JSON.", "send finite numbers")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _malformed("not_finite", "A number is too large for a double.", "send finite numbers")
    return value


def _int(limits: Limits, digits: str) -> int | float:
    if len(digits) > MAX_DIGITS and limits.long_numbers:
        return _float(digits)
    if len(digits) > MAX_DIGITS:
        raise _malformed("too_long_number", f"A whole number has more than {MAX_DIGITS} digits.", "shorten it")
    return int(digits)


def validate(model: type[M], document: object, limits: Limits = SETTINGS) -> M:
    """Return `document` as a `model`, components by their kind alone too; raise `Invalid` with every problem."""
    found = list(_string_problems(document, "", limits.string))
    if found:
        raise Invalid.of(found)
    try:
        return model.model_validate_json(json.dumps(document))  # JSON mode: strict, but arrays may be tuples
    except ValidationError as error:
        named = with_kinds(model, document)  # only now: to look costs half as much as to validate
        if named == document:
            raise Invalid.of(problems_from(error, model)) from None
    return validate(model, named, limits)


def _string_problems(value: object, pointer: str, most: int) -> Iterator[Problem]:
    """Yield strings that Postgres or a reader cannot take: surrogates, NUL, very long ones."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _text_problems(key, pointer, "a key", most)
            yield from _string_problems(inner, f"{pointer}/{escape_key(key)}", most)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, str | dict | list):
                yield from _string_problems(inner, f"{pointer}/{index}", most)
    elif isinstance(value, str):
        yield from _text_problems(value, pointer, "the text", most)


def _text_problems(text: str, pointer: str, what: str, most: int) -> Iterator[Problem]:
    if len(text) > most:
        yield Problem(sanitise(pointer), "too_long", f"{what} is longer than {most} characters.", most)
    elif "\x00" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        yield Problem(sanitise(pointer), "bad_character", f"{what} has a NUL or a lone surrogate: remove it.")
