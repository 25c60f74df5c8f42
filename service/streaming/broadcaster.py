"""One poller a process: it looks for news of all followed runs and projects at once, and hands them to every reader.

What it hands out are steps of a position, so a reader can tell whether one follows on what it has; where not (it came
late, it was cut back) it looks for itself and is in step again. Nothing is missed or doubled whatever the timing.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from service.db.access.projects import Principal
from service.db.runs import stream_queries
from service.db.runs.stream_queries import Head, ProjectEvent
from service.db.session import Connection, Engine, snapshot
from service.diagnosis.diagnose_run import Opinion, opinion_of
from service.errors import SaddleError
from service.lifecycle import TERMINAL
from service.nonfinite import dumps
from service.streaming.messages import ProjectPosition, written
from service.streaming.position import EVENTS, STEPS, News, Position, columns, news_of

WAITING = 64  # portions a reader may be behind before it is dropped
LET_GO_S = 5.0  # a reader that does not even take the reason is cut off
PATIENCE_S = 2.0  # for the look that is under way when the process ends
JUDGED_S = 5.0  # between two rounds of asking the rules
KEYS_S = 0.5  # between two looks which keys still open
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """A message, written once for all readers. It follows on `before`; `after` is where its reader is then."""

    before: Any
    after: Any
    text: str
    last: bool = False


@dataclass(frozen=True)
class Portion:
    """What one look found for a channel, and how far the channel is.

    `fresh`: the channel's first look, so a reader may have looked before it; `over`: nothing will follow.
    """

    told: Sequence[Told]
    head: Any
    fresh: bool = False
    over: bool = False


@dataclass(eq=False)
class Reader:
    """One open stream."""

    principal: Principal
    send: MemoryObjectSendStream[Portion]
    receive: MemoryObjectReceiveStream[Portion]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    dropped: str | None = None  # why


@dataclass(eq=False)
class Channel:
    """The readers of one run or project, and how far they were told; None before the first look."""

    readers: set[Reader] = field(default_factory=set)
    at: Any = None
    judged: Any = None  # where it was when the rules were asked, and what they said
    opinion: Opinion | None = None


class Hub:
    """Followed runs and projects by id. All but `_look` happens in the event loop's own thread."""

    def __init__(self, engine: Engine, every_s: float) -> None:
        self._engine, self._every_s = engine, every_s
        self._looking = anyio.Lock()
        self._runs: dict[str, Channel] = {}
        self._projects: dict[str, Channel] = {}
        self._keys_asked = 0.0
        self._over = False
        self._awake = anyio.Event()
        self._seen: dict[str, dict[str, dict[str, Any]]] = {}  # of projects: what was told of each run

    def follow(self, run_id: str, principal: Principal) -> Reader:
        """A reader of a run, which it may see; give it back with `leave`."""
        reader = self._join(self._runs, run_id, principal)
        channel = self._runs[run_id]
        if channel.opinion is not None:
            self._hand_out([reader], Portion([Told(None, None, channel.opinion.text)], channel.at))
        return reader

    def follow_project(self, principal: Principal) -> Reader:
        """A reader of a project."""
        self._seen.pop(principal.project_id, None)  # so that it hears of all that runs; the others hear it again
        return self._join(self._projects, principal.project_id, principal)

    def _join(self, channels: dict[str, Channel], name: str, principal: Principal) -> Reader:
        send, receive = anyio.create_memory_object_stream[Portion](WAITING)
        reader = Reader(principal, send, receive)
        channels.setdefault(name, Channel()).readers.add(reader)
        self._awake.set()
        if self._over:
            self._drop(reader, "ending")
        return reader

    def leave(self, reader: Reader) -> None:
        """The reader is gone."""
        for channels in (self._runs, self._projects):
            for name in [name for name, channel in channels.items() if reader in channel.readers]:
                channels[name].readers.discard(reader)
                if not channels[name].readers:
                    del channels[name]
        reader.send.close()
        reader.receive.close()

    async def run(self, closing: anyio.Event) -> None:
        """Until the process ends; then every stream ends, whatever Postgres does."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._poll)
            tasks.start_soon(self._judge)
            await closing.wait()
            self._over = True
            for reader in self._everyone():
                self._drop(reader, "ending")
            with anyio.move_on_after(PATIENCE_S):  # a look under way gives its connection back
                await self._looking.acquire()
            tasks.cancel_scope.cancel()

    async def _poll(self) -> None:
        while True:
            if not (self._runs or self._projects):
                self._awake = anyio.Event()
                await self._awake.wait()
            began = time.monotonic()
            await self._once()
            await anyio.sleep(max(self._every_s - (time.monotonic() - began), 0))

    async def _judge(self) -> None:
        """Round after round, one run at a time, and a tenth of the time at most: what was found is no urgent news."""
        while True:
            began = time.monotonic()
            for run_id, channel in list(self._runs.items()):
                if channel.readers and channel.at is not None and channel.at != channel.judged:
                    await self._ask_the_rules(run_id, channel)
            took = time.monotonic() - began
            await anyio.sleep(max(JUDGED_S, 9 * took))

    async def _ask_the_rules(self, run_id: str, channel: Channel) -> None:
        """Its readers hear what was found, unless it is what they heard before."""
        at, principal = channel.at, next(iter(channel.readers)).principal
        try:
            opinion = await anyio.to_thread.run_sync(
                opinion_of, self._engine, principal, run_id, abandon_on_cancel=True
            )
        except SaddleError as error:
            log.warning("the rules could not be asked: %s", error)
            return
        except Exception:  # one run that the rules stumble over leaves the others theirs
            log.exception("the rules failed")
            channel.judged = at
            return
        told, channel.judged = channel.opinion, at
        if told is None or told.found != opinion.found:
            channel.opinion = opinion
            self._hand_out(channel.readers, Portion([Told(None, None, opinion.text)], at))

    async def _once(self) -> None:
        """One look, and its news to everybody; a look that fails is made again later."""
        runs = {run_id: channel.at for run_id, channel in self._runs.items()}
        projects = {name: channel.at for name, channel in self._projects.items()}
        keys = {reader.principal.key_id for reader in self._everyone()} if self._keys_due() else set()
        try:
            async with self._looking:
                found = await anyio.to_thread.run_sync(self._look, runs, projects, keys, abandon_on_cancel=True)
        except SaddleError as error:
            log.warning("the poller could not look: %s", error)
            return
        except Exception:  # a poller that died would leave every stream silent
            log.exception("the poller failed")
            return
        for channels, portions in ((self._runs, found.runs), (self._projects, found.projects)):
            for name, portion in portions.items():
                if name in channels:
                    channels[name].at = portion.head
                    self._hand_out(channels[name].readers, portion)
        for reader in self._everyone():
            if reader.principal.key_id in found.revoked:
                self._drop(reader, "revoked")

    def _keys_due(self) -> bool:
        due = time.monotonic() - self._keys_asked >= KEYS_S
        if due:
            self._keys_asked = time.monotonic()
        return due

    def _everyone(self) -> list[Reader]:
        channels = [*self._runs.values(), *self._projects.values()]
        return [reader for channel in channels for reader in channel.readers]

    def _hand_out(self, readers: Iterable[Reader], portion: Portion) -> None:
        for reader in readers:
            if reader.dropped is None:
                try:
                    reader.send.send_nowait(portion)
                except anyio.WouldBlock:
                    self._drop(reader, "slow")

    def _drop(self, reader: Reader, reason: str) -> None:
        """It hears the reason if it still listens; what waits for it is let go."""
        if reader.dropped is None:
            reader.dropped = reason
            while True:
                try:
                    reader.receive.receive_nowait()
                except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                    break
            reader.send.close()
            reader.scope.deadline = anyio.current_time() + LET_GO_S

    def _look(self, runs: dict[str, Any], projects: dict[str, Any], keys: set[str]) -> "Found":
        """In a thread, from one snapshot."""
        with snapshot(self._engine) as connection:
            revoked = keys - stream_queries.open_keys(connection, list(keys)) if keys else set()
            followed = run_portions(connection, runs) if runs else {}
            return Found(followed, self._project_portions(connection, projects) if projects else {}, revoked)

    def _project_portions(self, connection: Connection, at: dict[str, ProjectPosition | None]) -> dict[str, Portion]:
        before = stream_queries.horizon(connection)
        newest = ProjectPosition(before, 0)
        known = [(name, *position) for name, position in at.items() if position is not None]
        found = stream_queries.of_projects(connection, known, before, EVENTS) if known else {}
        now = stream_queries.running(connection, list(at))
        portions: dict[str, Portion] = {}
        for name, position in at.items():
            told = [project_told(each) for each in found.get(name, ())]
            head = newest if len(told) < EVENTS else told[-1].after
            changed = [run for run_id, run in now.get(name, {}).items() if self._seen.get(name, {}).get(run_id) != run]
            self._seen[name] = now.get(name, {})
            if changed:
                told.append(Told(None, None, f"event: runs\ndata: {dumps({'runs': changed})}\n\n"))
            if told or position is None:
                portions[name] = Portion(told, head, fresh=position is None)
        return portions


@dataclass(frozen=True)
class Found:
    """What one look found, by id."""

    runs: dict[str, Portion]
    projects: dict[str, Portion]
    revoked: set[str]


def run_portions(connection: Connection, at: dict[str, Position | None]) -> dict[str, Portion]:
    """For each followed run what has happened since its position; nothing for those where nothing has."""
    heads = stream_queries.heads(connection, list(at))
    portions: dict[str, Portion] = {run_id: Portion([], None, over=True) for run_id in at if run_id not in heads}
    new = {run_id: heads[run_id] for run_id, position in at.items() if run_id in heads and position is None}
    for run_id, head in new.items():
        portions[run_id] = Portion([], Position(head.event, head.step))
    old = [(run_id, position) for run_id, position in at.items() if run_id in heads and position is not None]
    moved = {run_id: (heads[run_id], position) for run_id, position in old if _moved(heads[run_id], position)}
    known = [(run_id, position.event) for run_id, (_, position) in moved.items()]
    events = stream_queries.events(connection, known, EVENTS) if known else {}
    told: dict[str, list[News]] = {}
    spans = []
    for run_id, (head, position) in moved.items():
        told[run_id] = list(news_of(events.get(run_id, ()), position))
        after = told[run_id][-1].position if told[run_id] else position
        if len(events.get(run_id, ())) < EVENTS and head.step > after.step:
            spans.append((run_id, after.step + 1, min(head.step, after.step + STEPS)))
    points = stream_queries.points(connection, spans) if spans else {}
    upto = {run_id: last for run_id, _, last in spans}
    for run_id, (head, position) in moved.items():
        portions[run_id] = _portion(head, position, told[run_id], points.get(run_id, {}), upto.get(run_id))
    return portions


def _moved(head: Head, position: Position) -> bool:
    return head.event > position.event or head.step != position.step or head.state in TERMINAL


def _portion(head: Head, position: Position, told: list[News], points: dict[str, Any], upto: int | None) -> Portion:
    at = told[-1].position if told else position
    if upto is not None:
        at = Position(at.event, upto)
        if points:
            told.append(News("points", {"series": columns(points), "upto": upto}, at))
    if head.state in TERMINAL and at.step >= head.step and at.event == head.event:
        told.append(News("end", {"state": head.state.value}, at))
    messages, before = [], position
    for each in told:
        messages.append(Told(before, each.position, written(each.kind, each.data, each.position), each.kind == "end"))
        before = each.position
    return Portion(messages, at)


def project_told(each: ProjectEvent) -> Told:
    """An event of a project as its message."""
    position = ProjectPosition(each.xid, each.event.id)
    data = {
        "run_id": each.event.run_id,
        "experiment_id": each.experiment_id,
        **each.event.data,
        "at": each.event.at.isoformat(),
    }
    return Told(None, position, written(each.event.kind, data, position))
