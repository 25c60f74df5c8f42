"""`saddle list`, `show`, `storage` and `workers`: what there is."""

import argparse
import json

from service.client import naming
from service.client.commands.context import Commands, Context, command
from service.client.commands.shown import failure, show_runs, state
from service.client.durations import age
from service.client.table import Row, number
from service.client.views import Experiment, ExperimentItem, Run, Worker

PARTS = ("dataset", "model", "loss", "optimizer", "schedule", "batch_size", "epochs", "steps")


def add(commands: Commands) -> None:
    """Declare them."""
    example = "saddle list --filter 'optimizer.kind = adam AND best(val/loss) < 0.2' --sort 'best(val/loss)'"
    parser = command(commands, "list", do_list, "the newest experiments, or runs", example)
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
    summary = "what the project's curves and checkpoints take, and the runs that take most"
    parser = command(commands, "storage", do_storage, summary, "saddle storage momentum")
    parser.add_argument("what", nargs="?", help="only one experiment: its id, the end of it, or its name")
    parser.add_argument("--limit", type=int, default=20, help="how many runs (default 20)")
    command(commands, "workers", do_workers, "who trains, on what, and what", "saddle workers")


def do_list(asked: argparse.Namespace, context: Context) -> int:
    """Newest first, or as asked."""
    client, order = context.client, {"filter": asked.filter, "sort": asked.sort}
    if asked.runs or asked.state:
        runs = list(client.runs(asked.limit, asked.state, **order))
        context.emit([run.raw for run in runs]) if context.json else show_runs(context, runs)
        return 0
    columns = _columns(asked)
    items = list(client.experiments(asked.limit, **order, columns=columns, archived=asked.archived))
    if context.json:
        context.emit([item.raw for item in items])
    elif not items and not asked.filter:
        context.say("nothing here yet; begin with: saddle submit preset:digits-adam --watch")
    else:
        rows: list[Row] = [
            [
                item.id,
                item.name,
                *(_cell(item.values.get(column)) for column in columns),
                _result(item),
                ", ".join(f"{n} {s}" for s, n in item.runs.items() if n),
                age(item.created_at),
                item.owner,
            ]
            for item in items
        ]
        context.table(["experiment", "name", *columns, "result", "runs", "age", "owner"], rows, columns)
    return 0


def _columns(asked: argparse.Namespace) -> list[str]:
    """What is asked for, and what the list is sorted by where that is no column already."""
    named = [name.strip() for name in asked.columns.split(",") if name.strip()]
    by = (asked.sort or "").removeprefix("-")
    return named if by in named or not ("(" in by or "." in by) else [*named, by]


def _result(item: ExperimentItem) -> str:
    """The figure that it is ranked by, as `0.0831 best val/loss, 1 diverged`."""
    if item.main is None:
        return "-"
    main = item.main
    value = main[main["ranked_by"]]
    told = "-" if value is None else number(float(value))
    lost = [f"{main[word]} {word}" for word in ("diverged", "incomplete", "provisional") if main[word]]
    return ", ".join([f"{told} {main['ranked_by']} {main['series']}", *lost])


def _cell(value: object) -> str | int | float | None:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)


def do_show(asked: argparse.Namespace, context: Context) -> int:
    """A run where one is named, else an experiment."""
    client = context.client
    meant = naming.find(client, asked.what)
    if naming.is_id(meant[0], "run"):
        run = client.run(meant[0])
        attempts = client.attempts(run.id)
        context.emit(run.raw | {"attempts": attempts}) if context.json else show_run(context, run, attempts)
        return 0
    found = client.experiment(meant[0])
    if context.json or asked.spec:
        context.emit(found.spec if asked.spec else found.raw)
    else:
        show_experiment(context, found)
    return 0


def show_experiment(context: Context, found: Experiment) -> None:
    """What it trains, and its runs."""
    context.say(f"{found.id}  {found.name}  by {found.owner}, {age(found.created_at)} ago", "bold")
    for part in PARTS:
        if found.spec.get(part) is not None:
            context.say(f"  {part:<10} {_brief(found.spec[part])}")
    context.say()
    show_runs(context, found.runs)


def _brief(part: object) -> str:
    """A part of a spec in a line: its kind, then what else it says."""
    if not isinstance(part, dict):
        return json.dumps(part)
    rest = [f"{key}={json.dumps(value)}" for key, value in part.items() if key != "kind" and value is not None]
    return " ".join([str(part.get("kind", "")), *rest])


def show_run(context: Context, run: Run, attempts: list[dict[str, object]]) -> None:
    """State, series and attempts of a run."""
    context.say(f"{run.id}  seed {run.seed}  of {run.experiment_id}", "bold")
    on = f" on {run.worker}" if run.worker else ""
    context.say(
        f"  {run.displayed or run.state}{on}, step {run.step} of {run.total_steps}, checkpoint at {run.checkpoint_step}"
    )
    if run.relation:
        context.say(f"  {run.relation} of {run.parent_run_id}")
    if run.failure:
        context.say(f"  {failure(run)}", "red")
    rows: list[Row] = [
        [
            name,
            each.n,
            number(each.last),
            number(each.min),
            each.min_step,
            number(each.max),
            each.max_step,
            each.nonfinite,
        ]
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


def do_storage(asked: argparse.Namespace, context: Context) -> int:
    """The sum, then the greatest."""
    client = context.client
    found = client.storage(naming.experiment_id(client, asked.what, archived=True) if asked.what else None, asked.limit)
    if context.json:
        context.emit(found.raw)
        return 0
    context.say(
        f"{found.runs} runs: {found.points} points in {_size(found.points_bytes)}, "
        f"{found.checkpoints} checkpoints in {_size(found.checkpoints_bytes)}"
    )
    head = ["run", "experiment", "points", "in", "checkpoints", "in "]
    rows: list[Row] = [
        [
            each["run_id"],
            each["experiment_id"],
            each["points"],
            _size(each["points_bytes"]),
            each["checkpoints"],
            _size(each["checkpoints_bytes"]),
        ]
        for each in found.greatest
    ]
    context.table(head, rows, head[2:])
    return 0


def _size(of: int) -> str:
    """Bytes for people."""
    return f"{of} B" if of < 1000 else f"{of / 1e3:.1f} kB" if of < 1e6 else f"{of / 1e6:.1f} MB"


def do_workers(asked: argparse.Namespace, context: Context) -> int:
    """Who trains."""
    workers = context.client.workers()
    if context.json:
        context.emit([worker.raw for worker in workers])
    else:
        rows: list[Row] = [
            [
                each.name,
                state(each.state, "running" if each.state == "busy" else None),
                _device(each),
                each.run_id or "-",
            ]
            for each in workers
        ]
        context.table(["worker", "state", "device", "run"], rows)
    return 0


def _device(worker: Worker) -> str:
    device = worker.device or {}
    memory = device.get("memory_bytes")
    return f"{device.get('name') or device.get('kind') or worker.pool}" + (
        f" {memory / 2**30:.0f} GiB" if memory else ""
    )
