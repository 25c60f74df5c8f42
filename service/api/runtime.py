"""What a running API holds: made when it starts, given back when it ends."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter

from service.db.session import Engine, make_engine
from service.process.background import Dispatcher, Reaper
from service.process.memory import keep_pages
from service.process.readiness import Beginning
from service.process.response_cache import Answers
from service.process.shutdown import told_to_end
from service.settings import Settings
from service.spec.parse.preset_loader import presets
from service.streaming.broadcaster import Hub
from service.streaming.limits import StreamSlots

ROUTES, KEYS, STREAMS = 16, 4, 4  # connections that may be in use at once; the engine has twice ROUTES
FILES, CHECKPOINTS = 4, 4  # threads that write uploads, and that read checkpoints
READERS = 2  # uploads that are read at once: each may take some 100 MiB


@dataclass
class Runtime:
    """One per process. Each limit is on who may hold a connection, so that nobody ever waits for one in a thread."""

    settings: Settings
    engine: Engine
    beginning: Beginning
    dispatcher: Dispatcher
    hub: Hub
    streams: StreamSlots
    answers: Answers = field(default_factory=Answers)
    closing: anyio.Event = field(default_factory=anyio.Event)  # set when the process shall end: streams end too
    route_slots: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(ROUTES))
    key_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(KEYS))
    stream_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAMS))  # readers who look alone
    file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILES))
    checkpoint_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECKPOINTS))
    file_readers: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(READERS))


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime with its threads; `SchemaMismatch` where the database answers and is not at this program's schema."""
    keep_pages()
    engine = make_engine(settings.database_url, pool_size=ROUTES, name="saddle-api")
    try:
        presets()  # reads real specs once, so that pydantic's validators are built before the first request
        ending = threading.Event()
        dispatcher = Dispatcher(engine, settings, ending)
        threads = [dispatcher, Reaper(engine, settings, ending)]
        beginning = Beginning(engine, ending, threads)
        await anyio.to_thread.run_sync(beginning.begin)
        hub = Hub(engine, settings.sse_poll_s)
        runtime = Runtime(settings, engine, beginning, dispatcher, hub, StreamSlots(settings.streams_per_key))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.run, runtime.closing)
                with told_to_end(runtime.closing):
                    yield runtime
                runtime.closing.set()
        finally:
            runtime.closing.set()
            ending.set()
            dispatcher.wake_up()
            for thread in (beginning, *threads):
                if thread.is_alive():
                    await anyio.to_thread.run_sync(thread.join, 1.0)
    finally:
        engine.dispose()
