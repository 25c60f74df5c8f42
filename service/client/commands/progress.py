"""The progress of runs: redrawn in a terminal, a line now and then in a file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.client.chart import Line, chart
from service.client.commands.run_table import (
    COLOURS,
    SERIES,
    count_states,
    failure,
    run_rows,
    series_columns,
    show_runs,
)
from service.client.curves import LiveCurves
from service.client.formatting import duration, number
from service.client.table import table
from service.client.terminal import fitted, plain
from service.lifecycle import TERMINAL

if TYPE_CHECKING:
    from service.client.commands.context import Context
    from service.client.following import Event
    from service.client.terminal import Terminal
    from service.schemas.runs import RunView

DRAW_EVERY_S, PRINT_EVERY_S = 0.1, 5.0  # in a terminal; in a file
CHART_WIDTH = 78  # columns
LEVELS = {"fault": "red", "warning": "yellow"}  # findings that are shown
SPEED_WINDOW_S = 3.0
MIN_SPEED_WINDOW_S = 0.5


class Screen:
    """The last lines of the terminal, redrawn in place; none may be wider than the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._height = terminal, 0

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the earlier lines by `lines`."""
        up = f"\x1b[{self._height}A\r" if self._height else "\r"
        text = "".join(f"\x1b[2K{line}\n" for line in lines)
        self._terminal.out.write(f"{up}{text}\x1b[J")
        self._terminal.out.flush()
        self._height = len(lines)


class RunProgress:
    """One run, followed by its events."""

    def __init__(self, context: Context, run: RunView) -> None:
        self._context, self._run, self._curves = context, run, LiveCurves()
        self._screen = Screen(context.terminal)
        self._state, self._step = str(run.state), 0
        self._headline, self._level = "", ""  # of the diagnosis so far
        self._steps_at: list[tuple[float, int]] = []  # (seconds, step)
        self._shown_at = -math.inf if context.terminal.live else time.monotonic()

    def add(self, event: Event) -> None:
        """Take an event in, and show the progress when it is due."""
        self._curves.add(event)
        changed = event.kind == "state" and event.data.get("state") != self._state
        if event.kind == "state":
            self._state = str(event.data.get("state", self._state))
        elif event.kind == "points":
            self._step = int(event.data.get("upto", self._step))
            self._steps_at.append((time.monotonic(), self._step))
        elif event.kind == "cut":
            self._step, self._steps_at = int(event.data["from_step"]), []
        elif event.kind == "diagnosis":
            self._level = str(event.data.get("level"))
            self._headline = plain(str(event.data.get("headline"))) if self._level in LEVELS else ""
        if self._context.terminal.live:
            if time.monotonic() - self._shown_at >= DRAW_EVERY_S:
                self._draw()
        elif changed or event.kind == "cut":
            again = f", again from step {self._step}" if event.kind == "cut" else ""
            self._context.say(f"{self._state}{again}")
        elif event.kind == "diagnosis" and self._headline:
            text = f"{self._level} at step {event.data.get('step')}: {self._headline}"
            self._context.say(text, LEVELS[self._level])
        elif event.kind == "points" and time.monotonic() - self._shown_at >= PRINT_EVERY_S:
            self._shown_at = time.monotonic()
            self._context.say(self._line())

    def end(self, run: RunView) -> None:
        """Show the final state, and why the run failed if it did."""
        self._run, self._state, self._step = run, str(run.state), run.step
        if self._context.terminal.live:
            self._draw()
        else:
            self._context.say(self._line())
        if run.failure:
            self._context.say(failure(run), "red")

    def _line(self) -> str:
        total = self._run.total_steps
        share = f" {100 * self._step // total} %" if total else ""
        rates = self._curves.names("lr/")  # of parameter groups, where they differ
        names = [name for name in SERIES if name != "lr" or not rates] + rates
        values = [f"{name} {number(last)}" for name in names if (last := self._curves.last(name)) is not None]
        return "  ".join([f"seed {self._run.seed} {self._state} {self._step}/{total}{share}", *values, *self._speed()])

    def _speed(self) -> list[str]:
        """Return steps a second and the remaining time, once they can be estimated."""
        self._steps_at = [each for each in self._steps_at if self._steps_at[-1][0] - each[0] <= SPEED_WINDOW_S]
        if self._state in TERMINAL or len(self._steps_at) < 2:
            return []
        (before, first), (now, last) = self._steps_at[0], self._steps_at[-1]
        if now - before < MIN_SPEED_WINDOW_S:
            return []
        speed = (last - first) / (now - before)
        left = [f"{duration((self._run.total_steps - last) / speed)} left"] if speed > 0 else []
        return [f"{number(speed, 3)} steps/s", *left]

    def _draw(self) -> None:
        self._shown_at = time.monotonic()
        terminal = self._context.terminal
        width = terminal.columns - 1
        lines = [terminal.colour(fitted(plain(self._line()), width), COLOURS.get(self._state))]
        points = {name: self._curves.curve(name) for name in ("loss", "val/loss")}
        curves = [Line(name, each.step, each.value) for name, each in points.items() if len(each.step)]
        lines += chart(curves, terminal, min(width, CHART_WIDTH))
        if self._headline:
            lines.append(terminal.colour(fitted(f"{self._level}: {self._headline}", width), LEVELS[self._level]))
        self._screen.draw(lines)


class RunsProgress:
    """Several runs of an experiment, in a table."""

    def __init__(self, context: Context) -> None:
        self._context, self._screen = context, Screen(context.terminal)
        self._states, self._shown_at = "", -math.inf

    def show(self, runs: Sequence[RunView]) -> None:
        """Redraw the table, or print a line if states have changed or some time has passed."""
        if self._context.terminal.live:
            names = series_columns(runs)
            head = ["seed", "state", "step", *names]
            rows = [row[1:] for row in run_rows(runs, names)]
            lines = table(head, rows, self._context.terminal, ["seed", "step", *names])
            self._screen.draw(lines[: self._context.terminal.lines - 2])
            return
        states = count_states(runs)
        if states != self._states or time.monotonic() - self._shown_at >= PRINT_EVERY_S:
            self._states, self._shown_at = states, time.monotonic()
            steps = f"{sum(run.step for run in runs)}/{sum(run.total_steps for run in runs)} steps"
            self._context.say(f"{states}  {steps}")

    def end(self, runs: Sequence[RunView]) -> None:
        """Show the whole table, with the ids."""
        if self._context.terminal.live:
            self._screen.draw([])
        show_runs(self._context, runs)
