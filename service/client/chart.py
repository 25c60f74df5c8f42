"""Curves drawn with characters: braille where the terminal has it (2 x 4 dots a character), stars where not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.client.arrays import Floats, Steps
from service.client.formatting import number
from service.client.terminal import HUES, Terminal, fitted, plain

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits of U+2800 by row and column
LABEL_WIDTH = 9  # columns for the numbers at the left
LOG_ABOVE = 50.0  # a positive range wider than this factor is drawn on a logarithmic scale
LOG_NOTE = " (log scale)"
ASCII = "*o+x#@"


@dataclass(frozen=True)
class Line:
    """One curve to draw; values that are not finite are gaps."""

    label: str
    x: Steps | Floats
    y: Floats


def chart(lines: Sequence[Line], terminal: Terminal, width: int, height: int = 8, linear: bool = False) -> list[str]:
    """Draw curves with their range, and a legend for several; a wide positive range gets a log scale."""
    shown = [each for each in lines if np.isfinite(each.y).any()]
    across = width - LABEL_WIDTH - 1
    if not shown or across < 8:
        return []
    x_low, x_high = min(float(each.x.min()) for each in shown), max(float(each.x.max()) for each in shown)
    finite = np.concatenate([each.y[np.isfinite(each.y)] for each in shown])
    low, high = float(finite.min()), float(finite.max())
    log = not linear and low > 0 and high / low > LOG_ABOVE
    braille = terminal.unicode and (terminal.coloured or len(shown) == 1)  # dots do not show which curve they belong to
    canvas = _Canvas(across, height, braille)
    for position, each in enumerate(shown):
        values = np.where(np.isfinite(each.y), each.y, np.nan)
        canvas.draw(
            position, _scaled(np.asarray(each.x, np.float64), x_low, x_high, False), _scaled(values, low, high, log)
        )
    drawn = []
    for row, text in enumerate(canvas.rows(terminal)):
        label = number(high) if row == 0 else number(low) if row == height - 1 else ""
        drawn.append(f"{label:>{LABEL_WIDTH}} {text}".rstrip())
    left, right = f"{x_low:g}", f"{x_high:g}"
    if log and len(left) + len(right) + len(LOG_NOTE) < across:
        right += LOG_NOTE
    drawn.append(" " * (LABEL_WIDTH + 1) + left + right.rjust(across - len(left)))
    if len(shown) > 1:
        marks = [
            terminal.colour(f"{canvas.mark(i)} {fitted(plain(e.label), across - 2)}", HUES[i % len(HUES)])
            for i, e in enumerate(shown)
        ]
        drawn += [f"{'':{LABEL_WIDTH}} {mark}" for mark in marks]
    return drawn


def _scaled(values: Floats, low: float, high: float, log: bool) -> Floats:
    """Map [low, high] to [0, 1]; a flat curve lies in the middle."""
    if log:
        values, low, high = np.log(values), math.log(low), math.log(high)
    if high == low:
        return np.full(len(values), 0.5)
    return np.asarray((values / 2 - low / 2) / (high / 2 - low / 2))  # halves: the range may not fit a double


class _Canvas:
    """Characters of 2 x 4 dots; each keeps which curve was drawn there last."""

    def __init__(self, columns: int, rows: int, braille: bool) -> None:
        self.braille = braille
        self.wide, self.high = (2, 4) if braille else (1, 1)
        self.bits = np.zeros((rows, columns), dtype=np.int64)
        self.owner = np.zeros((rows, columns), dtype=np.int64)

    def draw(self, owner: int, x: Floats, y: Floats) -> None:
        """Draw a curve in the unit square: each column of dots is filled from its lowest to its highest value."""
        rows, columns = self.bits.shape
        dots, up = columns * self.wide, rows * self.high
        between = (np.arange(dots) + 0.5) / dots  # straight lines where points are far apart; a NaN leaves a gap
        between = between[(between > x.min()) & (between < x.max())]
        x, y = np.concatenate([x, between]), np.concatenate([y, np.interp(between, x, y)])
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        at = np.minimum((x * dots).astype(np.int64), dots - 1)
        level = np.minimum(((1 - y) * up).astype(np.int64), up - 1)
        for column in np.unique(at):
            here = level[at == column]
            for dot in range(int(here.min()), int(here.max()) + 1):
                self._set(owner, int(column), dot)

    def _set(self, owner: int, column: int, row: int) -> None:
        cell = row // self.high, column // self.wide
        self.bits[cell] |= DOTS[row % 4][column % 2] if self.braille else 1
        self.owner[cell] = owner

    def mark(self, owner: int) -> str:
        """Return the legend's mark of a curve."""
        return "━" if self.braille else ASCII[owner % len(ASCII)]

    def rows(self, terminal: Terminal) -> list[str]:
        """Return the canvas as text, each character in its curve's colour."""
        several = bool(self.owner.any())
        return [
            "".join(
                terminal.colour(self._character(int(bits), int(owner)), HUES[owner % len(HUES)] if several else None)
                if bits
                else " "
                for bits, owner in zip(bit_row, owner_row, strict=True)
            )
            for bit_row, owner_row in zip(self.bits, self.owner, strict=True)
        ]

    def _character(self, bits: int, owner: int) -> str:
        return chr(0x2800 + bits) if self.braille else self.mark(owner)
