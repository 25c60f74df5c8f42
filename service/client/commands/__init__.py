"""The commands of `saddle`, in the order its help shows them."""

from types import ModuleType

from service.client.commands import (
    act,
    catalog,
    checkpoints,
    compare,
    confirm,
    delete,
    diagnose,
    export,
    keys,
    label,
    look,
    preview,
    submit,
    symptoms,
    upload,
    verify,
    watch,
)

COMMANDS: tuple[ModuleType, ...] = (
    submit,
    look,
    watch,
    compare,
    confirm,
    diagnose,
    verify,
    export,
    act,
    checkpoints,
    catalog,
    preview,
    symptoms,
    upload,
    label,
    delete,
    keys,
)
