"""The conversion of an optimizer's state_dict to named tensors and JSON, and back."""

import math
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]


def flatten_state(state: dict[str, Any], part: str, tensors: Tensors) -> dict[str, Any]:
    """Return the JSON part; add tensors to `tensors` as <part>/<parameter>/<name>."""
    plain: dict[str, dict[str, Any]] = {}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            key = f"{part}/{parameter}/{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                plain.setdefault(str(parameter), {})[name] = _encode(value, key, tensors)
    groups = [{k: _encode(v, f"{part}/{k}", tensors) for k, v in group.items()} for group in state["param_groups"]]
    return {"state": plain, "param_groups": groups}


def _encode(value: Any, key: str, tensors: Tensors) -> Any:
    """Encode tensors inside lists, and numbers that JSON lacks, as tagged objects."""
    if isinstance(value, Tensor):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, list | tuple):
        return [_encode(each, f"{key}/{at}", tensors) for at, each in enumerate(value)]
    return value


def unflatten_state(document: dict[str, Any], part: str, tensors: Tensors) -> dict[str, Any]:
    """Reverse `flatten_state`.

    Tensors are cloned: one read from a file has another alignment, so a sum over it may differ in the last bit.
    """
    tensors = {key: value.clone() for key, value in tensors.items() if key.startswith(f"{part}/")}
    state: dict[int, dict[str, Any]] = {}
    for parameter, values in document["state"].items():
        state[int(parameter)] = {name: _decode(value, tensors) for name, value in values.items()}
    for key in [key.removeprefix(f"{part}/") for key in tensors]:
        parameter, _, name = key.partition("/")
        if parameter.isdigit() and "/" not in name:  # deeper names belong to lists
            state.setdefault(int(parameter), {})[name] = tensors[f"{part}/{key}"]
    groups = [{k: _to_tuple(_decode(v, tensors)) for k, v in group.items()} for group in document["param_groups"]]
    return {"state": state, "param_groups": groups}


def _decode(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]] if "tensor" in value else float(value["float"])
    return [_decode(each, tensors) for each in value] if isinstance(value, list) else value


def _to_tuple(value: Any) -> Any:
    """Turn betas back into a tuple; `params` is a list in torch's state too."""
    return tuple(value) if isinstance(value, list) and value and isinstance(value[0], float) else value
