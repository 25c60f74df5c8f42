"""Many readers of one run: from a step's flush to each of them, `python -m tests.benchmarks.readers [readers]`.

The clock starts before the flush's transaction and stops when the message has arrived at a reader.
"""

import asyncio
import re
import resource
import statistics
import sys
import time

import numpy as np

from service.db import endings, leases
from service.db.chunks import pack
from service.db.session import transaction
from service.lifecycle import State
from tests.benchmarks.filled import claim, submit
from tests.benchmarks.product import product

FLUSHES, STEPS, EVERY_S = 40, 50, 0.25
UPTO = re.compile(rb'"upto": (\d+)')


async def read(port: int, path: str, key: str, arrived: list[tuple[int, float]], ready: asyncio.Semaphore) -> list[int]:
    """One reader; every step it was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 1000\n\n")
    ready.release()
    uptos = []
    rest = b""
    while data := await reader.read(65536):
        now = time.perf_counter()
        rest += data
        for found in UPTO.finditer(rest):
            uptos.append(int(found[1]))
            arrived.append((int(found[1]), now))
        if b"event: end" in rest:
            break
        rest = rest[rest.rfind(b"\n\n") :]
    writer.close()
    return uptos


def main() -> None:
    """Print the distribution of delays, and whether anybody missed or heard anything twice."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with product(worker=False, SADDLE_STREAMS_PER_KEY=str(count + 1)) as at:
        (run_id,) = submit(at.engine, at.key, 1, FLUSHES * STEPS)
        held = claim(at.engine)
        port = at.http.base_url.port
        assert port is not None

        def write(sent: dict[int, float]) -> None:
            for flush in range(FLUSHES):
                time.sleep(EVERY_S)
                steps = np.arange(flush * STEPS + 1, (flush + 1) * STEPS + 1)
                sent[int(steps[-1])] = time.perf_counter()
                with transaction(at.engine) as connection:
                    leases.flush(
                        connection, held, {"loss": pack(steps, 1 / steps), "lr": pack(steps, np.full(STEPS, 0.1))}
                    )
            with transaction(at.engine) as connection:
                endings.finish(connection, held, State.SUCCEEDED, {})

        async def follow() -> tuple[list[list[int]], list[tuple[int, float]], dict[int, float]]:
            arrived: list[tuple[int, float]] = []
            sent: dict[int, float] = {}
            ready = asyncio.Semaphore(0)
            path = f"/v1/runs/{run_id}/events"
            readers = [asyncio.create_task(read(port, path, at.key, arrived, ready)) for _ in range(count)]
            for _ in range(count):
                await ready.acquire()
            await asyncio.sleep(2)
            await asyncio.to_thread(write, sent)
            return await asyncio.gather(*readers), arrived, sent

        heard, arrived, sent = asyncio.run(follow())
    delays = sorted(now - sent[upto] for upto, now in arrived if upto in sent)
    ends = sorted(sent)
    whole = all(one == sorted(set(one)) and one[-1] == ends[-1] for one in heard)
    p99 = delays[int(0.99 * len(delays))]
    print(
        f"{count} readers: median {statistics.median(delays):.3f} s, p99 {p99:.3f} s, most {delays[-1]:.3f} s; "
        f"{len(delays)} messages; every reader up to the end, none twice: {whole}"
    )


if __name__ == "__main__":
    main()
