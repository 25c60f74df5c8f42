"""Other requests while 60 files of 16 MB are uploaded at once: `python -m tests.benchmarks.uploads [files] [MB]`.

A process of its own asks /v1/readyz every 50 ms, and GET /v1/experiments beside it, from before the first byte until
the last answer. The uploads are CSV of numbers, each a file of its own content.
"""

import argparse
import http.client
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from typing import Any

from tests.harness.product import product

ASKED = ("/v1/readyz", "/v1/experiments")


def ask(port: int, key: str, over: Event, told: Any) -> None:
    """Ask until it is over; tells (path, seconds, status) of each answer."""
    found = []
    while not over.is_set():
        for path in ASKED:
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            status = connection.getresponse().status
            connection.close()
            found.append((path, time.perf_counter() - began, status))
        over.wait(0.05)
    told.put(found)


def send(port: int, key: str, name: str, content: bytes, statuses: list[int]) -> None:
    """One upload, sent again as long as there are too many at once."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        try:
            connection.request("POST", f"/v1/datasets?name={name}.csv", content, headers)
            answer = connection.getresponse()
        except OSError:
            statuses.append(0)
            return
        finally:
            connection.close()
        statuses.append(answer.status)
        if answer.status not in (429, 503):
            return
        time.sleep(float(answer.headers["Retry-After"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="?", type=int, default=60)
    parser.add_argument("megabytes", nargs="?", type=int, default=16)
    arguments = parser.parse_args()
    line = b"0.123456,1.5,3,17.25,0.000001,9\n"
    table = b"a,b,c,d,e,f\n" + line * (arguments.megabytes * 1_000_000 // len(line))
    with product(worker=False) as up:
        port, spawn = int(up.http.base_url.port or 80), multiprocessing.get_context("spawn")
        over, told, statuses = spawn.Event(), spawn.Queue(), list[int]()
        asking = spawn.Process(target=ask, args=(port, up.key, over, told))
        asking.start()
        time.sleep(2)
        sending = [
            threading.Thread(target=send, args=(port, up.key, f"f{i}", table + b"%d,1,1,1,1,1\n" % i, statuses))
            for i in range(arguments.files)
        ]
        began = time.perf_counter()
        for thread in sending:
            thread.start()
        for thread in sending:
            thread.join()
        took = time.perf_counter() - began
        over.set()
        found = told.get()
        asking.join()
    print(f"{arguments.files} uploads of {arguments.megabytes} MB in {took:.1f} s: {dict(Counter(statuses))}")
    for path in ASKED:
        times = sorted(seconds for asked, seconds, _ in found if asked == path)
        bad = sum(status != 200 for asked, _, status in found if asked == path)
        print(
            f"{path}: {len(times)} answers, {bad} not 200; median {statistics.median(times) * 1000:.0f} ms,"
            f" 99 % {times[int(len(times) * 0.99)] * 1000:.0f} ms, longest {times[-1] * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()
