"""What is seen while runs train: drawn over in a terminal, a line now and then in a file."""

import math
import time
from collections.abc import Sequence

from service.client.chart import Line, chart
from service.client.commands.context import Context
from service.client.commands.shown import COLOURS, counted, failure, run_rows, series_shown, show_runs
from service.client.curves import Live
from service.client.durations import duration
from service.client.following import Event
from service.client.table import number, table
from service.client.terminal import Terminal, fitted, plain
from service.client.views import OVER, Run

DRAW_S, TELL_S = 0.1, 5.0  # between two drawings; between two lines in a file
SHOWN = ("loss", "val/loss", "val/accuracy", "lr")
WIDEST = 78
GRAVE = {"fault": "red", "warning": "yellow"}  # findings that are worth a line
SPEED_S = 3.0  # how far back the speed looks


class Screen:
    """Some last lines of the terminal that are drawn again and again; none may be wider than the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._height = terminal, 0

    def draw(self, lines: Sequence[str]) -> None:
        """Put `lines` where the earlier ones were."""
        up = f"\x1b[{self._height}A\r" if self._height else "\r"
        text = "".join(f"\x1b[2K{line}\n" for line in lines)
        self._terminal.out.write(f"{up}{text}\x1b[J")
        self._terminal.out.flush()
        self._height = len(lines)


class Progress:
    """One run, by its events."""

    def __init__(self, context: Context, run: Run) -> None:
        self._context, self._run, self._live = context, run, Live()
        self._screen = Screen(context.terminal)
        self._state, self._step = run.state, 0
        self._finding, self._level = "", ""  # what the rules say of it so far
        self._seen: list[tuple[float, int]] = []  # when which step was known
        self._drawn = -math.inf if context.terminal.live else time.monotonic()

    def take(self, event: Event) -> None:
        """Learn from an event, and show it when it is time."""
        self._live.take(event)
        changed = event.kind == "state" and event.data.get("state") != self._state
        if event.kind == "state":
            self._state = str(event.data.get("state", self._state))
        elif event.kind == "points":
            self._step = int(event.data.get("upto", self._step))
            self._seen.append((time.monotonic(), self._step))
        elif event.kind == "cut":
            self._step, self._seen = int(event.data["from_step"]), []
        elif event.kind == "diagnosis":
            self._level = str(event.data.get("level"))
            self._finding = plain(str(event.data.get("headline"))) if self._level in GRAVE else ""
        if self._context.terminal.live:
            if time.monotonic() - self._drawn >= DRAW_S:
                self._draw()
        elif changed or event.kind == "cut":
            self._context.say(f"{self._state}" + (f", again from step {self._step}" if event.kind == "cut" else ""))
        elif event.kind == "diagnosis" and self._finding:
            self._context.say(f"{self._level} at step {event.data.get('step')}: {self._finding}", GRAVE[self._level])
        elif event.kind == "points" and time.monotonic() - self._drawn >= TELL_S:
            self._drawn = time.monotonic()
            self._context.say(self.line())

    def line(self) -> str:
        """The run in one line."""
        total = self._run.total_steps
        share = f" {100 * self._step // total} %" if total else ""
        figures = [f"{name} {number(last)}" for name in SHOWN if (last := self._live.last(name)) is not None]
        return "  ".join([f"seed {self._run.seed} {self._state} {self._step}/{total}{share}", *figures, *self._pace()])

    def _pace(self) -> list[str]:
        """Steps a second and the time that is left, once they can be told."""
        self._seen = [each for each in self._seen if self._seen[-1][0] - each[0] <= SPEED_S]
        if self._state in OVER or len(self._seen) < 2 or self._seen[-1][0] - self._seen[0][0] < 0.5:
            return []
        (before, first), (now, last) = self._seen[0], self._seen[-1]
        speed = (last - first) / (now - before)
        left = [f"{duration((self._run.total_steps - last) / speed)} left"] if speed > 0 else []
        return [f"{number(speed, 3)} steps/s", *left]

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        terminal = self._context.terminal
        line = fitted(plain(self.line()), terminal.columns - 1)
        found = fitted(f"{self._level}: {self._finding}", terminal.columns - 1) if self._finding else ""
        lines = [terminal.colour(line, COLOURS.get(self._state)), *self._curves()]
        self._screen.draw([*lines, terminal.colour(found, GRAVE[self._level])] if found else lines)

    def _curves(self) -> list[str]:
        points = {name: self._live.curve(name) for name in ("loss", "val/loss")}
        lines = [Line(name, each.step, each.value) for name, each in points.items() if len(each.step)]
        return chart(lines, self._context.terminal, min(self._context.terminal.columns - 1, WIDEST))

    def end(self, run: Run) -> None:
        """The last picture, and how it ended."""
        self._run, self._state, self._step = run, run.state, run.step
        if self._context.terminal.live:
            self._draw()
        else:
            self._context.say(self.line())
        if run.failure:
            self._context.say(failure(run), "red")


class Several:
    """Runs of one experiment in a table."""

    def __init__(self, context: Context) -> None:
        self._context, self._screen = context, Screen(context.terminal)
        self._told, self._when = "", -math.inf

    def show(self, runs: Sequence[Run]) -> None:
        """All of them, where it is new."""
        if self._context.terminal.live:
            names = series_shown(runs)
            head = ["seed", "state", "step", *names]
            rows = [row[1:] for row in run_rows(runs, names)]
            lines = table(head, rows, self._context.terminal, ["seed", "step", *names])
            self._screen.draw(lines[: self._context.terminal.lines - 2])
            return
        states = counted(run.state for run in runs)
        if states != self._told or time.monotonic() - self._when >= TELL_S:
            self._told, self._when = states, time.monotonic()
            done = sum(run.step for run in runs), sum(run.total_steps for run in runs)
            self._context.say(f"{states}  {done[0]}/{done[1]} steps")

    def end(self, runs: Sequence[Run]) -> None:
        """The whole table, with the ids."""
        if self._context.terminal.live:
            self._screen.draw([])
        show_runs(self._context, runs)
