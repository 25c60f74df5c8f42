"""What a running API holds: made when it starts, given back when it ends."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter

from service.db.session import Engine, make_engine
from service.process.background import Dispatcher, Reaper
from service.process.memory import keep_freed_memory
from service.process.readiness import Readiness
from service.process.response_cache import ResponseCache
from service.process.shutdown import set_on_signal
from service.settings import Settings
from service.spec.parse.presets import presets
from service.streaming.broadcaster import Broadcaster
from service.streaming.limits import StreamLimits

ROUTES, KEYS, STREAMS = 16, 4, 4  # connections that may be in use at once; the engine has twice ROUTES
FILES, CHECKPOINTS = 4, 4  # threads that write uploads, and that read checkpoints
READERS = 2  # uploads that are read at once: each may take some 100 MiB


@dataclass
class Runtime:
    """One per process. Each limit is on who may hold a connection, so that nobody ever waits for one in a thread."""

    settings: Settings
    engine: Engine
    readiness: Readiness
    dispatcher: Dispatcher
    broadcaster: Broadcaster
    stream_limits: StreamLimits
    response_cache: ResponseCache = field(default_factory=ResponseCache)
    shutting_down: anyio.Event = field(default_factory=anyio.Event)  # streams end when it is set
    route_slots: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(ROUTES))
    key_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(KEYS))
    stream_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAMS))  # readers who look alone
    file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILES))
    checkpoint_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECKPOINTS))
    file_readers: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(READERS))


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime with its threads; `SchemaMismatch` where the database answers and is not at this program's schema."""
    keep_freed_memory()
    engine = make_engine(settings.database_url, pool_size=ROUTES, name="saddle-api")
    try:
        presets()  # reads real specs once, so that pydantic's validators are built before the first request
        stopping = threading.Event()
        dispatcher = Dispatcher(engine, settings, stopping)
        threads = [dispatcher, Reaper(engine, settings, stopping)]
        readiness = Readiness(engine, stopping, threads)
        await anyio.to_thread.run_sync(readiness.begin)
        broadcaster = Broadcaster(engine, settings.sse_poll_s)
        runtime = Runtime(settings, engine, readiness, dispatcher, broadcaster, StreamLimits(settings.streams_per_key))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(broadcaster.run, runtime.shutting_down)
                with set_on_signal(runtime.shutting_down):
                    yield runtime
                runtime.shutting_down.set()
        finally:
            runtime.shutting_down.set()
            stopping.set()
            dispatcher.wake_up()
            for thread in (readiness, *threads):
                if thread.is_alive():
                    await anyio.to_thread.run_sync(thread.join, 1.0)
    finally:
        engine.dispose()
