"""Specs as given on the command line: a file, standard input or a preset, with single values changed."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.client.encoding import encode
from service.client.errors import Unusable
from service.client.files import standard_input
from service.client.yaml import read_yaml

Json = dict[str, Any]
PRESET = "preset:"
MAX_SEEDS = 1000


def read(source: str) -> Json:
    """Return the spec named by FILE.yaml, FILE.json, `-` for standard input, or preset:NAME; or given as JSON."""
    if source.startswith(PRESET):
        return {"preset": source.removeprefix(PRESET)}
    if source.lstrip().startswith("{"):
        return _check_object(_json(source, "the JSON given"), "the JSON given")
    if source == "-":
        return parse(_decode(standard_input().read(), "standard input"), "standard input")
    return read_file(Path(source))


def read_file(path: Path) -> Json:
    """Return the spec in a YAML or JSON file."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        hint = "; a preset is named preset:NAME" if not path.suffix else ""
        raise Unusable(f"{path} cannot be read ({error.strerror}){hint}") from None
    return parse(_decode(raw, str(path)), str(path), as_json=path.suffix.lower() == ".json")


def _decode(raw: bytes, name: str) -> str:
    """Decode UTF-8, without the byte order mark that some editors write."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unusable(f"{name} is not UTF-8 text") from None


def parse(text: str, name: str, as_json: bool = False) -> Json:
    """Parse JSON if the text begins like JSON, else YAML."""
    if as_json or text.lstrip().startswith("{"):
        return _check_object(_json(text, name), name)
    return _check_object(read_yaml(text, name), name)


def _check_object(document: Any, name: str) -> Json:
    """Return the document if it is a mapping of what JSON can hold."""
    if not isinstance(document, dict):
        raise Unusable(f"{name} holds no mapping of names to values: a spec begins like `dataset: {{kind: digits}}`")
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError):
        raise Unusable(f"{name} holds something that JSON has not (a date, a set, not a number): quote it") from None
    return document


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated)
    except json.JSONDecodeError as error:
        raise Unusable(f"{name} line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Unusable(f"{name}: nested too deep") from None


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise Unusable(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is repeated")
    return made


def apply_changes(document: Json, changes: Sequence[str]) -> Json:
    """Return the document with each `path.to.field=value` set; values are YAML, so 1e-3 is a number."""
    made: Json = json.loads(encode(document))
    for change in changes:
        path, sign, text = change.partition("=")
        parts = path.split(".")
        if not sign or not all(parts):
            raise Unusable(f"--set {change!r}: write it as path.to.field=value, like optimizer.lr=0.1")
        _set(made, parts, read_yaml(text, f"--set {path}"), path)
    return made


def _set(holder: Any, parts: Sequence[str], value: Any, path: str) -> None:
    for part in parts[:-1]:
        key = _key(holder, part, path)
        if isinstance(holder, dict) and not isinstance(holder.get(key), dict | list):
            holder[key] = {}
        holder = holder[key]
    holder[_key(holder, parts[-1], path)] = value


def _key(holder: Any, part: str, path: str) -> Any:
    """Return the part as a name, or as an index of a list that is long enough."""
    if isinstance(holder, dict):
        return part
    if isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
        return int(part)
    raise Unusable(f"--set {path}: there is nothing at {part!r}")


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a text like 0-4, 0,1,7 or 0-4,7."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,19})(?:-(\d{1,19}))?\s*", part)
        if match is None:
            raise Unusable(f"seeds {text!r}: write them like 0-4 or 0,1,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MAX_SEEDS:
            raise Unusable(f"seeds {text!r}: a range goes up, over at most {MAX_SEEDS} seeds")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
