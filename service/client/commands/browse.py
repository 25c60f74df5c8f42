"""`saddle list`, `show`, `storage` and `workers`: experiments, runs, storage and workers as they are."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from service.client import answers, lookup
from service.client.commands.context import Commands, Context, command
from service.client.commands.run_table import coloured_state, failure, seed_of, show_runs
from service.client.formatting import age, number, size
from service.client.table import Row

if TYPE_CHECKING:
    from service.schemas.experiments import ExperimentItem, ExperimentView
    from service.schemas.runs import RunView
    from service.schemas.workers import WorkerView

PARTS = ("dataset", "model", "loss", "optimizer", "schedule", "batch_size", "epochs", "steps")
MAX_LISTED = 8  # entries of a fitted list


def add(commands: Commands) -> None:
    """Declare the commands."""
    example = "saddle list --filter 'optimizer.kind = adam AND best(val/loss) < 0.2' --sort 'best(val/loss)'"
    parser = command(commands, "list", do_list, "list the newest experiments, or runs", example)
    parser.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--filter", help="only those it holds for: state = failed, tag = sweep, last(loss) < 1, ...")
    parser.add_argument("--sort", help="by a field or a figure, with - before it the greatest first")
    parser.add_argument("--columns", default="", help="comma-separated fields of the spec and figures to show")
    parser.add_argument("--archived", action="store_true", help="those that were put away, too")
    parser.add_argument("--runs", action="store_true", help="runs instead of experiments")
    parser.add_argument(
        "--state", choices=("queued", "running", "paused", "succeeded", "failed", "cancelled"), help="only such runs"
    )
    parser = command(commands, "show", do_show, "one experiment or run in full", "saddle show momentum:3")
    parser.add_argument("what", help="an id, the end of one, a name, NAME:SEED, or latest")
    parser.add_argument("--spec", action="store_true", help="the whole spec, to be changed and submitted again")
    summary = "how much the project's curves and checkpoints take, and the largest runs"
    parser = command(commands, "storage", do_storage, summary, "saddle storage momentum")
    parser.add_argument("what", nargs="?", help="only one experiment: its id, the end of it, or its name")
    parser.add_argument("--limit", type=int, default=20, help="how many runs (default 20)")
    command(commands, "workers", do_workers, "list the workers, their devices and what they train", "saddle workers")


def do_list(arguments: argparse.Namespace, context: Context) -> None:
    """List experiments or runs, newest first or in the order of --sort."""
    client, order = context.client, {"filter": arguments.filter, "sort": arguments.sort}
    if arguments.runs or arguments.state:
        runs = list(client.runs(arguments.limit, arguments.state, **order))
        context.emit(runs) if context.json else show_runs(context, runs)
        return
    columns = _columns(arguments)
    items = list(client.experiments(arguments.limit, **order, columns=columns, archived=arguments.archived))
    if not (items or context.json or arguments.filter):
        context.say("nothing here yet; begin with: saddle submit preset:digits-adam --watch")
        return
    study = ["study"] if any(item.study_id for item in items) else []
    rows: list[Row] = []
    for item in items:
        wanted = [item.study_id or "-"] * len(study) + [_cell(item.values.get(column)) for column in columns]
        states = ", ".join(f"{n} {s}" for s, n in item.runs.items() if n)
        rows.append([item.id, item.name, *wanted, _result(item), states, age(item.created_at), item.owner])
    context.show(items, ["experiment", "name", *study, *columns, "result", "runs", "age", "owner"], rows, columns)


def _columns(arguments: argparse.Namespace) -> list[str]:
    """Return the columns asked for, and what the list is sorted by unless it is a column already."""
    named = [name.strip() for name in arguments.columns.split(",") if name.strip()]
    by = (arguments.sort or "").removeprefix("-")
    return named if by in named or not ("(" in by or "." in by) else [*named, by]


def _result(item: ExperimentItem) -> str:
    """Return the figure that it is ranked by, as `0.0831 best val/loss, 1 diverged`."""
    main = item.main
    if main is None:
        return "-"
    value = main.last if main.ranked_by == "last" else main.best
    counts = {"diverged": main.diverged, "incomplete": main.incomplete, "provisional": main.provisional}
    lost = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([f"{number(value)} {main.ranked_by} {main.series}", *lost])


def _cell(value: object) -> str | int | float | None:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)


def do_show(arguments: argparse.Namespace, context: Context) -> None:
    """Show a run if one is named, else an experiment."""
    client = context.client
    meant = lookup.resolve(client, arguments.what)
    if lookup.is_id(meant[0], "run"):
        run = client.run(meant[0])
        attempts = client.attempts(run.id)
        prepared = next(client.readings(run.id, "preparation", limit=1), None)
        if context.json:
            found_in_training = {} if prepared is None else {"preparation": prepared.data}
            context.emit(answers.raw(run) | {"attempts": attempts} | found_in_training)
        else:
            show_run(context, run, attempts)
            if prepared is not None:
                show_preparation(context, prepared.data)
        return
    found = client.experiment(meant[0])
    if context.json or arguments.spec:
        context.emit(found.spec if arguments.spec else found)
    else:
        show_experiment(context, found)


def show_experiment(context: Context, found: ExperimentView) -> None:
    """Print what an experiment trains, and its runs."""
    context.say(f"{found.id}  {found.name}  by {found.owner}, {age(found.created_at)} ago", "bold")
    for part in PARTS:
        if found.spec.get(part) is not None:
            context.say(f"  {part:<10} {_brief(found.spec[part])}")
    context.say()
    show_runs(context, found.runs)


def _brief(part: object) -> str:
    """Return a part of a spec in a line: its kind, then its other fields."""
    if not isinstance(part, dict):
        return json.dumps(part)
    rest = [f"{key}={json.dumps(value)}" for key, value in part.items() if key != "kind" and value is not None]
    return " ".join([str(part.get("kind", "")), *rest])


def show_run(context: Context, run: RunView, attempts: list[dict[str, object]]) -> None:
    """Print state, series and attempts of a run."""
    context.say(f"{run.id}  seed {seed_of(run)}  of {run.experiment_id}", "bold")
    on = f" on {run.worker}" if run.worker else ""
    context.say(
        f"  {run.displayed or run.state}{on}, step {run.step} of {run.total_steps}, checkpoint at {run.checkpoint_step}"
    )
    if run.relation:
        context.say(f"  {run.relation} of {run.parent_run_id}")
    if run.failure:
        context.say(f"  {failure(run)}", "red")
    rows: list[Row] = [
        [name, each.n, each.last, each.min, each.min_step, each.max, each.max_step, each.nonfinite]
        for name, each in run.series.items()
    ]
    if rows:
        head = ["series", "points", "last", "min", "at", "max", "at ", "non-finite"]
        context.say()
        context.table(head, rows, head[1:])
    if attempts:
        context.say()
        keys = ("attempt", "worker", "start_step", "ending", "detail")
        context.table(
            ["attempt", "worker", "from step", "ending", ""],
            [["-" if a.get(k) is None else str(a[k]) for k in keys] for a in attempts],
        )


def show_preparation(context: Context, data: dict[str, Any]) -> None:
    """Print what the steps of a table's preparation learned from the training rows."""
    target = data.get("target")
    steps = [*data.get("steps", ()), *([target | {"kind": f"target {target['kind']}"}] if target else [])]
    rows: list[Row] = [
        [step["kind"], name, ", ".join(f"{key} {_listed(value)}" for key, value in fitted.items())]
        for step in steps
        for name, fitted in step["columns"].items()
    ]
    rows += [["loss", name, _listed(value)] for name, value in data.get("class_weights", {}).items()]
    if rows:
        context.say()
        context.table(["step", "column", "from the training rows"], rows)


