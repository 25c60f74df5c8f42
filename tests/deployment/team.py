#!/usr/bin/env python3
"""Three people in two projects of a deployment that is up, from the first link to an audit that is read.

    export SADDLE_SMTP_HOST=receiver SADDLE_SMTP_PORT=2525 SADDLE_SMTP_SECURITY=none
    export SADDLE_WEBHOOK_NETWORKS=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16
    docker compose up -d --build --scale worker=2 && tests/deployment/team.py

Each thing that is promised to a team is done once, as its people would, and told in a line. Standard library only.
"""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from smoke import PATIENCE_S, URL, docker, wait_until_ready

PASSWORD = secrets.token_urlsafe(16)
SPEC = {
    "name": "team",
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [16]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05},
    "steps": 200,
}


def fail(sentence: str) -> None:
    """End with a sentence."""
    sys.exit(f"team: {sentence}")


def tell(sentence: str) -> None:
    """Say what was seen."""
    print(f"team: {sentence}", flush=True)


class Person:
    """Somebody at a browser, or a program with a key."""

    def __init__(self, name: str, key: str = "") -> None:
        self.name, self.key = name, key
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar()))
        self.http = urllib.request.build_opener(*handlers)

    def open(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Send a request and return the open answer."""
        headers = {"Content-Type": "application/json", "Origin": URL}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        return self.http.open(urllib.request.Request(URL + path, data, headers, method=method), timeout=60)

    def ask(self, path: str, body: Any = None, method: str | None = None, status: int = 0) -> Any:
        """Return the JSON of an answer; with `status` one that is refused so."""
        try:
            with self.open(path, body, method) as answer:
                text = answer.read()
                found, document = answer.status, json.loads(text) if text else None
        except HTTPError as error:
            found, document = error.code, json.loads(error.read())
        if (status and found != status) or (not status and found >= 400):
            fail(f"{self.name}: {method or ''} {path} answered {found}: {json.dumps(document)[:1000]}")
        return document

    def accept(self, token: str) -> "Person":
        """Come in by a link, as somebody new."""
        self.ask("/v1/invitations/accept", {"token": token, "name": self.name, "password": PASSWORD})
        return self

    def invite(self, name: str, role: str) -> "Person":
        """Make a link into the project, and let somebody come in by it."""
        return Person(name).accept(self.ask("/v1/invitations", {"role": role})["token"])

    def program(self) -> "Person":
        """A program of this person, with a key of its own."""
        return Person(f"{self.name}'s program", self.ask("/v1/keys", {"name": "check"})["key"])


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Return the first true value."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            fail(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.3)
    return found


def come_in() -> tuple[Person, Person, Person]:
    """Make the first admin, two projects and three people by links."""
    suffix = secrets.token_hex(3)
    link = docker("run", "--rm", "-T", "migrate", *("python", "-m", "service.db", "admin", f"root-{suffix}"))
    root = Person(f"root-{suffix}").accept(link.rpartition("/")[2])
    people = []
    for project, names in (("vision", ("ann", "vic")), ("speech", ("bob",))):
        made = root.ask("/v1/projects", {"name": f"{project}-{suffix}"})
        root.ask("/v1/session", {"project_id": made["id"]}, "PATCH")
        for name in names:
            people.append(root.invite(f"{name}-{suffix}", "viewer" if name == "vic" else "admin"))
    ann, vic, bob = people
    tell("root came in by a link, made two projects, and ann, vic and bob came in by links of theirs")
    return ann, bob, vic


def check_viewer(vic: Person) -> None:
    """A viewer sees and does not submit."""
    vic.ask("/v1/experiments")
    refused = vic.ask("/v1/experiments", SPEC, status=403)
    tell(f"vic, a viewer, is refused: {refused['detail']}")


def check_turns(ann: Person, bob: Person) -> str:
    """A flood of one project lets another's run start within two slots; return ann's experiment."""
    alone = {"pack": "never"}  # else one turn of a slot takes many of them
    flood = ann.ask("/v1/experiments", SPEC | alone | {"seeds": list(range(24)), "steps": 2000})["id"]
    until("two runs of the flood train", lambda: states(ann, flood).count("queued") <= 22)
    ahead = states(ann, flood).count("queued")
    single = bob.ask("/v1/experiments", SPEC)
    queue = bob.ask("/v1/queue")["pools"][0]
    started = until("bob's run starts", lambda: states(bob, single["id"]) != ["queued"])
    passed = ahead - states(ann, flood).count("queued")
    tell(
        f"with {ahead} runs of ann's waiting, {passed} of them started before bob's one; its queue said: "
        f"{queue['next'][:1]}, others {queue['others']}"
    )
    if passed > 4 or not started:  # two slots
        fail(f"bob's run waited for {passed} of ann's")
    until("bob's run ends", lambda: states(bob, single["id"]) == ["succeeded"])
    ann.ask(f"/v1/experiments/{flood}/cancel", {})
    return flood


def states(who: Person, experiment: str) -> list[str]:
    """The states of an experiment's runs."""
    return [run["state"] for run in who.ask(f"/v1/experiments/{experiment}")["runs"]]


def check_revoked_key(bob: Person) -> None:
    """A stream ends when its key is revoked."""
    program = bob.program()
    long = bob.ask("/v1/experiments", SPEC | {"steps": 10**6})
    with program.open(f"/v1/runs/{long['runs'][0]['id']}/events") as stream:
        stream.readline()
        key_id = program.key.partition(".")[0]
        began = time.monotonic()
        bob.ask(f"/v1/keys/{key_id}/revoke", {})
        try:
            while stream.readline():
                if time.monotonic() - began > 30:
                    fail("a stream went on for 30 s after its key was revoked")
        except (OSError, http.client.HTTPException):
            pass
    program.ask("/v1/me", status=401)
    tell(f"a key was revoked in the middle of a stream, which ended {time.monotonic() - began:.1f} s later")
    bob.ask(f"/v1/experiments/{long['id']}/cancel", {})


def check_bin(ann: Person, experiment: str) -> None:
    """What was deleted comes back with its curves."""
    until("the flood has ended", lambda: set(states(ann, experiment)) <= {"succeeded", "cancelled", "failed"})
    before = ann.ask(f"/v1/experiments/{experiment}")
    ann.ask(f"/v1/experiments/{experiment}", method="DELETE")
    ann.ask(f"/v1/experiments/{experiment}", status=404)
    ann.ask(f"/v1/experiments/{experiment}/restore", {})
    if ann.ask(f"/v1/experiments/{experiment}") != before:
        fail("a restored experiment is not what it was")
    tell(f"an experiment of {len(before['runs'])} runs was deleted, was gone, and is restored as it was")


def check_messages(ann: Person) -> None:
    """The end of a run is told by webhook, signed, and by mail."""
    name = docker("run", "-d", "--rm", "--no-deps", "--name", "receiver", "-v", f"{Path(__file__).parent}:/check:ro",
                  "worker", "python", "/check/receiver.py")  # fmt: skip
    try:
        events = {"events": ["run_succeeded", "run_failed", "run_diverged"], "bundle_s": 0, "shared": True}
        hook = ann.ask("/v1/channels", {"kind": "webhook", "address": "http://receiver:8080/hook", **events})
        mail = ann.ask("/v1/channels", {"kind": "email", "address": "ann@example.org", **events})
        for channel in (hook, mail):  # once the receiver has started
            test = f"/v1/channels/{channel['id']}/test"
            until(f"a test message of {channel['kind']} is delivered", lambda at=test: ann.ask(at, {})["delivered"])
        ann.ask("/v1/experiments", SPEC | {"name": "told"})
        told = until("webhook and mail tell of the run", lambda: received(name))
        signed = f"{told['id']}.{told['timestamp']}.{told['webhook']}".encode()
        key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
        digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if f"v1,{digest}" not in told["signature"].split():
            fail("the webhook's signature is not its secret's")
        tell(f"a webhook, signed, and a mail told of it: {told['mail'].splitlines()[0:1]} {told['webhook'][:160]}")
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)


def received(name: str) -> dict[str, str]:
    """The last webhook and mail that tell of the run, once both have come."""
    printed = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False).stdout
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    hooks = [each for each in lines if "told" in each.get("webhook", "")]
    mails = [each for each in lines if "told" in each.get("mail", "")]
    return hooks[-1] | mails[-1] if hooks and mails else {}


def check_audit(ann: Person, vic: Person) -> None:
    """Admins read who did what; others do not."""
    vic.ask("/v1/audit", status=403)
    found = ann.ask("/v1/audit?limit=200")["items"]
    wanted = {"experiment.submit", "experiment.cancel", "experiment.delete", "experiment.restore", "member.join"}
    if missing := wanted - {each["action"] for each in found}:
        fail(f"the audit has no {missing}")
    tell(f"the audit has {len(found)} rows, from {found[-1]['action']} to {found[0]['action']}")


def main() -> int:
    """Do each thing once."""
    wait_until_ready()
    ann, bob, vic = come_in()
    check_viewer(vic)
    flood = check_turns(ann, bob)
    check_revoked_key(bob)
    check_bin(ann, flood)
    check_messages(ann)
    check_audit(ann, vic)
    return 0


if __name__ == "__main__":
    sys.exit(main())
