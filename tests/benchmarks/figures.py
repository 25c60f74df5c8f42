"""Release figures, so that no release is slower unnoticed: `python -m tests.benchmarks.figures [--write]`.

Measure this tree in about two minutes and print the row beside the last ones of "Figures by release" in LOG.md; what is
more than 10 % worse than the row before is marked. `--write` appends the row. Run it on an idle machine.
"""

import argparse
import statistics
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks import api_import, first_step
from tests.harness.product import ROOT, Product, product
from tests.house import collected

LOG = Path(__file__).with_name("LOG.md")
HEADING = "## Figures by release"
TOLERANCE = 0.10  # share by which a figure may be worse than the row before without a mark
REQUESTS = 300  # the clock of a process ticks every 10 ms, so this resolves about 0.03 ms a request
COLUMNS = {  # title: how its values are written
    "import, CPU s": ".2f",
    "POST answered, ms": ".1f",
    "first step readable, ms": ".1f",
    "GET /v1/me, CPU ms": ".2f",
    "GET /v1/runs/{id}, CPU ms": ".2f",
    "collect, s": ".1f",
    "cases": ".0f",
    "API at rest, MiB": ".0f",
}
HEADER = f"| release | date | {' | '.join(COLUMNS)} |"


@dataclass(frozen=True)
class Row:
    """The figures of one release; a column that was not measured is missing."""

    release: str
    date: str
    values: dict[str, float]

    def line(self, before: "Row | None" = None) -> str:
        """The row as Markdown; with `before`, figures that are worse than there are marked."""
        marks = worse(self, before) if before else {}
        cells = [self.release, self.date]
        for title, digits in COLUMNS.items():
            figure = format(self.values[title], digits) if title in self.values else "-"
            cells.append(f"{figure} WORSE by {marks[title]:.0%}" if title in marks else figure)
        return f"| {' | '.join(cells)} |"


def worse(row: Row, before: Row) -> dict[str, float]:
    """Columns that are worse than `before` by more than the tolerance, and by what share; cases are never worse."""
    shared = (set(row.values) & set(before.values)) - {"cases"}
    shares = {title: row.values[title] / before.values[title] - 1 for title in COLUMNS if title in shared}
    return {title: share for title, share in shares.items() if round(share, 6) > TOLERANCE}


def table_of(log: str) -> list[str]:
    """The lines of the table; raise ValueError if it is missing or has other columns than `COLUMNS`."""
    lines = [line for line in log.partition(HEADING)[2].partition("\n## ")[0].splitlines() if line.startswith("|")]
    if not lines or lines[0] != HEADER:
        raise ValueError(f"LOG.md needs the table of {HEADING!r} with the header {HEADER}")
    return lines


def parse(log: str) -> list[Row]:
    """The rows of the table, oldest first."""
    rows = []
    for line in table_of(log)[2:]:
        release, date, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        values = {title: float(cell) for title, cell in zip(COLUMNS, figures, strict=True) if cell != "-"}
        rows.append(Row(release, date, values))
    return rows


def append(log: str, row: Row) -> str:
    """The log with the row at the end of the table."""
    last = table_of(log)[-1]
    head, heading, rest = log.partition(HEADING)
    return head + heading + rest.replace(f"{last}\n", f"{last}\n{row.line()}\n", 1)


def processor_ms(bench: Product, path: str) -> float:
    """Processor milliseconds that the API spends on one GET, over one connection that stays open."""
    api = psutil.Process(bench.processes[0].pid)
    for _ in range(30):
        bench.http.get(path).raise_for_status()
    before = api.cpu_times()
    for _ in range(REQUESTS):
        bench.http.get(path).raise_for_status()
    after = api.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1e3 / REQUESTS


def measure() -> Iterator[float]:
    """Yield one value for each of `COLUMNS`, in their order."""
    api_import.once("service.api.app")  # leaves the bytecode behind
    yield min(api_import.once("service.api.app")[1] for _ in range(5))
    with product() as bench:
        at_rest = psutil.Process(bench.processes[0].pid).memory_info().rss  # shared libraries count in full
        yield from map(statistics.median, first_step.measure(bench, rounds=40))
        run = bench.http.get("/v1/runs").json()["items"][0]["id"]
        yield processor_ms(bench, "/v1/me")
        yield processor_ms(bench, f"/v1/runs/{run}")
    seconds, _, cases = collected(ROOT)
    yield seconds
    yield cases
    yield at_rest / 2**20


def main() -> None:
    """Print the last rows and this tree's; append it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="append the row to LOG.md")
    arguments = parser.parse_args()
    rows = parse(LOG.read_text())
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    row = Row(release, time.strftime("%Y-%m-%d"), dict(zip(COLUMNS, measure(), strict=True)))
    print("\n".join([HEADER, *(each.line() for each in rows[-3:]), row.line(rows[-1] if rows else None)]))
    if arguments.write:
        LOG.write_text(append(LOG.read_text(), row))


if __name__ == "__main__":
    main()
