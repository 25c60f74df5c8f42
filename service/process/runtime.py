"""The resources of a running API: acquired when it starts, released when it ends."""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter

from service import tracing
from service.db.session import Engine, close_engine, make_engine
from service.ingest.reader import ReadLimits
from service.ingest.unfinished_uploads import UnfinishedUploads
from service.process.admission import Admission
from service.process.background import Dispatcher, Reaper
from service.process.connections import Connections
from service.process.file_readers import FileReaders
from service.process.memory import keep_freed_memory
from service.process.messenger import Messenger
from service.process.passwords import Passwords
from service.process.provider import Provider
from service.process.readiness import Readiness
from service.process.refusals import Refusals
from service.process.request_rates import RateLimiter
from service.process.response_cache import ResponseCache
from service.process.scrapers import Scrapers
from service.process.shutdown import set_on_signal
from service.process.study_mover import StudyMover
from service.process.tasks import BackgroundThread
from service.process.upkeep import KeyUse, Upkeep
from service.process.wrong_keys import WrongKeyLimit
from service.settings import Settings
from service.spec.parse.presets import presets
from service.streaming.broadcaster import Broadcaster
from service.streaming.limits import StreamLimits

ROUTE_CONNECTIONS, KEY_THREADS, STREAM_THREADS = 16, 4, 4  # database connections in use at once
FILE_THREADS, CHECKPOINT_THREADS = 4, 4  # threads that write uploads, and that read checkpoints
MESSAGE_THREADS = 4  # tests of channels, each of which waits for a receiver
UPLOADS = 64  # that arrive or are read at once, each with up to 1 MiB in memory


@dataclass
class Runtime:
    """One per process. The limits bound who may hold a database connection, so no thread ever waits for one."""

    settings: Settings
    engine: Engine
    readiness: Readiness
    dispatcher: Dispatcher
    broadcaster: Broadcaster
    stream_limits: StreamLimits
    connections: Connections
    key_use: KeyUse
    refusals: Refusals
    admission: Admission
    key_rates: RateLimiter
    address_rates: RateLimiter
    file_readers: FileReaders
    unfinished_uploads: UnfinishedUploads
    threads: Sequence[BackgroundThread]
    shed: Counter[str] = field(default_factory=Counter)  # requests refused at the door, by code
    scrapers: Scrapers = field(default_factory=Scrapers)
    wrong_keys: WrongKeyLimit = field(default_factory=WrongKeyLimit)
    passwords: Passwords = field(default_factory=Passwords)
    provider: Provider = field(init=False)
    response_cache: ResponseCache = field(default_factory=ResponseCache)
    shutting_down: anyio.Event = field(default_factory=anyio.Event)  # streams end when it is set
    route_slots: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(ROUTE_CONNECTIONS))
    key_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(KEY_THREADS))
    stream_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STREAM_THREADS))
    file_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(FILE_THREADS))
    checkpoint_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECKPOINT_THREADS))
    message_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MESSAGE_THREADS))
    upload_slots: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(UPLOADS))

    def __post_init__(self) -> None:
        self.provider = Provider(self.settings)


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Start the runtime and its threads; raise `SchemaMismatch` if the database has another schema."""
    keep_freed_memory()
    engine = make_engine(settings.database_url, pool_size=ROUTE_CONNECTIONS, name="saddle-api", turns=settings.turns)
    try:
        presets()  # builds pydantic's validators before the first request
        stopping = threading.Event()
        dispatcher = Dispatcher(engine, settings, stopping)
        key_use, refusals = KeyUse(), Refusals()
        threads: list[BackgroundThread] = [
            *(dispatcher, Reaper(engine, settings, stopping), Upkeep(engine, settings, key_use, refusals, stopping)),
            *(Messenger(engine, settings, stopping), StudyMover(engine, settings, dispatcher, stopping)),
        ]
        readiness = Readiness(engine, stopping, threads)
        await anyio.to_thread.run_sync(readiness.begin)
        broadcaster = Broadcaster(engine, settings.sse_poll_s)
        connections, admission = Connections(settings), Admission(settings.requests_at_once)
        readers = FileReaders(_read_limits(settings))
        runtime = Runtime(
            settings,
            engine,
            readiness,
            dispatcher,
            broadcaster,
            StreamLimits(settings.streams_per_key, min(settings.streams, connections.most // 2)),
            connections,
            key_use,
            refusals,
            admission,
            RateLimiter(settings.requests_per_key),
            RateLimiter(settings.requests_per_address),
            readers,
            _unfinished_uploads(settings),
            threads,
        )
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(broadcaster.run, runtime.shutting_down)
                tasks.start_soon(connections.watch, runtime.shutting_down)
                tasks.start_soon(admission.probe, runtime.shutting_down)
                with set_on_signal(runtime.shutting_down):
                    yield runtime
                runtime.shutting_down.set()
        finally:
            runtime.shutting_down.set()
            readers.close()
            stopping.set()
            dispatcher.wake_up()
            for thread in (readiness, *threads):
                if thread.is_alive():
                    await anyio.to_thread.run_sync(thread.join, 1.0)
    finally:
        close_engine(engine)
        await anyio.to_thread.run_sync(tracing.stop)


def _read_limits(settings: Settings) -> ReadLimits:
    return ReadLimits(settings.read_bytes, settings.read_cells, settings.read_s, settings.read_memory_bytes)


def _unfinished_uploads(settings: Settings) -> UnfinishedUploads:
    most = max(settings.unfinished_bytes, settings.upload_bytes)  # one file always has room
    return UnfinishedUploads(settings.dataset_dir, settings.unfinished_uploads, most)
