"""Imports of packages that a spec may need and a worker may lack."""

import sys
from importlib import import_module
from typing import Any

import torch

from service.errors import RunFailure

OPERATORS = (  # needed to import torchvision; no classification model calls them
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # declarations live as long as these objects


def import_optional(name: str, extra: str = "") -> Any:
    """Return the module `name`; `extra` is the extra of saddle that installs it.

    Any exception counts, because a compiled library that does not match torch may raise anything when imported.
    """
    fix = f"install saddle[{extra}] there" if extra else "install saddle there with the extra that has it"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        detail = f"this worker lacks the package {error.name}: {fix}"
        raise RunFailure("spec_cannot_build", detail) from error
    except Exception as error:
        if "operator torchvision::nms does not exist" in str(error) and not _declared:
            _declare_operators()
            return import_optional(name, extra)
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        detail = f"{name.partition('.')[0]} is installed on this worker and cannot be imported ({reason}): {fix} anew"
        raise RunFailure("spec_cannot_build", detail) from error


def _declare_operators() -> None:
    """Make torchvision's models usable if its compiled part cannot be loaded, such as a CUDA build with a CPU torch."""
    for module in [each for each in sys.modules if each.partition(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]
    _declared.append(torch.library.Library("torchvision", "DEF"))  # type: ignore[no-untyped-call]
    for operator in OPERATORS:
        _declared[0].define(operator)  # type: ignore[no-untyped-call]
