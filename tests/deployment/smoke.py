#!/usr/bin/env python3
"""One pass through a deployment that is up: a key, two experiments trained by its workers, a comparison.

    docker compose up -d --build --scale worker=2 && tests/deployment/smoke.py

Run it again after a restart or a power cut: it then also checks that the curves of the passes before are still there,
number by number, and that the same spec and seed give them again. Standard library only.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ.get("SADDLE_SMOKE_URL", "http://127.0.0.1:8000")
PRESETS = ("digits-sgd-momentum", "digits-adam")
PATIENCE_S = float(os.environ.get("SADDLE_SMOKE_S", "300"))
OVER = ("succeeded", "failed", "cancelled")
http = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the deployment is here, not behind a proxy


def docker(*arguments: str) -> str:
    """What `docker compose ...` prints; its own words where it fails."""
    done = subprocess.run(["docker", "compose", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"smoke: docker compose {' '.join(arguments)}: {(done.stderr + done.stdout).strip()}")
    return done.stdout.strip()


def wait_until_ready() -> None:
    """Return once the API says that it can serve."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            http.open(f"{URL}/v1/readyz", timeout=5).close()
            return
        time.sleep(0.5)
    sys.exit(f"smoke: {URL}/v1/readyz was not good within {PATIENCE_S:.0f} s")


class Api:
    """The deployment, asked with one key."""

    def __init__(self, key: str) -> None:
        self.key = key

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or POST where there is a body; every answer must be good."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with http.open(urllib.request.Request(URL + path, data, headers), timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"smoke: {path} answered {error.code}: {error.read().decode(errors='replace')[:2000]}")

    def ended(self, run_id: str) -> Any:
        """The run when it has ended, as a success."""
        end = time.monotonic() + PATIENCE_S
        while (run := self.ask(f"/v1/runs/{run_id}"))["state"] not in OVER:
            if time.monotonic() > end:
                sys.exit(f"smoke: {run_id} is {run['state']} at step {run.get('step')} after {PATIENCE_S:.0f} s")
            time.sleep(0.5)
        if run["state"] != "succeeded":
            sys.exit(f"smoke: {run_id} ended as {run['state']}: {run.get('failure')}")
        return run

    def curve(self, run_id: str) -> str:
        """A digest of every number of the loss, after checking that no step is missing or doubled."""
        series = self.ask(f"/v1/runs/{run_id}/series?names=loss&points=all")["series"]["loss"]
        steps = series["step"]
        if not steps or steps != list(range(1, len(steps) + 1)):
            sys.exit(f"smoke: the curve of {run_id} has gaps or doubles: {len(steps)} steps, last {steps[-1:]}")
        return hashlib.sha256(json.dumps(series["value"]).encode()).hexdigest()


CONTENT = """
import json, pynvml, pytorch_optimizer, schedulefree, torch
from worker.trainer.optional_imports import import_optional  # as training does: a CPU torch lacks an operator
torchvision, timm = import_optional("torchvision", "vision"), import_optional("timm", "vision")
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "torchvision": torchvision.__version__}))
"""


def check_worker_image() -> None:
    """The worker's image holds the optional packages, lists its devices, and has a size that is told."""
    run = ("run", "--rm", "-T", "--no-deps", "worker", "python")
    versions = json.loads(docker(*run, "-c", CONTENT).splitlines()[-1])
    devices = json.loads(docker(*run, "-m", "worker.trainer.devices").splitlines()[-1])
    if not devices:
        sys.exit("smoke: the worker's image finds no device")
    image = docker("images", "worker", "--format", "json")
    size = sum(each.get("Size", 0) for each in json.loads(image)[:1]) / 1e9
    print(f"smoke: the worker's image has {size:.1f} GB, {versions}, devices {devices}")


def one_pass(api: Api) -> dict[str, str]:
    """Train each preset, and one of them as machine code, compare them; the digest of each run's curve."""
    specs = [api.ask(f"/v1/presets/{preset}") for preset in PRESETS]
    made = [api.ask("/v1/experiments", spec) for spec in [*specs, specs[0] | {"compile": True}]]
    runs = [[api.ended(run["id"]) for run in experiment["runs"]] for experiment in made]
    workers = {run.get("worker") for group in runs for run in group} - {None}
    compared = api.ask("/v1/comparisons", {"experiments": [experiment["id"] for experiment in made]})
    again = api.ask(f"/v1/comparisons/{compared['id']}")
    if len(compared["groups"]) != len(made) or again["groups"] != compared["groups"]:
        sys.exit(f"smoke: the comparison is not one of {len(made)} experiments: {json.dumps(compared)[:2000]}")
    digests = {run["id"]: api.curve(run["id"]) for group in runs for run in group}
    print(f"smoke: {len(digests)} runs of {', '.join(PRESETS)} trained and compared; workers: {sorted(workers) or '?'}")
    return digests


def check_door(api: Api, run_id: str) -> None:
    """The front door refuses what is too large, passes streams on as they come, and says nothing of TLS without it."""
    large = urllib.request.Request(f"{URL}/v1/experiments", b" " * (17 * 2**20), {"Authorization": f"Bearer {api.key}"})
    try:
        http.open(large, timeout=30).close()
        sys.exit("smoke: a document of 17 MiB was taken")
    except urllib.error.HTTPError as error:
        if error.code != 413 or json.load(error)["code"] != "too_large":
            sys.exit(f"smoke: a document of 17 MiB was answered with {error.code}")
    except OSError:  # closed while we sent
        pass
    stream = urllib.request.Request(f"{URL}/v1/runs/{run_id}/events", headers={"Authorization": f"Bearer {api.key}"})
    with http.open(stream, timeout=10) as answer:
        if not answer.readline().startswith(b"retry:"):
            sys.exit("smoke: the stream of a run did not come through")
        if ("Strict-Transport-Security" in answer.headers) != URL.startswith("https:"):
            sys.exit("smoke: HSTS is said without TLS, or is not with it")


def main() -> int:
    """A pass, and a look at the passes before; they are remembered for as long as the database's container lives."""
    wait_until_ready()
    check_worker_image()
    memory = Path(tempfile.gettempdir()) / f"saddle-smoke-{docker('ps', '-q', 'db')[:12]}.json"
    before: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    api = Api(
        docker(
            "run",
            "--rm",
            "-T",
            "migrate",
            "python",
            "-m",
            "service.db",
            "key",
            "--project",
            "team",
            "--member",
            "smoke",
        )
    )
    for run_id, digest in before.items():
        if api.curve(run_id) != digest:
            sys.exit(f"smoke: the curve of {run_id} is not the one that was read before")
    now = one_pass(api)
    check_door(api, next(iter(now)))
    if before:
        print(f"smoke: {len(before)} curves of before are still there, number by number")
        if set(now.values()) != set(before.values()):
            sys.exit("smoke: the same spec and seed gave another curve than before")
    memory.write_text(json.dumps(before | now))
    return 0


if __name__ == "__main__":
    sys.exit(main())
