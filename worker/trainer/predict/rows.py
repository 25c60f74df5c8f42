"""Predictions for single rows. The text of this module is part of the program that uses a model without Saddle."""

import math
from typing import Any

import torch
from torch import Tensor

SHOWN_TOKENS = 5  # most likely next tokens in an answer
ENCODERS = ("one_hot", "ordinal", "embed")  # steps that take categories, which may be texts
TRUTH = {"true": 1.0, "false": 0.0}  # as in a CSV file


def model_rows(rows: list[Any], inputs: dict[str, Any]) -> Tensor:
    """Rows as they are in the data -> x (N, *shape), scaled as in the training; `ValueError` names what is wrong."""
    if inputs["vocabulary"]:
        return token_rows(rows, inputs)
    if inputs["preparation"]:
        rows = [prepare_row(row, at, inputs) for at, row in enumerate(rows)]
    elif names := inputs["features"]:
        is_flat = inputs["shape"] == [len(names)]  # else one array, by its column or by itself
        rows = [row_values(row, at, names, is_flat) for at, row in enumerate(rows)]
    x = stacked(rows, inputs["shape"])
    if "features" in inputs["scales"]:
        x = (x - scale_part(inputs, "features", "shift")) / scale_part(inputs, "features", "divisor")
    return x if inputs["double"] else x.float()


def stacked(rows: list[Any], shape: list[int]) -> Tensor:
    """Nested numbers -> x (N, *shape)."""
    try:
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), *shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"each row must be numbers of the shape {list(shape)}: {error}") from error


def row_values(row: Any, at: int, names: list[str], is_flat: bool) -> Any:
    """The numbers of a row in the order of its columns; of an array the array."""
    if not is_flat:
        return list(read_columns(row, at, names).values()) if isinstance(row, dict) else row
    values = {name: read_number(value, name, at) for name, value in read_columns(row, at, names).items()}
    if lacking := [name for name, value in values.items() if value is None]:
        raise ValueError(f"row {at} has no value of {lacking[0]!r}")
    return list(values.values())


def read_columns(row: Any, at: int, names: list[str]) -> dict[str, Any]:
    """The values of a row by column, from a dictionary or in the order of the columns; None for NaN."""
    shown = ", ".join(names[:10])
    if isinstance(row, dict):
        if absent := [name for name in names if name not in row]:
            raise ValueError(f"row {at} has no column {absent[0]!r}; it needs {shown}, and null where one is missing")
        values = [row[name] for name in names]
    elif len(values := flat_values(row)) != len(names):
        raise ValueError(f"row {at} has {len(values)} values for {len(names)} columns: {shown}")
    lacking = [isinstance(value, float) and math.isnan(value) for value in values]
    return {name: None if lacks else value for name, value, lacks in zip(names, values, lacking, strict=True)}


def read_number(value: Any, name: str, at: int) -> float | None:
    """A number, also one written as text, or true or false; None stays."""
    try:
        if isinstance(value, str):
            return TRUTH[value.strip().lower()] if value.strip().isalpha() else float(value)
        return None if value is None else float(value)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"row {at}: {value!r} of the column {name!r} is no number") from error


def prepare_row(row: Any, at: int, inputs: dict[str, Any]) -> list[float]:
    """A row by column, or values in the order of the columns or of an array, None if missing -> its features."""
    steps, names = inputs["preparation"]["steps"], inputs["preparation"]["features"]
    categories = {name for step in steps if step["kind"] in ENCODERS for name in step["columns"]}
    values: dict[str, Any] = {
        name: value if name in categories else read_number(value, name, at)
        for name, value in read_columns(row, at, inputs["features"]).items()
    }
    for step in steps:
        for name, fitted in step["columns"].items():
            try:
                values |= prepare_value(name, values[name], step, fitted)
            except ValueError as error:
                raise ValueError(f"row {at}: {step['kind']} cannot take {values[name]!r} of {name!r}") from error
    if lacking := [name for name in names if values.get(name) is None]:
        raise ValueError(f"row {at} has no value of {lacking[0]!r}")
    return [float(values[name]) for name in names]


def flat_values(row: Any) -> list[Any]:
    """The values of nested lists, or of an array, one after the other."""
    row = row.tolist() if hasattr(row, "tolist") else row
    return [value for part in row for value in flat_values(part)] if isinstance(row, list | tuple) else [row]


def prepare_value(name: str, value: Any, step: dict[str, Any], fitted: dict[str, Any]) -> dict[str, Any]:
    """What a step of the preparation makes of a value, by feature."""
    kind = step["kind"]
    if "target" in step:
        return {name: None if value is None else own_value(float(value), step, fitted)}
    if kind == "impute":
        filled = fitted.get("category", fitted["value"]) if value is None else value
        return {name: filled} | ({f"{name} missing": value is None} if step["indicator"] else {})
    if value is None:
        return {name: None}
    if kind in ENCODERS:
        label = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        label = label.lower() if isinstance(value, bool) else label
        known = [category for category, count in zip(fitted["categories"], fitted["counts"], strict=True) if count]
        if kind == "one_hot":
            return {f"{name}={each}": each == label and each in known for each in fitted["categories"]}
        unknown = 0 if kind == "embed" else -1
        return {name: fitted["numbers"][fitted["categories"].index(label)] if label in known else unknown}
    if kind == "divide":
        return {name: value / step["by"]}
    return {name: transform_value(float(value), kind, step.get("method"), fitted.get("lambda"))}


