"""Packages that a spec may ask for and a worker may lack: imported when asked for, and named where that fails."""

from importlib import import_module
from typing import Any

from service.errors import RunFailure


def library(name: str, extra: str = "") -> Any:
    """Return the module `name`; `extra` is the extra of saddle that brings it.

    Any exception counts: a compiled library that does not fit torch raises what it likes while it is imported.
    """
    fix = f"install saddle[{extra}] there" if extra else "install saddle there with the extra that has it"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        detail = f"this worker lacks the package {error.name}: {fix}"
        raise RunFailure("spec_cannot_build", detail) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        detail = f"{name.partition('.')[0]} is installed on this worker and cannot be imported ({reason}): {fix} anew"
        raise RunFailure("spec_cannot_build", detail) from error
