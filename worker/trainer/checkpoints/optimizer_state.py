"""An optimizer's state_dict as tensors by name and JSON, and back, whatever lists or odd numbers it holds."""

import math
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]


def flatten_state(state: dict[str, Any], part: str, tensors: Tensors) -> dict[str, Any]:
    """The JSON half; the tensors go into `tensors` as <part>/<parameter>/<name>."""
    plain: dict[str, dict[str, Any]] = {}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            key = f"{part}/{parameter}/{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                plain.setdefault(str(parameter), {})[name] = _apart(value, key, tensors)
    groups = [{k: _apart(v, f"{part}/{k}", tensors) for k, v in group.items()} for group in state["param_groups"]]
    return {"state": plain, "param_groups": groups}


def _apart(value: Any, key: str, tensors: Tensors) -> Any:
    """Tensors inside a list, and numbers that JSON lacks, as objects that say what they are."""
    if isinstance(value, Tensor):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, list | tuple):
        return [_apart(each, f"{key}/{at}", tensors) for at, each in enumerate(value)]
    return value


def unflatten_state(document: dict[str, Any], part: str, tensors: Tensors) -> dict[str, Any]:
    """The reverse of `flatten_state`.

    Cloned: a tensor read from a file is not aligned as a new one is, and a sum over it may differ in the last bit.
    """
    tensors = {key: value.clone() for key, value in tensors.items() if key.startswith(f"{part}/")}
    state: dict[int, dict[str, Any]] = {}
    for parameter, values in document["state"].items():
        state[int(parameter)] = {name: _together(value, tensors) for name, value in values.items()}
    for key in [key.removeprefix(f"{part}/") for key in tensors]:
        parameter, _, name = key.partition("/")
        if parameter.isdigit() and "/" not in name:  # deeper ones belong to a list, which has named them
            state.setdefault(int(parameter), {})[name] = tensors[f"{part}/{key}"]
    groups = [{k: _tupled(_together(v, tensors)) for k, v in group.items()} for group in document["param_groups"]]
    return {"state": state, "param_groups": groups}


def _together(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]] if "tensor" in value else float(value["float"])
    return [_together(each, tensors) for each in value] if isinstance(value, list) else value


def _tupled(value: Any) -> Any:
    """betas were a tuple before they were JSON; `params` stays a list in torch's own state too."""
    return tuple(value) if isinstance(value, list) and value and isinstance(value[0], float) else value
