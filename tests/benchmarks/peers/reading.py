"""Reading the same curves from MLflow, Trackio and Aim: `python -m tests.benchmarks.peers.reading --peers PYTHON`.

PYTHON is the interpreter of an environment in which they are installed (`pip install mlflow trackio aim` in a fresh
one); what cannot be imported there is left out with a sentence. Each store is filled through the peer's own fastest
way in and read through its own API for a comparison of `runs` runs at 1,000 points each, or as many as it gives. Ours
is read through HTTP, with nothing kept in memory. All of them take turns in one call.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx

from service.export.binary import MEDIA_TYPE
from tests.benchmarks.filled import claim, fill, losses, submit
from tests.harness.product import product

COMMON = """
import json, os, statistics, sys, time
runs, steps, rounds = (int(word) for word in sys.argv[1:4])
values = json.loads(open(sys.argv[4]).read())
def report(filled, read):
    times = []
    points = 0
    for _ in range(rounds):
        begin = time.perf_counter(); points = read(); times.append((time.perf_counter() - begin) * 1e3)
    print(json.dumps({"fill_s": filled, "ms": statistics.median(times), "least": min(times), "points": points}))
"""
MLFLOW = """
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
import socket, subprocess, urllib.request
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]
home = os.getcwd()
served = subprocess.Popen([sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
    "--workers", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db"], stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL)
try:
    begin = time.time()
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2); break
        except OSError:
            if time.time() - begin > 300: raise
            time.sleep(0.2)
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.create_experiment("bench")
    begin, ids = time.time(), []
    for run in range(runs):
        run_id = client.create_run(experiment).info.run_id
        ids.append(run_id)
        for low in range(0, steps, 1000):
            some = range(low, min(low + 1000, steps))
            client.log_batch(run_id, metrics=[Metric("loss", values[s], 1, s) for s in some])
    filled = time.time() - begin
    def read():
        points = 0
        for low in range(0, runs, 100):
            query = "&".join(f"run_ids={each}" for each in ids[low:low + 100]) + "&metric_key=loss&max_results=1000"
            url = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{query}"
            points += len(json.load(urllib.request.urlopen(url))["metrics"])
        return points
    report(filled, read)
finally:
    served.terminate()
"""
TRACKIO = """
os.environ["TRACKIO_DIR"] = os.path.join(os.getcwd(), "trackio")
from trackio.sqlite_storage import SQLiteStorage
begin = time.time()
for run in range(runs):
    for low in range(0, steps, 1000):
        some = range(low, min(low + 1000, steps))
        SQLiteStorage.bulk_log(project="bench", run=f"run{run}", metrics_list=[{"loss": values[s]} for s in some],
            steps=list(some))
filled = time.time() - begin
report(filled, lambda: sum(len(SQLiteStorage.get_logs("bench", f"run{run}")) for run in range(runs)))
"""
AIM = """
os.environ["AIM_ACCESS_LOGGING"] = "off"
from aim import Repo, Run
repo = Repo.from_path(os.getcwd(), init=True)
begin = time.time()
for run in range(runs):
    each = Run(repo=os.getcwd(), experiment="bench", system_tracking_interval=None, log_system_params=False)
    for step in range(steps):
        each.track(values[step], name="loss", step=step)
    each.close()
filled = time.time() - begin
def read():
    points = 0
    for found in repo.query_metrics("metric.name == 'loss'").iter_runs():
        for metric in found:
            points += len(metric.values.sparse_numpy()[0])
    return points
report(filled, read)
"""
TIMEOUT_S = 900
PEERS = {"mlflow": MLFLOW, "trackio": TRACKIO, "aim": AIM}


def peer(python: str, name: str, runs: int, steps: int, rounds: int) -> str:
    """One peer in a process of its own; a sentence where it does not work."""
    if subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode:
        return f"{name:8} left out: {python} has no {name}"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "values.json").write_text(json.dumps(losses(steps, 0).tolist()))
        (home / "read.py").write_text(COMMON + PEERS[name])
        command = [python, "read.py", str(runs), str(steps), str(rounds), "values.json"]
        with subprocess.Popen(
            command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return f"{name:8} was not done within {TIMEOUT_S} s"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its server too
    if process.returncode:
        return f"{name:8} failed: {err.strip().splitlines()[-1][:200]}"
    found = json.loads(out.strip().splitlines()[-1])
    return (
        f"{name:8} median {found['ms']:9.1f} ms  least {found['least']:9.1f}  {found['points']:9d} points  "
        f"filled in {found['fill_s']:.0f} s"
    )


def ours(runs: int, steps: int, rounds: int) -> str:
    """The same question to a server of our own."""
    with product(worker=False) as at:
        ids = submit(at.engine, at.key, runs, steps)
        begin = time.perf_counter()
        for seed in range(runs):
            fill(at.engine, claim(at.engine), steps, seed, flush=1000, save=1_000_000)
        filled = time.perf_counter() - begin
        path = f"/v1/series?runs={','.join(ids)}&names=loss&points=1000"
        rows = []
        for accept in (MEDIA_TYPE, "application/json"):
            headers = {"Accept": accept, "Cache-Control": "no-cache"}
            times = [_timed(at.http, path, headers) for _ in range(rounds + 3)][3:]
            form = "binary" if accept == MEDIA_TYPE else "json"
            rows.append(f"ours {form:6} median {statistics.median(times):6.1f} ms  least {min(times):6.1f}")
        return "\n".join(rows) + f"  filled in {filled:.0f} s"


def _timed(http: httpx.Client, path: str, headers: dict[str, str]) -> float:
    begin = time.perf_counter()
    assert http.get(path, headers=headers).status_code == 200
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", required=True, help="a python that has them installed")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="ours,mlflow,trackio,aim")
    arguments = parser.parse_args()
    print(f"{arguments.runs} runs x {arguments.steps} steps", flush=True)
    for name in arguments.only.split(","):
        given = (arguments.runs, arguments.steps, arguments.rounds)
        print(ours(*given) if name == "ours" else peer(arguments.peers, name, *given), flush=True)


if __name__ == "__main__":
    main()
