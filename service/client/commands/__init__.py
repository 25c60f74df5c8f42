"""The commands of `saddle`, in the order its help shows them."""

from types import ModuleType

from service.client.commands import (
    audit,
    browse,
    catalog,
    checkpoints,
    compare,
    confirm,
    delete,
    diagnose,
    export,
    keys,
    label,
    notifications,
    preview,
    run_actions,
    submit,
    symptoms,
    team,
    upload,
    verify,
    watch,
)

COMMANDS: tuple[ModuleType, ...] = (
    submit,
    browse,
    watch,
    compare,
    confirm,
    diagnose,
    verify,
    export,
    run_actions,
    checkpoints,
    catalog,
    preview,
    symptoms,
    upload,
    label,
    delete,
    team,
    keys,
    notifications,
    audit,
)
