"""Predictions for single rows. The text of this module is part of the program that uses a model without Saddle."""

from typing import Any

import torch
from torch import Tensor

SHOWN_TOKENS = 5  # most likely next tokens in an answer


def model_rows(rows: list[Any], inputs: dict[str, Any]) -> Tensor:
    """Rows as they are in the data -> x (N, *shape), scaled as in the training."""
    if inputs["prepared"]:
        raise ValueError("the rows of this model are prepared (/dataset/prepare): it takes them only prepared")
    if inputs["vocabulary"]:
        return token_rows(rows, inputs)
    if rows and isinstance(rows[0], dict):
        rows = [[row[name] for name in inputs["features"]] for row in rows]
    x = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), *inputs["shape"])
    if "features" in inputs["scales"]:
        x = (x - scale_part(inputs, "features", "shift")) / scale_part(inputs, "features", "divisor")
    return x if inputs["double"] else x.float()


def token_rows(rows: list[Any], inputs: dict[str, Any]) -> Tensor:
    """Token numbers, or texts of known characters, of equal length -> x (N, T)."""
    known = inputs["characters"]
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
    if inputs["mean"] == "mean and log-variance":
        values, deviations = outputs[:, 0] * divisor + shift, (outputs[:, 1] / 2).exp() * divisor
        return [{"value": v, "deviation": d} for v, d in zip(values.tolist(), deviations.tolist(), strict=True)]
    values = (outputs.exp() if inputs["mean"] == "logarithm of the mean" else outputs) * divisor + shift
    return [{"value": each[0] if len(each) == 1 else each} for each in values.tolist()]


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
