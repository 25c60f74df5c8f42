"""What Prometheus reads of a process and of the server: `GET /metrics`.

The database's figures are kept for a few seconds, and a scrape waits for them no longer than `PATIENCE_S`: where the
database does not answer, they are missing and `saddle_database_up` is 0.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import anyio
from anyio import CapacityLimiter
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.db.monitoring import Figure, Seen, connections_in_use, counted_since, present_figures
from service.db.session import autocommit
from service.errors import SaddleError
from service.process.runtime import Runtime
from service.storage.disk import free_bytes

KEPT_S, PATIENCE_S = 5.0, 2.0
GAUGES = {  # figure -> metric, labels, what it says
    "runs": ("saddle_runs", ("pool", "state"), "Runs that have not ended."),
    "oldest_waiting": ("saddle_oldest_waiting_run_seconds", ("pool",), "How long the longest waiting run has waited."),
    "workers": (
        "saddle_workers",
        ("pool", "state"),
        "Slots of workers; silent: without a sign of life for two minutes.",
    ),
    "messages_waiting": ("saddle_outbox_waiting", (), "Messages that have not been taken yet."),
    "messages_retrying": ("saddle_outbox_retrying", (), "Those of them that no receiver took at the first attempt."),
    "channels_failing": ("saddle_channels_failing", (), "Channels whose last message was not taken."),
    "database_connections": ("saddle_database_connections", (), "Connections of all programs to the database."),
    "database_bytes": ("saddle_database_size_bytes", (), "Size of the database on its disk."),
}
ENDINGS = ("succeeded", "failed", "cancelled")
SHED = ("rate_limited", "overloaded")


class Monitoring(Collector):
    """The figures of one process, and those of the database as this process last read them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._figures: list[Figure] = []
        self._up, self._read_at = False, float("-inf")
        self._seen, self._counts = Seen(), Counter[tuple[str, str]]()
        self._limiter = CapacityLimiter(1)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    async def scrape(self) -> bytes:
        """Return everything as Prometheus's text format has it."""
        if time.monotonic() - self._read_at > KEPT_S:
            found: list[Figure] | None = None
            with anyio.move_on_after(PATIENCE_S):
                found = await anyio.to_thread.run_sync(self._read, limiter=self._limiter, abandon_on_cancel=True)
            self._up, self._figures = found is not None, found or []
            self._read_at = time.monotonic() if self._up else float("-inf")
        return await anyio.to_thread.run_sync(generate_latest, self.registry)

    def _read(self) -> list[Figure] | None:
        """Return the present figures and count what has happened; None if the database did not answer."""
        try:
            with autocommit(self._runtime.engine) as connection:
                found = present_figures(connection)
                for each in counted_since(connection, self._seen):
                    self._counts[each.name, "".join(each.labels)] += int(each.value)
        except SaddleError:
            return None
        return found

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; prometheus_client asks for them."""
        yield from self._of_process()
        yield from self._of_threads()
        yield GaugeMetricFamily("saddle_database_up", "Whether the database answered this scrape.", float(self._up))
        for name, (metric, labels, says) in GAUGES.items():
            family = GaugeMetricFamily(metric, says, labels=labels)
            for each in self._figures:
                if each.name == name:
                    family.add_metric(each.labels, each.value)
            yield family
        yield self._counter("saddle_runs_ended", "Runs that have ended.", "ended", "state", ENDINGS)
        for name, says in {
            "lost": "Attempts that ended with their worker.",
            "preempted": "Runs that were asked to make way.",
        }.items():
            yield CounterMetricFamily(f"saddle_runs_{name}", says, self._counts[name, ""])
        yield CounterMetricFamily("saddle_points_written", "Values of series.", self._counts["points", ""])

    def _counter(self, metric: str, says: str, name: str, label: str, values: Sequence[str]) -> Metric:
        family = CounterMetricFamily(metric, says, labels=[label])
        for value in values:
            family.add_metric([value], self._counts[name, value])
        return family

    def _of_process(self) -> Iterator[Metric]:
        runtime, settings = self._runtime, self._runtime.settings
        in_use, most = connections_in_use(runtime.engine)
        for metric, says, value in (
            ("saddle_database_pool_in_use", "Connections to the database that this process uses.", in_use),
            ("saddle_database_pool_size", "The most it may have.", most),
            ("saddle_streams_open", "Live streams.", runtime.stream_limits.total),
            ("saddle_connections_open", "Connections of clients.", len(runtime.connections)),
            ("saddle_requests_working", "Requests that this process works for.", runtime.admission.working),
            ("saddle_requests_room", "How many it would take on at its present pace.", runtime.admission.room),
            ("saddle_disk_free_bytes", "Free on the disk of the data folder.", free_bytes(settings.data_dir)),
            ("saddle_disk_reserve_bytes", "Below this no upload enters.", settings.disk_reserve_bytes),
        ):
            yield GaugeMetricFamily(metric, says, float(value))
        shed = CounterMetricFamily("saddle_requests_shed", "Requests refused at the door.", labels=["code"])
        for code in SHED:
            shed.add_metric([code], runtime.shed[code])
        yield shed
        if settings.broker_url is not None:
            says = "Whether the broker took the last notification."
            yield GaugeMetricFamily("saddle_broker_up", says, float(runtime.dispatcher.broker == "answers"))

    def _of_threads(self) -> Iterator[Metric]:
        says = "When a task of the background last succeeded."
        family = GaugeMetricFamily("saddle_background_success_timestamp_seconds", says, labels=["thread", "task"])
        for thread in self._runtime.threads:
            for task, succeeded_at in list(thread.tasks.succeeded_at.items()):
                family.add_metric([thread.name, task], succeeded_at)
        yield family
