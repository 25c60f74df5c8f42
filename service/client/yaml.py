"""YAML with the scalars of YAML 1.2's JSON schema, and without repeated keys and aliases.

YAML 1.1, which PyYAML reads, takes 1e-3 for a text (it wants 1.0e-3), `no` and `off` for false, 012 for ten, 1:30 for
ninety and 2026-01-01 for a date. Here everything but true, false, null and numbers is text.
"""

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent

from service.client.errors import Unusable

FLOAT = r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)"
INT = r"[-+]?(?:0|[1-9]\d*)"


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 and strict mappings."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        made: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConstructorError(None, None, f"the key {key!r} must be a text: quote it", key_node.start_mark)
            if key in made:
                raise ConstructorError(None, None, f"the key {key!r} is repeated", key_node.start_mark)
            made[key] = self.construct_object(value_node, deep=True)
        return made


def _float(loader: _Loader, node: Any) -> float:
    value = float(loader.construct_scalar(node))
    if math.isinf(value):
        raise ConstructorError(None, None, "the number is too large for a double", node.start_mark)
    return value


def _int(loader: _Loader, node: Any) -> int:
    return int(loader.construct_scalar(node))


for _tag, _pattern in (
    ("null", r"|~|null|Null|NULL"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", INT),
    ("float", FLOAT),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def read_yaml(text: str, name: str = "the file") -> Any:
    """Return the one document in `text`, or raise `Unusable` with the line that is wrong."""
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, AliasEvent):
                raise Unusable(f"{name}: aliases (*{event.anchor}) are not taken: write it out")
        return yaml.load(text, _Loader)  # noqa: S506  # a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unusable(f"{name}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unusable(f"{name}: {str(error).partition(chr(10))[0] or 'nested too deep'}") from None
