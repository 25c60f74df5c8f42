"""`up` on a machine that has a GPU, as far as its detection says: its workers then really train on the CPU."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from service.local.port import find_free_port
from tests.fixtures.product import SPEC
from tests.harness.folders import server_folder
from tests.harness.product import ROOT, clean_environment
from tests.harness.waiting import until

# the product's own commands, but for the detection, and the device that a worker trains on
START = """
import sys
from service.local import __main__ as command, up
from service.local.commands import Commands
found = (sys.executable, "-c", 'print(\\'["cuda:0", "cpu"]\\')')
commands = Commands(devices=found, worker=("env", "SADDLE_DEVICE=cpu", sys.executable, "-m", "worker"))
options = up.Options
command.Options = lambda *given: options(*given, commands=commands)
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.fixture
def machine() -> Iterator[httpx.Client]:
    """A client of a start with one worker for a GPU and one for the CPU."""
    with server_folder("saddle-gpu-") as home, (home / "log").open("wb") as log:
        port = find_free_port()
        environment = clean_environment() | {"SADDLE_SPARES": "0"}
        command = [sys.executable, "-c", START, "up", "--port", str(port), "--data", str(home / "data")]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or b"is ready" in (home / "log").read_bytes())
            assert process.poll() is None, (home / "log").read_text()
            headers = {"Authorization": f"Bearer {(home / 'data' / 'key').read_text().strip()}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def test_a_run_trains_where_the_machine_has_a_gpu_and_a_mixed_one_serves_both(machine: httpx.Client) -> None:
    def pools() -> dict[str, str]:
        return {each["pool"]: each["state"] for each in machine.get("/v1/workers").json()["items"]}

    until(lambda: pools() == {"gpu": "idle", "cpu": "idle"})
    posted: dict[str, Any] = {}
    for pool, changes in {"gpu": {}, "cpu": {"device": "cpu"}}.items():
        answer = machine.post("/v1/experiments", json=SPEC | {"epochs": 1} | changes).json()
        codes = [each["code"] for each in answer["warnings"]]
        assert (answer["runs"][0]["pool"], codes) == (pool, ["translated"] if changes else [])
        posted[pool] = answer["runs"][0]["id"]
    runs = {pool: f"/v1/runs/{run_id}" for pool, run_id in posted.items()}
    until(lambda: all(machine.get(path).json()["state"] == "succeeded" for path in runs.values()))
    workers = {pool: machine.get(path).json()["worker"] for pool, path in runs.items()}
    assert workers == {"gpu": "worker-1", "cpu": "worker-2"}
    lost = machine.post("/v1/experiments", params={"dry_run": "true"}, json=SPEC | {"pool": "tpu"}).json()
    assert "choose a pool that is served now: cpu, gpu" in lost["warnings"][0]["detail"]
