"""Test each group's mean against a value that the question gives."""

from collections.abc import Sequence

from service.analysis.power import LEVEL
from service.analysis.significance import better_than, holm
from service.comparison.data import ComparisonData
from service.schemas.rankings import ReferenceView
from service.schemas.statistics import Statistics
from service.spec.measures import better_direction


def against_reference(
    data: ComparisonData,
    labels: Sequence[str],
    samples: Sequence[Sequence[float]],
    figures: Sequence[Statistics],
    choices: Sequence[int],
    overlaps: Sequence[float],
) -> list[ReferenceView | None]:
    """Return the test of each group; None where the question has no reference.

    `samples`: each group's values by seed; `choices`: the trials that each was chosen from; `overlaps`: of its folds.
    """
    reference = data.question.reference
    if reference is None:
        return [None] * len(labels)
    sign = 1 if better_direction(data.ranked) == "max" else -1
    tests = [better_than(sample, reference, sign, overlap) for sample, overlap in zip(samples, overlaps, strict=True)]
    known = [place for place, test in enumerate(tests) if test is not None]
    chosen = [min(1.0, test.p * choices[place]) for place, test in enumerate(tests) if test is not None]
    adjusted = dict(zip(known, holm(chosen), strict=True))
    found: list[ReferenceView | None] = []
    for place, (label, test, best) in enumerate(zip(labels, tests, figures, strict=True)):
        level, lost = adjusted.get(place), best.diverged
        better = level is not None and level < LEVEL and not lost
        found.append(
            ReferenceView(
                verdict="better" if better else "not_shown",
                difference=None if best.mean is None else best.mean - reference,
                bound=test and test.bound,
                p=test and test.p,
                p_adjusted=level,
                note=_note(label, reference, better, best.n, lost),
            )
        )
    return found


def _note(label: str, reference: float, better: bool, n: int, lost: int) -> str:
    seeds = f"{n} seed{'' if n == 1 else 's'}"
    if better:
        return f"The mean of {label} is better than {reference:g}, over {seeds}."
    said = f"The mean of {label} is not shown to be better than {reference:g}"
    if lost:
        return f"{said}: {lost} of its seeds diverged."
    return f"{said}: at least two seeds are needed." if n < 2 else f"{said}, over {seeds}."
