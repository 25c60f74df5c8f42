"""Remedies of generated trainings: each is trained in place of the sick run, on the same rows, from the same seed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from service.verification.outcomes import Result, judge_seed
from tests.symptoms.generated import Outcome, draw_facts, trained_draws
from tests.symptoms.remedies import came, compared_series
from tests.symptoms.report import table
from tests.symptoms.training import sources


class Tried(NamedTuple):
    """A remedy and whether it lowered the measured loss beyond the noise."""

    found: Outcome
    outcome: Result
    why: str


def tried(
    found: Sequence[Outcome], most: int, folder: Path | None, processes: int, stale: bool = False
) -> Iterator[Tried]:
    """Train the remedy of the first finding of sick trainings: of `most` of those that have one, spread evenly."""
    able = [each for each in found if each.truth == "sick" and not each.calm and each.remedied is not None]
    chosen = able[:: max(1, -(-len(able) // most))]
    remedied = [replace(each.draw, document=each.remedied) for each in chosen if each.remedied is not None]
    how = (folder, processes, "" if stale else sources())
    before, after = (list(trained_draws(draws, *how)) for draws in ([each.draw for each in chosen], remedied))
    for each, draw, sick, well in zip(chosen, remedied, before, after, strict=True):
        control, patched = draw_facts(each.draw, sick), draw_facts(draw, well)
        series = compared_series(control.plan.spec, patched.plan.spec)
        sides = (came(facts, series, each.rule) for facts in (control, patched))
        judged = judge_seed(*sides, series, series != "val/accuracy")
        yield Tried(each, judged.result, judged.why)


def hit_rates(all_tried: Sequence[Tried]) -> str:
    """Return the share of remedies that helped, and the same by verdict, as Markdown."""
    helped = [each.outcome == "helped" for each in all_tried]
    right = [each.outcome == "helped" for each in all_tried if each.found.named]
    rows = [["first finding", "tried", "helped", "symptom gone, loss the same", "did not help", "undecided"]]
    for verdict in sorted({each.found.verdicts[0] for each in all_tried}):
        counts = Counter(each.outcome for each in all_tried if each.found.verdicts[0] == verdict)
        names: tuple[Result, ...] = ("helped", "symptom_gone", "did_not_help", "undecided")
        rows.append([verdict, str(counts.total()), *(str(counts[name] or "") for name in names)])
    return (
        f"\n### Remedies of first findings, trained in place of the sick run\n\n{_of(helped)} lowered the loss beyond "
        f"the noise; of right findings {_of(right)}.\n\n{table(rows)}"
    )


def _of(parts: Sequence[bool]) -> str:
    return f"{sum(parts)} of {len(parts)}" + (f" ({sum(parts) / len(parts):.1%})" if parts else "")
