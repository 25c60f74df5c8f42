"""Everyday requests beside 300 readers of streams: how many a second, and what happens beyond that.

python -m tests.benchmarks.load                   the highest rate with p99 <= 100 ms, then twice and four times that
python -m tests.benchmarks.load --rates 60 100    these rates only
python -m tests.benchmarks.load --minutes 20      afterwards, memory of the API at half of the highest rate

Server, database and client share the machine. The client's own processor time and delay are printed: a p99 near its
delay says nothing about the server. Two trainings flush their points four times a second; each reader follows one.
"""

import argparse
import asyncio
import contextlib
import json
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import uvloop

from service.db.access.projects import new_key
from service.db.metrics.codec import pack
from service.db.runs import leases
from service.db.session import transaction
from tests.benchmarks.filled import claim, fill, submit
from tests.benchmarks.load.client import Answer, Pool, Readers, Request, measure_lag, message, offer
from tests.fixtures.api import SPEC
from tests.harness.product import Product, product

GOAL_S = 0.1
RATES = (60, 80, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400)
ENDED, STEPS, PER_KEY = 40, 2000, 20
REFUSED = (429, 503)


class Trainings(threading.Thread):
    """Two runs that train for as long as the benchmark lasts."""

    def __init__(self, at: Product) -> None:
        super().__init__(daemon=True)
        self.runs = submit(at.engine, at.key, 2, 10_000_000)
        self._at, self._held = at, [claim(at.engine) for _ in self.runs]
        self.ending = threading.Event()

    def run(self) -> None:
        """Flush until the end."""
        step = 0
        while not self.ending.wait(0.25):
            steps = np.arange(step + 1, step + 51)
            step += 50
            for held in self._held:
                with transaction(self._at.engine) as connection:
                    leases.flush(connection, held, {"loss": pack(steps, 1 / steps), "lr": pack(steps, 0 * steps + 0.1)})


