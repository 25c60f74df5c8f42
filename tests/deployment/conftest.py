"""The compose file as Docker reads it, given an environment."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {f"SADDLE_{name}_PASSWORD": name[0] * 24 for name in ("DB", "API_DB", "WORKER_DB", "BROKER")}
VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?P<operator>:-|:\?)?(?P<rest>[^}]*)\})")
Compose = dict[str, Any]


def interpolate(text: str, environment: dict[str, str]) -> str:
    """`${A}`, `${A:-default}`, `${A:?message}` and `$$`, as the compose specification has them."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        if set_to := environment.get(found["name"]):
            return set_to
        if found["operator"] == ":?":
            raise LookupError(f"{found['name']}: {found['rest']}")
        return found["rest"]

    return VARIABLE.sub(value, text)


def filled(node: Any, environment: dict[str, str]) -> Any:
    """The parsed file with every value interpolated; keys stay, as Docker leaves them."""
    if isinstance(node, dict):
        return {key: filled(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(value, environment) for value in node]
    return interpolate(node, environment) if isinstance(node, str) else node


@pytest.fixture
def read_compose() -> Callable[[dict[str, str]], Compose]:
    """Read docker-compose.yml under an environment; LookupError where a required variable is missing."""
    parsed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return lambda environment: filled(parsed, environment)


@pytest.fixture
def compose(read_compose: Callable[[dict[str, str]], Compose]) -> Compose:
    """The compose file with nothing set but the required secrets."""
    return read_compose(SECRETS)


@pytest.fixture
def services(compose: Compose) -> dict[str, Any]:
    """Its services."""
    found: dict[str, Any] = compose["services"]
    return found
