"""Tables that fit: columns as wide as their cells, and where the terminal is narrow the widest ones give way."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.client.terminal import Terminal, fitted, plain, width_of

GAP = 2
LEAST = 4  # columns that a cell keeps


@dataclass(frozen=True)
class Cell:
    """A text, and the colour it has on a terminal."""

    text: str
    colour: str | None = None


Row = Sequence[Cell | str | int | float | None]


def table(
    head: Sequence[str], rows: Sequence[Row], terminal: Terminal, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> list[str]:
    """Lines ready to print. Columns in `right` are numbers: aligned there and, like those in `whole`, never cut."""
    cells = [[_cell(each) for each in row] for row in rows]
    natural = [max([width_of(name), *(width_of(row[i].text) for row in cells)]) for i, name in enumerate(head)]
    cuttable = [name not in right and name not in whole for name in head]
    widths = narrowed(natural, cuttable, terminal.columns)
    titles = [Cell(name, "dim") for name in head]
    return [_line(row, widths, [name in right for name in head], terminal) for row in [titles, *cells]]


def narrowed(widths: Sequence[int], cuttable: Sequence[bool], columns: int) -> list[int]:
    """Widths that fit into `columns`: taken from the widest text, and then columns are left out from the end."""
    made = list(widths)
    while made:
        over = sum(made) + GAP * (len(made) - 1) - columns
        texts = [i for i, width in enumerate(made) if cuttable[i] and width > LEAST]
        if over <= 0:
            break
        if texts:
            made[max(texts, key=lambda i: made[i])] -= 1
        elif len(made) > 1:
            made.pop()
            made = list(widths[: len(made)])  # the texts that are left have the room
        else:
            return [max(columns, 1)]
    return made


def _cell(value: Cell | str | int | float | None) -> Cell:
    if isinstance(value, Cell):
        return Cell(plain(value.text), value.colour)
    return Cell(number(value) if isinstance(value, float) or value is None else plain(value))


def _line(row: Sequence[Cell], widths: Sequence[int], right: Sequence[bool], terminal: Terminal) -> str:
    """The cells that have a place."""
    parts = []
    for cell, width, to_right in zip(row, widths, right, strict=False):
        text = fitted(cell.text, width)
        pad = " " * (width - width_of(text))
        shown = terminal.colour(text, cell.colour)
        parts.append(pad + shown if to_right else shown + pad)
    return (" " * GAP).join(parts).rstrip()


def number(value: float | None, digits: int = 4) -> str:
    """Significant digits, or a dash where there is nothing."""
    return "-" if value is None else f"{value:.{digits}g}"
