"""`up --demo`: two trainings on real data, followed live over HTTP, then compared."""

import time
from typing import Any

from service.local import http
from service.local.processes import Say

PAIR = ("digits-sgd-momentum", "digits-adam")  # presets that differ in the optimizer alone
SHOWN = (("val/loss", "validation loss"), ("val/accuracy", "validation accuracy"), ("loss", "training loss"))
LOOK_S = 1.0
DONE = ("succeeded", "failed", "cancelled")


def run_demo(url: str, key: str, say: Say) -> bool:
    """Submit the pair, print progress until both are done, print the comparison; False if it could not be done."""
    try:
        experiments = [submit(url, key, preset) for preset in PAIR]
        say(f"demo: training {' and '.join(PAIR)}")
        follow(url, key, experiments, say)
        question = {"experiments": experiments, "series": [name for name, _ in SHOWN], "figure": "last"}
        compared = http.call("POST", f"{url}/v1/comparisons", key, question)
    except (http.Refused, OSError, ValueError, KeyError) as error:
        say(f"demo: stopped, because {error}; Saddle itself runs on")
        return False
    for line in table(compared):
        say(line)
    say(f"demo: the whole comparison: {url}/v1/comparisons/{compared.get('id', '')}")
    return True


def submit(url: str, key: str, preset: str) -> str:
    """Post the spec of one preset; the new experiment's id."""
    spec = http.call("GET", f"{url}/v1/presets/{preset}", key)
    posted = http.call("POST", f"{url}/v1/experiments", key, spec)
    return str(posted["id"])


def follow(url: str, key: str, experiments: list[str], say: Say) -> None:
    """Return when all their runs are done; say a line whenever something moved."""
    told = ""
    while True:
        seen = [http.call("GET", f"{url}/v1/experiments/{each}", key) for each in experiments]
        line = " | ".join(f"{name}: {progress(each)}" for name, each in zip(PAIR, seen, strict=True))
        if line != told:
            say(f"demo: {line}")
            told = line
        if all(run["state"] in DONE for each in seen for run in each["runs"]):
            return
        time.sleep(LOOK_S)


def progress(experiment: dict[str, Any]) -> str:
    """State, step and result of an experiment's runs in a few words."""
    runs = experiment["runs"]
    steps = sum(run.get("step") or 0 for run in runs)
    total = sum(run.get("total_steps") or 0 for run in runs)
    states = ", ".join(sorted({run["state"] for run in runs}))
    main = experiment.get("main")
    return f"{states} {steps}/{total}" + (f", {main['series']} {number(main['last'])}" if main else "")


def table(comparison: dict[str, Any]) -> list[str]:
    """One line for each group of a comparison, ready to print in columns."""
    rows: list[tuple[str, ...]] = [("experiment", "runs", *(title for _, title in SHOWN))]
    for group in comparison["groups"]:
        means = (group["series"][name]["last"]["mean"] for name, _ in SHOWN)
        rows.append((group["label"], str(len(group["runs"])), *map(number, means)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def number(value: float | str | None) -> str:
    """Four digits, or a dash; infinities come as words."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4g}"
