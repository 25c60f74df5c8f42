"""Many readers of one run: from a step's flush to each of them, `python -m tests.benchmarks.readers [readers]`.

The clock starts before the flush's transaction and stops when the message has arrived at a reader. With `--restart` the
API is ended half-way, as a deployment ends it, and started again on its port: each reader connects anew with the id of
its last message, as browsers do. Every reader must have been told of every step, once and in order.
"""

import argparse
import asyncio
import re
import resource
import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from service.db.metrics.codec import pack
from service.db.runs import endings, leases
from service.db.session import transaction
from service.lifecycle import State
from tests.benchmarks.filled import claim, submit
from tests.harness.product import Product, product

FLUSHES, STEPS, EVERY_S, AGAIN_S = 40, 50, 0.25, 1.0
POINTS = re.compile(
    rb'id: (\S+)\nevent: points\ndata: \{"series": \{"loss": \{"step": \[(\d+)[^\n]*"upto": (\d+)\}\n\n'
)
ID = re.compile(rb"id: (\S+)\n")


@dataclass
class Heard:
    """What one reader was told."""

    spans: list[tuple[int, int]] = field(default_factory=list)  # first and last step of each message
    arrived: list[tuple[int, float]] = field(default_factory=list)
    last_id: bytes = b""
    connected: int = 0
    back: float = 0.0  # when it was connected last

    @property
    def whole(self) -> bool:
        """Every step, once and in order."""
        ends = [0, *(last for _, last in self.spans)]
        return ends[-1] == FLUSHES * STEPS and all(
            first == end + 1 for (first, _), end in zip(self.spans, ends, strict=False)
        )


async def read(port: int, path: str, key: str, ready: asyncio.Semaphore) -> Heard:
    """One reader, until the run's end."""
    heard = Heard()
    while not await connection(port, path, key, ready, heard):
        await asyncio.sleep(AGAIN_S)
    return heard


async def connection(port: int, path: str, key: str, ready: asyncio.Semaphore, heard: Heard) -> bool:
    """One connection; whether the run's end was told."""
    again = b"Last-Event-ID: " + heard.last_id + b"\r\n" if heard.last_id else b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n".encode() + again + b"\r\n")
        if b" 200 " not in await reader.readline():  # not ready yet: as a client would, ask again in a moment
            writer.close()
            return False
        await reader.readuntil(b"retry: 1000\n\n")
        heard.connected, heard.back = heard.connected + 1, time.perf_counter()
        ready.release()
        rest = b""
        while data := await reader.read(65536):
            now, rest = time.perf_counter(), rest + data
            whole, _, rest = rest.rpartition(b"\n\n")
            for found in POINTS.finditer(whole + b"\n\n"):
                heard.spans.append((int(found[2]), int(found[3])))
                heard.arrived.append((int(found[3]), now))
            if ids := ID.findall(whole):
                heard.last_id = ids[-1]
            if b"event: end" in whole:
                writer.close()
                return True
    except (OSError, asyncio.IncompleteReadError):
        pass
    return False


def train(at: Product, run_id: str, sent: dict[int, float], restart: bool) -> float:
    """Flush after flush; half-way the API is restarted where that is asked: seconds that its end took."""
    held, spent = claim(at.engine), 0.0
    assert held.run_id == run_id
    for flush in range(FLUSHES):
        time.sleep(EVERY_S)
        if restart and flush == FLUSHES // 2:
            spent = at.restart_api()
        steps = np.arange(flush * STEPS + 1, (flush + 1) * STEPS + 1)
        sent[int(steps[-1])] = time.perf_counter()
        with transaction(at.engine) as connected:
            leases.flush(connected, held, {"loss": pack(steps, 1 / steps), "lr": pack(steps, np.full(STEPS, 0.1))})
    with transaction(at.engine) as connected:
        endings.finish(connected, held, State.SUCCEEDED, {})
    return spent


async def follow(at: Product, run_id: str, count: int, restart: bool) -> tuple[list[Heard], dict[int, float], float]:
    """All readers beside the training."""
    sent: dict[int, float] = {}
    ready = asyncio.Semaphore(0)
    port = at.http.base_url.port
    assert port is not None
    path = f"/v1/runs/{run_id}/events"
    readers = [asyncio.create_task(read(port, path, at.key, ready)) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    await asyncio.sleep(2)
    spent = await asyncio.to_thread(train, at, run_id, sent, restart)
    return await asyncio.gather(*readers), sent, spent


def main() -> None:
    """Print the distribution of delays, and whether anybody missed or heard anything twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", type=int, nargs="?", default=1000)
    parser.add_argument("--restart", action="store_true")
    arguments = parser.parse_args()
    count = arguments.readers
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with product(worker=False, SADDLE_STREAMS_PER_KEY=str(count + 1)) as at:
        (run_id,) = submit(at.engine, at.key, 1, FLUSHES * STEPS)
        heard, sent, spent = asyncio.run(follow(at, run_id, count, arguments.restart))
    delays = sorted(now - sent[upto] for each in heard for upto, now in each.arrived if upto in sent)
    print(
        f"{count} readers: median {statistics.median(delays):.3f} s, p99 {delays[int(0.99 * len(delays))]:.3f} s, "
        f"most {delays[-1]:.3f} s; {len(delays)} messages; {sum(each.whole for each in heard)} readers were told of "
        "every step once and in order"
    )
    if arguments.restart:
        again = sum(each.connected == 2 for each in heard)
        last = max(each.back for each in heard) - sent[(FLUSHES // 2 + 1) * STEPS]
        print(f"the API had ended {spent:.2f} s after it was told to; {again} readers connected once more, ", end="")
        print(f"the last of them {last:.1f} s after that")


if __name__ == "__main__":
    main()
