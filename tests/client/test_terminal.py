import io
import unicodedata
from typing import Any, cast

import numpy as np
import pytest

from service.client import answers
from service.client.chart import Line, chart
from service.client.client import Client
from service.client.commands.context import Context
from service.client.commands.progress import RunProgress
from service.client.following import Event, Message, read_messages
from service.client.table import Cell, interval_bar, table
from service.client.terminal import Terminal, fitted, plain, width_of


def terminal(columns: int = 80, encoding: str = "utf-8", tty: bool = True, **environment: str) -> Terminal:
    class Out(io.TextIOWrapper):
        def isatty(self) -> bool:
            return tty

    return Terminal(Out(io.BytesIO(), encoding=encoding), {"COLUMNS": str(columns), **environment})


def test_nothing_that_commands_a_terminal_is_left() -> None:
    hostile = "a\x1b[2J\x9b31m\x07\r\n\t\u202eb\u200b\u2028\udc80\x7f"
    shown = plain(hostile)
    assert shown == "a\\x1b[2J\\x9b31m\\x07\\x0d\\x0a\\x09\\u202eb\\u200b\\u2028\\udc80\\x7f"
    assert plain("Größe 学習 é") == "Größe 学習 é"
    joined = "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e \U0001fae8"
    assert plain(joined) == joined, "what names may hold is shown"


def test_widths_count_what_is_seen() -> None:
    assert width_of("学習") == 4
    assert width_of("e\u0301") == 1
    assert width_of("\u0645\u06cc\u200c\u062e") == 3
    assert width_of("\x1b[31mred\x1b[0m") == 3
    assert fitted("学習する", 5) == "学習~"
    assert fitted("short", 5) == "short"


@pytest.mark.parametrize("columns", [20, 30, 41, 60, 100])
def test_a_table_fits_and_cuts_no_number(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [
        ["a rather long name of an experiment", 1234.5678, Cell("running", "cyan"), 0.1],
        ["学習" * 9, None, "x", 2.0],
    ]
    lines = table(["name", "loss", "state", "lr"], rows, terminal(), ["loss", "lr"])
    assert len(lines) == 3
    assert all(width_of(line) <= columns for line in lines)
    assert "1235" in lines[1]
    assert "~" not in lines[1] or not lines[1].split("~")[0][-1].isdigit()


def test_no_color_means_none() -> None:
    assert terminal().colour("x", "red") == "\x1b[31mx\x1b[0m"
    assert terminal(NO_COLOR="1").colour("x", "red") == "x"
    assert terminal(tty=False).colour("x", "red") == "x"
    assert terminal(TERM="dumb").colour("x", "red") == "x"


@pytest.mark.parametrize("tty", [True, False])
def test_what_the_rules_find_is_told_while_it_is_found(tty: bool) -> None:
    out = terminal(tty=tty, NO_COLOR="1")
    raw = cast(io.BytesIO, out.out.buffer)
    run = answers.run({"id": "run_1", "seed": 0, "state": "running", "step": 0, "total_steps": 10})
    progress = RunProgress(Context(Client("http://127.0.0.1:1", "key"), terminal=out), run)

    def shown(level: str, headline: str) -> str:
        at = len(raw.getvalue())
        progress._shown_at = float("-inf")  # as if the last drawing were long ago
        data: dict[str, Any] = {"step": 5, "level": level, "headline": headline, "findings": []}
        progress.add(Event("diagnosis", "", data))
        out.out.flush()
        return raw.getvalue()[at:].decode()

    told = shown("fault", "the rate is too high\x1b[2J")
    assert "the rate is too high\\x1b[2J" in told
    assert told.count("fault") == 1
    assert "\x1b[2J" not in told
    assert "fault" not in shown("healthy", "nothing is wrong")


def test_rates_of_parameter_groups_are_shown_in_place_of_one() -> None:
    out = terminal(tty=False)
    run = answers.run({"id": "run_1", "seed": 0, "state": "running", "step": 0, "total_steps": 10})
    progress = RunProgress(Context(Client("http://127.0.0.1:1", "key"), terminal=out), run)

    def line(**rates: float) -> list[str]:
        series = {name.replace("_", "/"): {"step": [1], "value": [rate]} for name, rate in rates.items()}
        progress.add(Event("points", "", {"series": series, "upto": 1}))
        return progress._line().split("  ")[1:]

    assert line(loss=0.5, lr=0.1) == ["loss 0.5", "lr 0.1"]
    assert line(lr_head=0.1, lr_body=0.01) == ["loss 0.5", "lr/body 0.01", "lr/head 0.1"]


def test_a_chart_keeps_spikes_and_its_frame() -> None:
    y = np.full(10_000, 1.0)
    y[7_000] = 9.0
    drawn = chart([Line("loss", np.arange(1, 10_001), y)], terminal(), 60, 6)
    assert len(drawn) == 7
    assert all(width_of(line) <= 60 for line in drawn)
    assert drawn[0].split()[0] == "9"
    assert any(0x2800 < ord(c) <= 0x28FF for c in drawn[0])  # the one spike
    assert drawn[-1].split() == ["1", "10000"]


def test_a_chart_survives_what_training_yields() -> None:
    x = np.arange(1, 6)
    for values in (
        [np.nan] * 5,
        [1.0] * 5,
        [1, np.inf, np.nan, -np.inf, 2],
        [-1e308, 1e308, 0, 1, 2],
        [1e-300, 1, 1e300, 2, 3],
    ):
        y = np.array(values)
        for line in chart([Line("a\x1b[2J", x, y), Line("b", x, y * 0.5)], terminal(), 40):
            assert width_of(line) <= 40
            assert not [c for c in line.replace("\x1b[", "") if unicodedata.category(c) == "Cc"]
    assert chart([], terminal(), 40) == []


def test_without_unicode_a_chart_is_ascii() -> None:
    plain_terminal = terminal(encoding="ascii")
    drawn = chart(
        [Line("a", np.arange(9), np.arange(9.0)), Line("b", np.arange(9), np.arange(9.0)[::-1])], plain_terminal, 40
    )
    assert "".join(drawn).replace("\x1b", "").isascii()
    assert interval_bar((1.0, 2.0, 3.0), (0.0, 4.0), 9, plain_terminal) == "  [-o-]"


def test_intervals_lie_on_their_scale() -> None:
    assert interval_bar((0.0, 2.0, 4.0), (0.0, 4.0), 9, terminal()) == "├───●───┤"
    assert interval_bar((None, 4.0, None), (0.0, 4.0), 9, terminal()) == "        ●"
    assert interval_bar((None, None, None), (0.0, 4.0), 9, terminal()) == ""


def test_server_sent_events_are_read_as_the_standard_says() -> None:
    lines = [
        "retry: 1000",
        "",
        ": alive",
        "",
        "id: 1.2",
        "event: points",
        "data: {",
        "data:}",
        "",
        "data: x",
        "",
        "id: 9",
        "data: cut off",
    ]
    assert list(read_messages(lines)) == [Message("1.2", "points", "{\n}"), Message("1.2", "message", "x")]
