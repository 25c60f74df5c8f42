"""How many members' gradients are computed at once: what a measured curve of throughput says is best."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

TRIALS = 3  # steps with each width, of which the fastest counts
LEAST = 4  # members at once
CLOSE = 1.05  # times the shortest step that count as much as it


class Throughput:
    """The processor time of steps whose gradients are computed for so many members at a time.

    Large activations of many members do not fit the processor's cache; small ones are the cheaper the more there are.
    """

    def __init__(self, members: int, measures: bool) -> None:
        """Try all members at once, and where `measures`, half of them, a quarter, and so on."""
        self.widths = [members]
        while measures and self.widths[-1] >= 2 * LEAST:
            self.widths.append(-(-self.widths[-1] // 2))
        self.spent_s: dict[int, list[float]] = {width: [] for width in self.widths}

    @property
    def width(self) -> int:
        """The next width to try; once all are tried, the widest that is about as fast as the fastest."""
        if len(self.widths) == 1:
            return self.widths[0]
        untried = next((width for width in self.widths if len(self.spent_s[width]) < TRIALS), None)
        if untried is not None:
            return untried
        spent_s = {width: min(self.spent_s[width]) for width in self.widths}
        return next(width for width in self.widths if spent_s[width] <= CLOSE * min(spent_s.values()))

    @contextmanager
    def measured(self) -> Iterator[int]:
        """Return the width of a step, and note its processor time as long as widths are tried."""
        width = self.width
        began = time.process_time()
        yield width
        if len(self.spent_s[width]) < TRIALS:
            self.spent_s[width].append(time.process_time() - began)