def own_value(value: float, step: dict[str, Any], fitted: dict[str, Any]) -> float:
    """What a plug-in's step makes of a value; its package must be installed."""
    import importlib  # noqa: PLC0415  with the function, which the program that needs no plug-in has too

    import numpy  # noqa: PLC0415

    module, _, called = step["target"].partition(":")
    arguments = {field: given for field, given in step.items() if field not in ("kind", "columns", "target")}
    own = getattr(importlib.import_module(module), called)(**arguments)
    return float(own.change(numpy.array([value]), fitted)[0])


def transform_value(value: float, kind: str, method: str | None, power: float | None) -> float:
    """The logarithm of 1 + value, or a power after Box and Cox, or Yeo and Johnson."""
    if kind == "log1p" or power is None:
        return math.log1p(value)
    sign, exponent = (-1, 2 - power) if value < 0 and method == "yeo_johnson" else (1, power)
    logarithm = math.log(value) if method == "box_cox" else math.log1p(abs(value))
    return sign * (math.expm1(logarithm * exponent) / exponent if exponent else logarithm)


def token_rows(rows: list[Any], inputs: dict[str, Any]) -> Tensor:
    """Token numbers, or texts of known characters, of equal length -> x (N, T)."""
    known = inputs["characters"]
    if empty := [at for at, row in enumerate(rows) if not row]:
        raise ValueError(f"row {empty[0]} is empty: give one character, or one token, at least")
    for row in (row for row in rows if isinstance(row, str)):
        if unknown := sorted({each for each in row if each not in known}):
            raise ValueError(f"the training text has no {unknown[0]!r}")
    return torch.tensor([[known.index(each) for each in row] if isinstance(row, str) else row for row in rows])


def scale_part(inputs: dict[str, Any], what: str, part: str) -> Tensor:
    """Return shift or divisor of the features or of the target."""
    return torch.tensor(inputs["scales"][what][part], dtype=torch.float64)


def describe_outputs(outputs: Tensor, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs (N, K), or (N, T, V) of a language -> an answer for each row, in the units of the data."""
    outputs = outputs.detach().double().cpu()
    if inputs["task"] == "language":
        return next_tokens(outputs[:, -1].softmax(-1), inputs["characters"])
    if inputs["task"] == "regression":
        return predicted_values(outputs, inputs)
    return predicted_classes(outputs, inputs)


def next_tokens(likely: Tensor, characters: str) -> list[dict[str, Any]]:
    """Probabilities (N, V) -> the most likely next tokens."""
    values, tokens = likely.topk(min(SHOWN_TOKENS, likely.shape[1]))
    return [
        {"next": [{"token": characters[k] if characters else k, "probability": p} for k, p in zip(*each, strict=True)]}
        for each in zip(tokens.tolist(), values.tolist(), strict=True)
    ]


def predicted_values(outputs: Tensor, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs (N, K) -> values on the target's own scale."""
    shift, divisor = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    if "target" in inputs["scales"]:
        shift, divisor = scale_part(inputs, "target", "shift"), scale_part(inputs, "target", "divisor")
    likelihood = inputs["mean"] == "mean and log-variance"
    means, variances = outputs.chunk(2, 1) if likelihood else (outputs, outputs)
    values = (means.exp() if inputs["mean"] == "logarithm of the mean" else means) * divisor + shift
    if inputs["target"]:
        values = undo_transform(values, inputs["target"])
    found = [{"value": each[0] if len(each) == 1 else each} for each in values.tolist()]
    if not likelihood or inputs["target"]:  # a deviation has no counterpart in the unit of a transformed target
        return found
    deviations = ((variances / 2).exp() * divisor).tolist()
    return [one | {"deviation": d[0] if len(d) == 1 else d} for one, d in zip(found, deviations, strict=True)]


def undo_transform(values: Tensor, target: dict[str, Any]) -> Tensor:
    """Transformed targets (N, D) -> values in their own unit."""
    if target["kind"] == "log1p":
        return values.expm1()
    powers = torch.tensor([each["lambda"] for each in target["columns"].values()], dtype=torch.float64)
    exponents = torch.where(values < 0, 2 - powers, powers)
    logarithms = (values.abs() * exponents).log1p() / torch.where(exponents == 0, 1.0, exponents)
    return values.sign() * torch.where(exponents == 0, values.abs(), logarithms).expm1()


def predicted_classes(outputs: Tensor, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs (N, K), or (N, 1) of two classes -> the class of each row, with probabilities where the loss has them."""
    names, single = inputs["classes"], outputs.shape[1] == 1
    chosen = (outputs[:, 0] > 0).long() if single else outputs.argmax(1)
    found: list[dict[str, Any]] = [{"class": names[k]} for k in chosen.tolist()]
    if inputs["probabilities"] is None:
        return [each | {"outputs": row} for each, row in zip(found, outputs.tolist(), strict=True)]
    second = outputs.sigmoid()
    likely = torch.cat((1 - second, second), 1) if single else outputs.softmax(1)
    named = [dict(zip(names, row, strict=True)) for row in likely.tolist()]
    return [each | {"probabilities": row} for each, row in zip(found, named, strict=True)]
