#!/usr/bin/env python3
"""A deployment on two hosts, as two projects of one Docker: trained on the second, killed there, ended on the first.

The first host is up (docker-compose.yml, worker/hosts/first-host.yml, tests/deployment/bucket.yml) with these beside
the passwords: SADDLE_HOST=first.saddle.test SADDLE_HOSTS_BIND=<an address of this machine>
SADDLE_STORAGE_URL=s3://saddle/two AWS_ENDPOINT_URL=http://<that address>:5000 AWS_REGION=us-east-1
AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x. The second host's project has its own network and volumes. Standard library
only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import smoke

ROOT = Path(__file__).resolve().parents[2]
HOST, BIND = os.environ["SADDLE_HOST"], os.environ["SADDLE_HOSTS_BIND"]
CSV = "x,kind\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60))
STEPS = 20_000
SPEC = {
    "name": "two hosts",
    "dataset": {"kind": "upload", "predict": "kind", "task": "classification"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.001},
    "batch_size": 2,
    "steps": STEPS,
    "checkpoint": {"every_steps": 1_000},
}
LOGINS = """
import os, psycopg
url = os.environ["SADDLE_DATABASE_URL"].replace("+psycopg", "")
plain = url.replace("verify-full", "disable")
elsewhere = url.replace("@" + os.environ["FIRST"], "@" + os.environ["ADDRESS"])
for name, dsn in (("verified", url), ("plain", plain), ("another name", elsewhere)):
    try:
        psycopg.connect(dsn, connect_timeout=10).close()
        print(f"{name}: accepted")
    except psycopg.OperationalError as error:
        print(f"{name}: refused, {str(error).splitlines()[0]}")
"""


class SecondHost:
    """The compose project of a host that only trains."""

    def __init__(self, folder: Path) -> None:
        (folder / "ca.crt").write_text(
            smoke.docker("run", "--rm", "-T", "certificates", "cat", "/var/lib/postgresql/ca.crt") + "\n"
        )
        (folder / "ca.crt").chmod(0o644)
        override = {"services": {"worker": {"extra_hosts": [f"{HOST}:host-gateway"]}}}
        (folder / "name.yml").write_text(json.dumps(override))
        files = ("-f", str(ROOT / "worker/hosts/worker-host.yml"), "-f", str(folder / "name.yml"))
        self._compose = ("-p", "saddle-second-host", *files)
        os.environ["SADDLE_CA"] = str(folder / "ca.crt")

    def docker(self, *arguments: str) -> str:
        return smoke.docker(*self._compose, *arguments)


def until(what: str, condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`; the check fails after the smoke test's patience."""
    end = time.monotonic() + smoke.PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(f"two hosts: not within {smoke.PATIENCE_S:.0f} s: {what}")
        time.sleep(0.5)
    return found


def upload(api: smoke.Api) -> str:
    """The id of an uploaded table."""
    request = urllib.request.Request(f"{smoke.URL}/v1/datasets?name=table.csv", CSV.encode())
    request.add_header("Authorization", f"Bearer {api.key}")
    with smoke.http.open(request, timeout=60) as answer:
        return str(json.load(answer)["id"])


def check_logins(second: SecondHost) -> None:
    """The second host gets in over verified TLS, and in no other way."""
    names = ("-e", f"FIRST={HOST}", "-e", f"ADDRESS={BIND}")
    said = second.docker("run", "--rm", "-T", *names, "worker", "python", "-c", LOGINS)
    print(said)
    verified, plain, elsewhere = said.splitlines()[-3:]
    if "accepted" not in verified or "no encryption" not in plain or "does not match" not in elsewhere:
        sys.exit("two hosts: the logins are not as they should be")


def check_apart(second: SecondHost) -> None:
    """The second host's worker has no volume and no network of the first."""
    (worker,) = second.docker("ps", "-q", "worker").splitlines()
    read = subprocess.run(["docker", "inspect", worker], capture_output=True, text=True, check=True)
    (found,) = json.loads(read.stdout)
    volumes = [mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"]
    names = [*volumes, *found["NetworkSettings"]["Networks"]]
    if not names or not all(name.startswith("saddle-second-host_") for name in names):
        sys.exit(f"two hosts: the second shares something with the first: {names}")
    print(f"two hosts: the second has {', '.join(names)} and nothing of the first")


def main() -> int:
    """Train on the second host, kill it, end on the first."""
    smoke.wait_until_ready()
    bucket = urllib.request.Request(f"http://{BIND}:5000/saddle", method="PUT")
    smoke.http.open(bucket, timeout=30).close()
    smoke.docker("stop", "worker")
    command = (
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
        "two",
    )
    api = smoke.Api(smoke.docker(*command))
    with tempfile.TemporaryDirectory(prefix="saddle-two-hosts-") as name:
        Path(name).chmod(0o755)
        second = SecondHost(Path(name))
        try:
            second.docker("up", "-d", "--no-build")
            dataset = {**SPEC["dataset"], "upload": upload(api)}  # type: ignore[dict-item]
            (run,) = api.ask("/v1/experiments", SPEC | {"dataset": dataset})["runs"]
            where = f"/v1/runs/{run['id']}"
            until("a checkpoint", lambda: api.ask(f"{where}/checkpoints")["items"])
            far = api.ask(where)["worker"]
            check_apart(second)
            check_logins(second)
            second.docker("kill", "worker")
        finally:
            second.docker("down", "-v")
    killed_at = api.ask(where)["step"]
    smoke.docker("start", "worker")
    ended = api.ended(run["id"])
    api.curve(run["id"])
    if ended["step"] != STEPS or ended["worker"] == far or ended["attempt"] != 2:
        sys.exit(f"two hosts: not ended by the first host's worker: {ended}")
    print(
        f"two hosts: {far} was killed at step {killed_at}, {ended['worker']} ended at {STEPS}; every step is there once"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
