"""Following runs: events as they happen, and answers read repeatedly, both across a restart of the server."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from service.client.errors import ClientError, Refused, Unreachable
from service.client.http import Http, wait_s

if TYPE_CHECKING:
    from service.client.arrays import Points

T = TypeVar("T")
PATIENCE_S = 120.0  # without a server, before following is given up
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class Event:
    """One message of a run: `state`, `points`, `cut`, `diagnosis`, `end`, ...; to continue after it, give its id."""

    kind: str
    id: str
    data: dict[str, Any]

    @cached_property
    def points(self) -> "Mapping[str, Points]":
        """Of a message `points`: series name -> new points; NaN and the infinities are themselves."""
        from service.client.arrays import Points  # noqa: PLC0415  numpy takes 0.1 s

        found = self.data.get("series", {}) if self.kind == "points" else {}
        return {name: Points.of(columns) for name, columns in found.items()}


class Message(NamedTuple):
    """A server-sent event; `id` is the last one that was given."""

    id: str
    event: str
    data: str


def read_messages(lines: Iterable[str]) -> Iterator[Message]:
    """Yield server-sent events (HTML standard, 9.2.6), whole ones only: one that is cut off is sent again."""
    last_id, event = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Message(last_id, event or "message", "\n".join(data))
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value


def follow(
    http: Http, run_id: str, since: str = "", begin: str = "start", patience_s: float = PATIENCE_S
) -> Iterator[Event]:
    """Yield every event of a run after the id `since`, until the run's `end`: none is missed, none comes twice."""
    last_id, heard, failures = since, time.monotonic(), 0
    while True:
        query = {"from": begin} if not last_id else None
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        retry_after = None
        try:
            with http.stream(f"/v1/runs/{run_id}/events", query, headers) as answer:
                for message in read_messages(answer.iter_lines()):
                    last_id, heard, failures = message.id or last_id, time.monotonic(), 0
                    yield Event(message.event, message.id, json.loads(message.data))
                    if message.event == "end":
                        return
        except (Unreachable, Refused) as error:
            if not _is_temporary(error) or time.monotonic() - heard > patience_s:
                raise
            retry_after = "2" if isinstance(error, Refused) else None
        time.sleep(wait_s(failures, retry_after))
        failures += 1


def poll(read: Callable[[], T], is_done: Callable[[T], bool], every_s: float = 1.0) -> Iterator[T]:
    """Yield what `read` returns, again and again until it is done; wait `PATIENCE_S` for an absent server."""
    heard = time.monotonic()
    while True:
        try:
            found = read()
        except (Unreachable, Refused) as error:
            if not _is_temporary(error) or time.monotonic() - heard > PATIENCE_S:
                raise
        else:
            yield found
            if is_done(found):
                return
            heard = time.monotonic()
        time.sleep(every_s)


def _is_temporary(error: ClientError) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.http_status == TOO_MANY_REQUESTS)
