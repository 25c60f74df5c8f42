"""`saddle sweep`: search a space of specs, follow the trials, stop or extend the study, confirm its best."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from service.client import documents, lookup
from service.client.commands.context import Commands, Context, command
from service.client.commands.studies import report
from service.client.errors import Unusable
from service.client.following import poll

if TYPE_CHECKING:
    from service.schemas.studies.answers import StudyView

LIMITS = ("trials", "steps", "device_seconds")
ENDED_TRIALS = ("finished", "pruned", "failed")


def add(commands: Commands) -> None:
    """Declare the command."""
    summary = "search a space of specs within a budget, and follow it: a line per trial, then the best and its patch"
    parser = command(commands, "sweep", do, summary, "saddle sweep study.yaml --set budget.trials=30 --confirm")
    parser.add_argument(
        "study", help="FILE.yaml or FILE.json with a study, - for standard input, preset:NAME, or a study's id"
    )
    parser.add_argument("--base", metavar="SPEC", help="spec that the study changes: FILE, preset:NAME, or -")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change a value, like budget.trials=30 or sampler=gp (see: saddle catalog samplers, pruners, dimensions)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only the first points, the cost and warnings")
    parser.add_argument("--detach", action="store_true", help="post it and do not follow it")
    parser.add_argument("--confirm", action="store_true", help="then train the best anew with seeds that no trial used")
    parser.add_argument("--seeds", type=int, help="fresh ones for --confirm (default: 5 to 20, as would tell)")
    parser.add_argument(
        "--against", choices=("runner_up", "base"), help="what --confirm holds the best against (default: runner_up)"
    )
    of_id = parser.add_mutually_exclusive_group()
    for verb, what in (("stop", "end it now"), ("pause", "rest"), ("resume", "go on")):
        of_id.add_argument(f"--{verb}", action="store_true", help=f"{what}, of a study's id")
    of_id.add_argument(
        "--extend", metavar="LIMIT=N", help="add to its budget: trials=20, steps=5000, device_seconds=60"
    )


def do(arguments: argparse.Namespace, context: Context) -> int:
    """Return 1 if the study was stopped or failed, or its best was not confirmed."""
    if lookup.is_id(arguments.study, "std"):
        found = _command(arguments, context)
    else:
        if arguments.stop or arguments.pause or arguments.resume or arguments.extend:
            raise Unusable("--stop, --pause, --resume and --extend take a study's id: saddle sweep std_... --stop")
        base = {"base": documents.read(arguments.base)} if arguments.base else {}
        document = documents.apply_changes(documents.read(arguments.study) | base, arguments.set)
        if arguments.dry_run:
            report.show_preview(context, context.client.preview_study(document))
            return 0
        found = context.client.post_study(document)
        if not context.json:
            report.show_posted(context, found)
    if arguments.detach or arguments.stop or arguments.pause:
        context.emit(found) if context.json else report.show_state(context, found)
        return 0
    found = _follow(context, found)
    if arguments.confirm and found.best is not None:
        found = _confirm(arguments, context, found)
    report.show_result(context, found)
    unconfirmed = arguments.confirm and not (found.confirmation and found.confirmation.confirmation.confirmed)
    return int(found.state != "finished" or unconfirmed)


def _command(arguments: argparse.Namespace, context: Context) -> StudyView:
    """Do what was asked of a study by its id, and return it."""
    client, study_id = context.client, arguments.study
    if arguments.set or arguments.dry_run:
        raise Unusable("--set and --dry-run are for a new study: give a file")
    if arguments.stop:
        return client.command_study(study_id, "stop")
    if arguments.pause:
        return client.command_study(study_id, "pause")
    if arguments.resume:
        return client.command_study(study_id, "resume")
    if arguments.extend:
        return client.extend_study(study_id, **_limit(arguments.extend))
    return client.study(study_id)


def _limit(text: str) -> dict[str, float]:
    """Return `trials=20` as a limit of a budget."""
    name, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError:
        value = 0.0
    if name not in LIMITS or value <= 0:
        raise Unusable(f"--extend {text}: give one of {', '.join(LIMITS)} and a positive number, like trials=20")
    return {name: value if name == "device_seconds" else int(value)}


def _follow(context: Context, study: StudyView) -> StudyView:
    """Print a line for each trial that ends until the study has; return the study then."""
    told: set[int] = set()
    study_id = study.id
    for found in poll(lambda: context.client.study(study_id), lambda each: each.over or each.state == "paused"):
        study = found
        ended = sum(found.trials.get(state, 0) for state in ENDED_TRIALS)
        if ended > len(told):
            for trial in context.client.trials(study_id):
                if trial.state in ENDED_TRIALS and trial.number not in told:
                    told.add(trial.number)
                    report.show_trial(context, study, trial)
    return study


def _confirm(arguments: argparse.Namespace, context: Context, study: StudyView) -> StudyView:
    """Confirm the best trial and wait for the verdict."""
    context.client.confirm_study(study.id, arguments.seeds, arguments.against)
    *_, found = poll(
        lambda: context.client.study(study.id),
        lambda each: each.confirmation is None or each.confirmation.state == "done",
    )
    return found
