"""`saddle symptoms`: run and diagnose the library of broken and healthy trainings, and score the verdicts."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from service.client import answers, documents
from service.client.client import Client
from service.client.commands.context import Commands, Context, command
from service.client.commands.verify import poll_verification
from service.client.errors import Refused, Unusable
from service.client.table import Cell, Row
from service.symptoms.library import Symptom, detectable_symptoms, symptoms, unknown_symptoms
from service.symptoms.score import Result, Verified, confusion_table, summarise

if TYPE_CHECKING:
    from service.schemas.runs import RunView
    from service.schemas.verifications import VerificationView

EVERY_S = 1.0  # between two readings
PATIENCE_S = 600.0  # without any run making progress
COLOURS = {"fault": "red", "warning": "yellow", "info": "cyan", "healthy": "green"}


def add(commands: Commands) -> None:
    """Declare the command."""
    example = "saddle symptoms run --seeds 0-4 --verify"
    parser = command(commands, "symptoms", do, "trainings that are broken on purpose, and their diagnoses", example)
    parser.add_argument("what", choices=["list", "show", "run"], nargs="?", default="list")
    parser.add_argument("names", nargs="*", help="which of them; all by default")
    parser.add_argument("--seeds", default="0", help="like 0-4 (default: 0)")
    parser.add_argument("--verify", action="store_true", help="also try the remedy of each fault that has one")


def do(arguments: argparse.Namespace, context: Context) -> int:
    """List, show or run; return 1 if a verdict was wrong."""
    if missing := unknown_symptoms(arguments.names):
        raise Unusable(f"there is no symptom {missing[0]}; saddle symptoms list has them")
    chosen = {name: each for name, each in symptoms().items() if not arguments.names or name in arguments.names}
    if arguments.what != "run":
        _list(chosen, context) if arguments.what == "list" else _show(chosen, context)
        return 0
    seeds = documents.parse_seeds(arguments.seeds)
    results = list(_run(detectable_symptoms(chosen, len(seeds)), seeds, context))
    checked = list(_verify(results, context)) if arguments.verify else []
    _show_results(results, checked, context)
    return 0 if all(each.right for each in results) else 1


def _list(chosen: dict[str, Symptom], context: Context) -> None:
    found = {name: each.model_dump(mode="json") for name, each in chosen.items()}
    rows: list[Row] = [
        [name, Cell(each.expect.level, COLOURS[each.expect.level]), ", ".join(each.expect.verdicts), each.about]
        for name, each in chosen.items()
    ]
    context.show(found, ["symptom", "level", "right", ""], rows, whole=["symptom"])


def _show(chosen: dict[str, Symptom], context: Context) -> None:
    """Print the specs, ready to be posted."""
    for name, each in chosen.items():
        if not context.json:
            context.say(f"{name}: {each.about}", "bold")
        context.emit(each.document(name))


def _run(chosen: dict[str, Symptom], seeds: Sequence[int], context: Context) -> Iterator[Result]:
    """Post all, then yield each diagnosis as its run ends."""
    waiting: dict[str, tuple[str, RunView]] = {}
    for name, symptom in chosen.items():
        for run in context.client.submit(symptom.document(name), seeds=seeds).runs:
            waiting[run.id] = name, run
    moved = time.monotonic()
    while waiting:
        for name, before in list(waiting.values()):
            run = context.client.run(before.id)
            if (run.state, run.step) != (before.state, before.step):
                moved = time.monotonic()
            waiting[run.id] = name, run
            if run.over:
                del waiting[run.id]
                yield _diagnose(name, chosen[name], run, context.client)
        if time.monotonic() - moved > PATIENCE_S:
            raise Unusable(f"no run made progress for {PATIENCE_S:.0f} s: saddle workers says who trains")
        time.sleep(EVERY_S if waiting else 0)


def _diagnose(name: str, symptom: Symptom, run: RunView, client: Client) -> Result:
    found = client.diagnosis(run.id)
    return Result.of(name, symptom.expect, run.seed, found.level, answers.raw(found)["findings"], run.id)


def _verify(results: Sequence[Result], context: Context) -> Iterator[Verified]:
    """Try the remedy of the first finding of each fault that has a patch."""
    for each in results:
        if each.finding is None:
            continue
        try:
            tried = _try_remedy(each.run_id, each.finding, context.client)
        except Refused as refusal:
            yield Verified(each, "refused", str(refusal))
        else:
            yield Verified(each, tried.outcome or tried.state, tried.why or "")


def _try_remedy(run_id: str, finding: str, client: Client) -> VerificationView:
    """Return a verification once its outcome is known, or after `PATIENCE_S`."""
    began = time.monotonic()
    readings = poll_verification(client, client.verify(run_id, finding))
    return next(each for each in readings if each.over or time.monotonic() - began > PATIENCE_S)


def _show_results(results: Sequence[Result], checked: Sequence[Verified], context: Context) -> None:
    """Print each result, the confusion table, and the totals."""
    figures = summarise(results, checked)
    if context.json:
        runs = [each.as_json() for each in results]
        context.emit({"runs": runs, "verified": [each.as_json() for each in checked], **figures.as_json()})
        return
    rows: list[Row] = [
        [each.symptom, each.seed, Cell(each.level, COLOURS.get(each.level)), each.first, Cell(*each.mark)]
        for each in results
    ]
    context.table(["symptom", "seed", "level", "first verdict", ""], rows, whole=["symptom"])
    context.say()
    head, *body = confusion_table(results)
    context.table(head, body)
    for tried in checked:
        context.say(f"{tried.result.symptom} seed {tried.result.seed}: {tried.outcome}. {tried.why}")
    context.say()
    for line in figures.lines():
        context.say(line, "bold")