def _listed(value: object) -> str:
    """Return a fitted value, or the first of several."""
    if not isinstance(value, list):
        return number(value) if isinstance(value, float) else str(value)
    shown = " ".join(_listed(each) for each in value[:MAX_LISTED])
    return f"[{shown}]" if len(value) <= MAX_LISTED else f"[{shown} ... {len(value)}]"


def do_storage(arguments: argparse.Namespace, context: Context) -> None:
    """Print the sums, then the largest runs."""
    client, what = context.client, arguments.what
    experiment_id = lookup.resolve_experiment_id(client, what, archived=True) if what else None
    found = client.storage(experiment_id, arguments.limit)
    if not context.json:
        context.say(
            f"{found.runs} runs: {found.points} points in {size(found.points_bytes)}, "
            f"{found.checkpoints} checkpoints in {size(found.checkpoints_bytes)}"
        )
    head = ["run", "experiment", "points", "in", "checkpoints", "in "]
    rows: list[Row] = []
    for each in found.greatest:
        points, saved = size(each.points_bytes), size(each.checkpoints_bytes)
        rows.append([each.run_id, each.experiment_id, each.points, points, each.checkpoints, saved])
    context.show(found, head, rows, head[2:])


def do_workers(arguments: argparse.Namespace, context: Context) -> None:
    """List the workers."""
    workers = context.client.workers()
    rows: list[Row] = []
    for each in workers:
        state = coloured_state(each.state, "running" if each.state == "busy" else None)
        rows.append([each.name, state, _device(each), each.run_id or "-"])
    context.show(workers, ["worker", "state", "device", "run"], rows)


def _device(worker: WorkerView) -> str:
    device = worker.device or {}
    memory = device.get("memory_bytes")
    return f"{device.get('name') or device.get('kind') or worker.pool}" + (f" {size(memory)}" if memory else "")
