"""Request bodies: Python values as JSON, numbers and arrays of other libraries included."""

import json
from typing import Any

from service.client.errors import Unusable

Json = dict[str, Any]


def encode(body: Any) -> bytes:
    """Return the JSON of `body`; `Unusable` names what JSON has no form for."""
    try:
        return json.dumps(body, default=plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unusable(f"this cannot be sent as JSON: {error}") from None


def plain(value: Any) -> Any:
    """Return a scalar or array of numpy, pandas or torch as Python's own numbers and lists; for `json.dumps`."""
    if callable(convert := getattr(value, "tolist", None)):
        return convert()
    if isinstance(value, range):
        return list(value)
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is no number, text, list or mapping")
