"""What to know of a table before training on it: sentences for its report."""

from collections.abc import Iterator, Sequence

from service.spec.datasets.precision import MIN_SPACINGS, is_coarse
from service.spec.datasets.report import Column
from service.spec.pointing import safe

NAMED = 5  # columns that a sentence names


def notes_on(columns: Sequence[Column]) -> Iterator[str]:
    """Each kind of oddity once, with the columns that have it."""
    if coarse := [column for column in columns if is_coarse(column.std, column.min, column.max)]:
        few = f"varies by less than {MIN_SPACINGS} float32 spacings at its size"
        yield f"{listed(coarse)}: {few}. Scaled (the default) it keeps every digit; with scaling none it loses some."


def listed(columns: Sequence[Column]) -> str:
    """Their names, the first few."""
    names = ", ".join(column.name for column in columns[:NAMED])
    more = f" and {len(columns) - NAMED} more" if len(columns) > NAMED else ""
    return safe(f"{'column' if len(columns) == 1 else 'columns'} {names}{more}")
