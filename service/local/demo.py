"""The demo of `up --demo`: two presets trained on real data and compared, over HTTP."""

import time
from typing import Any

from service.local import http
from service.local.processes import Say

PRESETS = ("digits-sgd-momentum", "digits-adam")  # presets that differ in the optimizer alone
SERIES = (("val/loss", "validation loss"), ("val/accuracy", "validation accuracy"), ("loss", "training loss"))
POLL_S = 1.0
TERMINAL = ("succeeded", "failed", "cancelled")


def run_demo(url: str, key: str, say: Say) -> bool:
    """Train the presets, print their progress and the comparison; return False if that failed."""
    try:
        experiments = [submit(url, key, preset) for preset in PRESETS]
        say(f"demo: training {' and '.join(PRESETS)}")
        wait_for_runs(url, key, experiments, say)
        request = {"experiments": experiments, "series": [name for name, _ in SERIES], "figure": "last"}
        comparison = http.call("POST", f"{url}/v1/comparisons", key, request)
    except (http.ApiError, OSError, ValueError, KeyError) as error:
        say(f"demo: stopped because of an error ({error}); Saddle keeps running")
        return False
    for line in format_comparison(comparison):
        say(line)
    say(f"demo: full comparison: {url}/v1/comparisons/{comparison.get('id', '')}")
    return True


def submit(url: str, key: str, preset: str) -> str:
    """Post the spec of a preset; return the id of the new experiment."""
    spec = http.call("GET", f"{url}/v1/presets/{preset}", key)
    experiment = http.call("POST", f"{url}/v1/experiments", key, spec)
    return str(experiment["id"])


def wait_for_runs(url: str, key: str, experiments: list[str], say: Say) -> None:
    """Wait until all runs have ended; print a line whenever the progress changes."""
    previous = ""
    while True:
        current = [http.call("GET", f"{url}/v1/experiments/{each}", key) for each in experiments]
        line = " | ".join(f"{name}: {describe_progress(each)}" for name, each in zip(PRESETS, current, strict=True))
        if line != previous:
            say(f"demo: {line}")
            previous = line
        if all(run["state"] in TERMINAL for each in current for run in each["runs"]):
            return
        time.sleep(POLL_S)


def describe_progress(experiment: dict[str, Any]) -> str:
    """Return the states, steps and result of an experiment's runs in a few words."""
    runs = experiment["runs"]
    steps = sum(run.get("step") or 0 for run in runs)
    total = sum(run.get("total_steps") or 0 for run in runs)
    states = ", ".join(sorted({run["state"] for run in runs}))
    main = experiment.get("main")
    return f"{states} {steps}/{total}" + (f", {main['series']} {format_number(main['last'])}" if main else "")


def format_comparison(comparison: dict[str, Any]) -> list[str]:
    """Return a table of the comparison's groups, one line each below the heading."""
    rows: list[tuple[str, ...]] = [("experiment", "runs", *(title for _, title in SERIES))]
    for group in comparison["groups"]:
        means = (group["series"][name]["last"]["mean"] for name, _ in SERIES)
        rows.append((group["label"], str(len(group["runs"])), *map(format_number, means)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def format_number(value: float | str | None) -> str:
    """Return four digits, a dash for None, or the word of an infinity."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4g}"
