"""The library's results as a page of the documentation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from service.symptoms.library import Symptom
from service.symptoms.score import Result, Verified, confusion_table, summarise

HEAD = """# The symptom library, and how it is diagnosed

Written by `python -m tests.symptoms --verify --write docs/symptoms.md` on {date}; {seeds} seeds each, one CPU thread.
Each row is a training that is broken on purpose, or a healthy one, with the expected diagnosis. A diagnosis is right if
its first finding has an expected verdict and at least the expected level; for a healthy training, if it reports neither
a fault nor a warning. `saddle symptoms run` does the same on a server.

"""


def written(library: Mapping[str, Symptom], results: Sequence[Result], checked: Sequence[Verified]) -> str:
    """Return the page as Markdown."""
    seeds = len({each.seed for each in results})
    figures = "\n".join(f"- {line}" for line in summarise(results, checked).lines())
    text = HEAD.format(date=datetime.now(UTC).date().isoformat(), seeds=seeds) + figures
    text += "\n\n## Expected against found\n\n" + table(confusion_table(results))
    if checked:
        text += "\n\n## Remedies tried, by what was found\n\n" + table(hit_rates(checked))
    rows = [["symptom", "expected", "right", "remedies that helped", "what it is"]]
    for name, symptom in library.items():
        mine = [each for each in results if each.symptom == name]
        tried = [each for each in checked if each.result.symptom == name]
        helped = f"{sum(each.outcome == 'helped' for each in tried)} of {len(tried)}" if tried else ""
        wanted = " or ".join(symptom.expect.verdicts) or "nothing"
        right = f"{sum(each.right for each in mine)} of {len(mine)}"
        rows.append([name, f"{symptom.expect.level}: {wanted}", right, helped, symptom.about])
    return text + "\n\n## One by one\n\n" + table(rows) + "\n"


def hit_rates(checked: Sequence[Verified]) -> list[list[str]]:
    """Return how often the remedy of each verdict helped, of all that were tried, those that failed included."""
    outcomes = ("helped", "symptom_gone", "did_not_help", "undecided")
    rows = [["found", "tried", "helped", "symptom gone, loss the same", "did not help", "undecided", "hit rate"]]
    for verdict in sorted({each.result.first for each in checked}):
        counts = Counter(each.outcome for each in checked if each.result.first == verdict)
        rate = f"{counts['helped'] / counts.total():.0%}"
        rows.append([verdict, str(counts.total()), *(str(counts[name]) for name in outcomes), rate])
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """A head and lines under it."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)
