"""Tables that fit the terminal: columns are as wide as their cells, and the widest shrink first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.client.formatting import number
from service.client.terminal import Terminal, fitted, plain, width_of

GAP = 2
MIN_WIDTH = 4  # of a column that is cut


@dataclass(frozen=True)
class Cell:
    """A text and its colour."""

    text: str
    colour: str | None = None


Row = Sequence[Cell | str | int | float | None]


def table(
    head: Sequence[str], rows: Sequence[Row], terminal: Terminal, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> list[str]:
    """Return lines to print. Columns in `right` are aligned right and, like those in `whole`, never cut."""
    cells = [[_cell(each) for each in row] for row in rows]
    natural = [max([width_of(name), *(width_of(row[i].text) for row in cells)]) for i, name in enumerate(head)]
    cuttable = [name not in right and name not in whole for name in head]
    widths = fit_widths(natural, cuttable, terminal.columns)
    titles = [Cell(name, "dim") for name in head]
    return [_line(row, widths, [name in right for name in head], terminal) for row in [titles, *cells]]


def fit_widths(widths: Sequence[int], cuttable: Sequence[bool], columns: int) -> list[int]:
    """Return widths that fit: shrink the widest texts first, then leave out columns from the end."""
    made = list(widths)
    while made:
        over = sum(made) + GAP * (len(made) - 1) - columns
        texts = [i for i, width in enumerate(made) if cuttable[i] and width > MIN_WIDTH]
        if over <= 0:
            break
        if texts:
            made[max(texts, key=lambda i: made[i])] -= 1
        elif len(made) > 1:
            made.pop()
            made = list(widths[: len(made)])  # the remaining texts get the room
        else:
            return [max(columns, 1)]
    return made


def _cell(value: Cell | str | int | float | None) -> Cell:
    if isinstance(value, Cell):
        return Cell(plain(value.text), value.colour)
    return Cell(number(value) if isinstance(value, float) or value is None else plain(value))


def _line(row: Sequence[Cell], widths: Sequence[int], right: Sequence[bool], terminal: Terminal) -> str:
    """Return one line; cells of left-out columns are skipped."""
    parts = []
    for cell, width, to_right in zip(row, widths, right, strict=False):
        text = fitted(cell.text, width)
        pad = " " * (width - width_of(text))
        shown = terminal.colour(text, cell.colour)
        parts.append(pad + shown if to_right else shown + pad)
    return (" " * GAP).join(parts).rstrip()


def interval_bar(
    interval: tuple[float | None, float | None, float | None],
    scale: tuple[float, float],
    width: int,
    terminal: Terminal,
) -> str:
    """Draw (low, mean, high) on a scale: ├──●──┤."""
    (low, mean, high), (start, end) = interval, scale
    if mean is None or not math.isfinite(mean) or end <= start:
        return ""

    def position(value: float) -> int:
        return min(max(round((value - start) / (end - start) * (width - 1)), 0), width - 1)

    line = [" "] * width
    bar, left, right, dot = ("─", "├", "┤", "●") if terminal.unicode else ("-", "[", "]", "o")
    if low is not None and high is not None:
        first, last = position(low), position(high)
        line[first : last + 1] = bar * (last - first + 1)
        line[first], line[last] = left, right
    line[position(mean)] = dot
    return "".join(line).rstrip()
