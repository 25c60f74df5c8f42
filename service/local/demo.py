"""`up --demo`: two trainings on real data, followed live over HTTP, then compared."""

import time
from typing import Any

from service.local import http
from service.local.processes import Say

PAIR = ("digits-sgd-momentum", "digits-adam")  # presets that differ in the optimizer alone
LOOK_S = 1.0
DONE = ("succeeded", "failed", "cancelled")


def run_demo(url: str, key: str, say: Say) -> bool:
    """Submit the pair, print progress until both are done, print the comparison; False if it could not be done."""
    try:
        experiments = [submit(url, key, preset) for preset in PAIR]
        say(f"demo: training {' and '.join(PAIR)}")
        finished = follow(url, key, experiments, say)
        compared = http.call("POST", f"{url}/v1/comparisons", key, {"experiments": experiments})
    except (http.Refused, OSError, ValueError, KeyError) as error:
        say(f"demo: stopped, because {error}; Saddle itself runs on")
        return False
    for line in table(finished):
        say(line)
    say(f"demo: the whole comparison: {url}/v1/comparisons/{compared.get('id', '')}")
    return True


def submit(url: str, key: str, preset: str) -> str:
    """Post the spec of one preset; the new experiment's id."""
    spec = http.call("GET", f"{url}/v1/presets/{preset}", key)
    posted = http.call("POST", f"{url}/v1/experiments", key, spec)
    return str(posted["id"])


def follow(url: str, key: str, experiments: list[str], say: Say) -> list[dict[str, Any]]:
    """The experiments when all their runs are done; a line whenever something moved."""
    told = ""
    while True:
        seen = [http.call("GET", f"{url}/v1/experiments/{each}", key) for each in experiments]
        line = " | ".join(f"{name}: {progress(each)}" for name, each in zip(PAIR, seen, strict=True))
        if line != told:
            say(f"demo: {line}")
            told = line
        if all(run["state"] in DONE for each in seen for run in each["runs"]):
            return seen
        time.sleep(LOOK_S)


def progress(experiment: dict[str, Any]) -> str:
    """State, step and loss of an experiment's runs in a few words."""
    runs = experiment["runs"]
    steps = sum(run.get("step") or 0 for run in runs)
    total = sum(run.get("total_steps") or 0 for run in runs)
    states = ", ".join(sorted({run["state"] for run in runs}))
    return f"{states} {steps}/{total}, loss {number(mean_last(runs, 'loss'))}"


def table(experiments: list[dict[str, Any]]) -> list[str]:
    """One line for each experiment, ready to print in columns."""
    rows: list[tuple[str, ...]] = [("preset", "runs", "state", "last loss", "validation loss", "validation accuracy")]
    for name, experiment in zip(PAIR, experiments, strict=True):
        runs = experiment["runs"]
        states = ", ".join(sorted({run["state"] for run in runs}))
        figures = [number(mean_last(runs, series)) for series in ("loss", "val/loss", "val/accuracy")]
        rows.append((name, str(len(runs)), states, *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def mean_last(runs: list[dict[str, Any]], series: str) -> float | None:
    """The mean over the runs of the last value of a series; None before there is one that is finite."""
    figures = [run.get("series", {}).get(series, {}).get("last") for run in runs]
    finite = [figure for figure in figures if isinstance(figure, int | float)]  # NaN comes as a string
    return sum(finite) / len(finite) if finite else None


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"