def everyday(at: Product, keys: Sequence[str], runs: Sequence[str]) -> list[Request]:
    """The mix: what the page and scripts ask most, and submissions."""
    experiments = [item["id"] for item in at.get("/v1/experiments", limit=50)["items"]]
    chosen = random.Random(1)

    def get(path: str, ids: Sequence[str] = ("",)) -> bytes:
        return message("GET", path.format(chosen.choice(ids)), chosen.choice(keys))

    def post(path: str) -> bytes:
        return message("POST", path, chosen.choice(keys), json.dumps(SPEC | {"name": f"n{chosen.random()}"}))

    return [
        Request("run", lambda: get("/v1/runs/{}", runs), 25),
        Request("experiment", lambda: get("/v1/experiments/{}", experiments), 20),
        Request("list", lambda: get("/v1/experiments?limit=20"), 15),
        Request("series", lambda: get("/v1/runs/{}/series?names=loss&points=200", runs), 20),
        Request("me", lambda: get("/v1/me"), 5),
        Request("workers", lambda: get("/v1/workers"), 5),
        Request("page", lambda: get("/page/app.js"), 3),
        Request("dry run", lambda: post("/v1/experiments?dry_run=true"), 5),
        Request("submit", lambda: post("/v1/experiments"), 2),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; seconds."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def describe(answers: Sequence[Answer]) -> str:
    """Statuses, and how long answers and refusals took."""
    good = [each.took for each in answers if 200 <= each.status < 400]
    refused = [each.took for each in answers if each.status in REFUSED]
    text = f"answered {len(good)}: p50 {percentile(good, 0.5) * 1e3:.0f}, p99 {percentile(good, 0.99) * 1e3:.0f} ms"
    if refused:
        late = sum(took > GOAL_S for took in refused)
        text += f"; refused {len(refused)}: p50 {percentile(refused, 0.5) * 1e3:.0f}, "
        text += f"p99 {percentile(refused, 0.99) * 1e3:.0f} ms, {late} later than 100 ms"
    others = Counter(each.status for each in answers if not 200 <= each.status < 400 and each.status not in REFUSED)
    return text + (f"; others {dict(others)}" if others else "")


def count_good(answers: Sequence[Answer]) -> int:
    """Return how many were answered as asked."""
    return sum(200 <= each.status < 400 for each in answers)


class Meter:
    """Processor time of the API and of this process, and the client's delay, over a while."""

    def __init__(self, api: int, lags: list[float]) -> None:
        self._api, self._lags = api, lags
        self._streams = 0.0  # of a core, for the readers
        self._begin()

    def _begin(self) -> None:
        self._lags.clear()
        self._started = time.perf_counter(), self.processor_s(), time.process_time()

    def processor_s(self) -> float:
        """Seconds of processor time that the API has used."""
        fields = Path(f"/proc/{self._api}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    async def weigh_messages(self, readers: Readers, seconds: float) -> str:
        """Measure what the readers alone cost, so that the rest is what requests cost."""
        used, heard, began = self.processor_s(), readers.heard["messages"], time.perf_counter()
        await asyncio.sleep(seconds)
        used, heard = self.processor_s() - used, readers.heard["messages"] - heard
        self._streams = used / (time.perf_counter() - began)
        return f"readers alone: API {self._streams:.0%} of a core, {used / max(heard, 1) * 1e3:.3f} ms a message"

    def _per_request(self, used: float, spent: float, answered: int) -> str:
        return f", {(used - self._streams * spent) / answered * 1e3:.1f} ms a request" if answered else ""

    def read(self, answered: int = 0) -> str:
        """Return the figures since the last time, in which so many requests were answered."""
        at, api, own = self._started
        spent = time.perf_counter() - at
        used = self.processor_s() - api
        text = f"API {used / spent:.0%} of a core{self._per_request(used, spent, answered)}, "
        text += f"client {(time.process_time() - own) / spent:.0%}, "
        text += f"its delay p99 {percentile(self._lags, 0.99) * 1e3:.0f} ms"
        self._begin()
        return text

    def memory(self) -> float:
        """Resident MiB of the API."""
        return int(Path(f"/proc/{self._api}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@contextlib.contextmanager
def prepared() -> Iterator[tuple[Product, Trainings, list[str], list[str]]]:
    """A product with ended and training runs, and keys enough for the readers."""
    with product(worker=False, SADDLE_REQUESTS_PER_ADDRESS="100000") as at:  # the client stands for many people
        with transaction(at.engine) as connection:
            keys = [at.key, *(new_key(connection, "default", f"m{each}") for each in range(15))]
        ended = submit(at.engine, at.key, ENDED, STEPS)
        for seed, _ in enumerate(ended):
            fill(at.engine, claim(at.engine), STEPS, seed)
        for _ in range(19):
            at.post("/v1/experiments", SPEC)
            held = claim(at.engine)
            fill(at.engine, held, SPEC["steps"], 0)
            ended.append(held.run_id)
        trainings = Trainings(at)
        trainings.start()
        yield at, trainings, keys, ended
        trainings.ending.set()
        trainings.join()


async def recovery(pool: Pool, requests: list[Request], began: float) -> float:
    """Seconds until a second of light load was answered as it should be."""
    for seed in range(60):
        at = time.perf_counter()
        answers = await offer(pool, requests, 20, 1.0, seed)
        if all(each.status < 400 and each.took <= GOAL_S for each in answers):
            return at - began
    return float("inf")


async def measure(arguments: argparse.Namespace) -> None:
    """Print a line for each rate, then what happens beyond the highest good one."""
    with prepared() as (at, trainings, keys, ended):
        lags: list[float] = []
        lag = asyncio.create_task(measure_lag(lags))
        pool, readers = Pool(at.port), Readers(at.port)
        requests = everyday(at, keys, [*trainings.runs, *ended])
        for number in range(arguments.readers):
            key = keys[1 + number // PER_KEY]
            readers.start(f"/v1/runs/{trainings.runs[number % 2]}/events", key)
        await asyncio.sleep(3)
        print(f"{len(requests)} kinds of requests, {readers.heard['opened 200']} streams", flush=True)
        meter = Meter(at.processes[0].pid, lags)
        await offer(pool, requests, 20, 2, 0)
        print(await meter.weigh_messages(readers, arguments.seconds), flush=True)
        highest, before = 0, readers.heard["messages"]
        began = time.perf_counter()
        for rate in arguments.rates or RATES:
            meter.read()
            answers = await offer(pool, requests, rate, arguments.seconds, rate)
            print(f"{rate}/s: {describe(answers)}; {meter.read(count_good(answers))}", flush=True)
            good = all(each.status < 400 and each.status for each in answers)
            if good and percentile([each.took for each in answers], 0.99) <= GOAL_S:
                highest = rate
            elif not arguments.rates:
                break
        heard = (readers.heard["messages"] - before) / (time.perf_counter() - began)
        print(f"highest with p99 <= 100 ms: {highest}/s beside {arguments.readers} readers, {heard:.0f} messages/s")
        for beyond in () if arguments.rates else (2, 4):
            meter.read()
            answers = await offer(pool, requests, max(highest, 60) * beyond, arguments.seconds, beyond)
            took = await recovery(pool, requests, time.perf_counter())
            line = f"{max(highest, 60) * beyond}/s: {describe(answers)}; recovered after {took:.1f} s"
            print(f"{line}; {meter.read()}", flush=True)
        print(f"readers: {dict(readers.heard)}; memory of the API {meter.memory():.0f} MiB")
        for minute in range(arguments.minutes):
            await offer(pool, requests, max(highest, 60) / 2, 60, minute)
            print(f"minute {minute + 1}: {meter.memory():.0f} MiB", flush=True)
        readers.stop()
        lag.cancel()
        pool.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="*", help="requests a second")
    parser.add_argument("--readers", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--minutes", type=int, default=0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
