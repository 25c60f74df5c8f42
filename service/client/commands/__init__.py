"""The commands of `saddle`, in the order its help shows them."""

from types import ModuleType

from service.client.commands import (
    browse,
    catalog,
    checkpoints,
    compare,
    confirm,
    delete,
    diagnose,
    export,
    label,
    logs,
    mcp,
    model,
    predict,
    preview,
    run_actions,
    submit,
    symptoms,
    upload,
    verify,
    watch,
)
from service.client.commands.people import admin, audit, keys, members, notifications, team
from service.client.commands.plugin import command as plugin
from service.client.commands.studies import sweep

COMMANDS: tuple[ModuleType, ...] = (
    submit,
    browse,
    watch,
    logs,
    compare,
    confirm,
    sweep,
    diagnose,
    verify,
    export,
    run_actions,
    checkpoints,
    model,
    predict,
    catalog,
    preview,
    mcp,
    plugin,
    symptoms,
    upload,
    label,
    delete,
    team,
    keys,
    notifications,
    audit,
    members,
    admin,
)
