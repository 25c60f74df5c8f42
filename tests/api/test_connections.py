"""Connections to a real server: slow ones end, large heads are refused, and idle ones lock nobody out."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from service.process import connections
from service.settings import Settings

LIMITS = {"head_s": 0.4, "body_s": 0.4, "idle_s": 1.0, "connections": 16}
GET = b"GET /v1/livez HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(connections, "EVERY_S", 0.05)
    return settings.model_copy(update=LIMITS)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def connect(live: str, stack: ExitStack) -> socket.socket:
    place = urlsplit(live)
    return stack.enter_context(socket.create_connection((place.hostname, place.port), 10))


def status(line: socket.socket) -> int:
    """The status of the next answer, read to its end: a head and its body may come in two pieces."""
    answer = HTTPResponse(line)
    answer.begin()
    answer.read()
    return answer.status


def rest(line: socket.socket) -> tuple[bytes, float]:
    """What still comes until the server closes, and after how many seconds that was."""
    began, found = time.monotonic(), b""
    try:
        while piece := line.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found, time.monotonic() - began


def dribble(line: socket.socket) -> float:
    """Send a byte now and then until the connection is closed; return the seconds that took."""
    began = time.monotonic()
    line.settimeout(0.05)
    while time.monotonic() - began < 10:
        try:
            line.sendall(b"b")
            if line.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer
    return json.loads(body)["status"], json.loads(body)["code"]


@pytest.mark.parametrize("sent", [b"", b"GE", GET + b"X-A: ", GET.replace(b"1.1", b"1.0") + b"X-A: "])
def test_a_head_has_a_time_whether_bytes_come_or_not(live: str, stack: ExitStack, sent: bytes) -> None:
    silent, slow = connect(live, stack), connect(live, stack)
    silent.sendall(sent)
    slow.sendall(sent)
    found, took = rest(silent)
    assert found == b""
    assert 0.3 < took < 2
    assert dribble(slow) < 2


def test_a_body_that_stalls_is_answered_and_closed(live: str, stack: ExitStack) -> None:
    line = connect(live, stack)
    line.sendall(POST + b"Content-Length: 100\r\n\r\n{")
    found, took = rest(line)
    assert problem(found) == (408, "timeout")
    assert 0.3 < took < 2


def test_a_body_that_nobody_reads_has_an_end(live: str, stack: ExitStack) -> None:
    line = connect(live, stack)
    line.sendall(POST.replace(b"session", b"runs") + b"Content-Length: 1000000\r\n\r\n")
    assert status(line) == 401
    assert dribble(line) < 3


def test_a_connection_serves_again_and_idles_for_its_time(live: str, stack: ExitStack) -> None:
    line = connect(live, stack)
    for _ in range(3):
        line.sendall(GET + b"\r\n")
        assert status(line) == 200
        time.sleep(0.5)  # longer than a head may take
    found, took = rest(line)
    assert found == b""
    assert took < 2


@pytest.mark.parametrize(("extra", "expected"), [(0, 200), (1, 431)])
def test_a_head_has_a_size_and_a_number_of_headers(live: str, stack: ExitStack, extra: int, expected: int) -> None:
    many = connect(live, stack)
    many.sendall(GET + b"".join(b"X-%d: y\r\n" % each for each in range(99 + extra)) + b"\r\n")
    assert status(many) == expected
    long = connect(live, stack)
    long.sendall(GET + b"X: " + b"y" * (60_000 + extra * 10_000) + b"\r\n\r\n")
    assert status(long) == expected


def test_a_header_without_an_end_is_not_collected(live: str, stack: ExitStack) -> None:
    line = connect(live, stack)
    line.sendall(GET + b"X: ")
    sent = 0
    with suppress(OSError):
        while sent < 1_000_000:
            line.sendall(b"y" * 1000)
            sent += 1000
            time.sleep(0.0005)
    assert sent < 500_000, "the server closed"


def test_what_is_no_http_is_answered_with_a_problem(live: str, stack: ExitStack) -> None:
    line = connect(live, stack)
    line.sendall(b"\x16\x03\x01 nothing\r\n\r\n")
    assert problem(rest(line)[0]) == (400, "malformed")


def test_idle_connections_lock_nobody_out(live: str, stack: ExitStack) -> None:
    opened = [connect(live, stack) for _ in range(40)]
    began = time.monotonic()
    assert httpx.get(f"{live}/v1/livez", timeout=5).status_code == 200
    assert time.monotonic() - began < 2
    assert len(opened) > LIMITS["connections"]
