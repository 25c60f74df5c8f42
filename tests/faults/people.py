"""The users: they post, ask again with the same key when no answer comes, and change their minds."""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from tests.faults.stack import Stack

ENDED = ("succeeded", "failed", "cancelled")
DISK_FULL = '"disk_beyond"'  # code of the answer while checkpoints have no place


@dataclass(eq=False)
class People:
    """Every run they were promised, and what they wished for it."""

    stack: Stack
    specs: dict[str, dict[str, Any]]  # by variant
    seed: int
    accepted: dict[str, str] = field(default_factory=dict)  # run id -> variant
    posted: set[str] = field(default_factory=set)
    wished: dict[str, str] = field(default_factory=dict)  # run id -> the last wish that was accepted
    repeats: int = 0  # posts that had to be asked again
    _paths: set[str] | None = None
    _turn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, at: int) -> httpx.Client:
        api = self.stack.apis[at % len(self.stack.apis)]
        headers = {"Authorization": f"Bearer {self.stack.key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{api.port}", headers=headers, timeout=10)

    def ask(self, method: str, path: str, document: Any = None, at: int | None = None, **headers: str) -> Any:
        """One request to one API process; None where no answer, or none that counts, came."""
        try:
            with self.client(self._next() if at is None else at) as client:
                answer = client.request(method, path, json=document, headers=headers)
        except httpx.TransportError:
            return None
        later = answer.status_code >= 500 or answer.status_code == 429 or DISK_FULL in answer.text
        return None if later else answer

    def post(self, variant: str, at: int | None = None, patience_s: float = 60, pack: str = "auto") -> list[str]:
        """Post one experiment until it is answered, always with its key; the ids of its runs."""
        with self._lock:
            name = f"faults-{self.seed}-{len(self.posted)}"
            self.posted.add(name)
        document, end = self.specs[variant] | {"name": name, "pack": pack}, time.monotonic() + patience_s
        while time.monotonic() < end:
            answer = self.ask("POST", "/v1/experiments", document, at, **{"Idempotency-Key": name})
            if answer is not None:
                assert answer.status_code == 201, answer.text
                return self.promised(answer.json(), variant)
            at, self.repeats = None, self.repeats + 1
            time.sleep(0.2)
        raise TimeoutError(f"{name} was not answered within {patience_s} s")

    def make(self, parent: str, action: str, order: dict[str, Any], key: str) -> list[str] | None:
        """A retry, fork or replay, until it is answered, and then once more; None where the answer is no."""
        made: set[str] = set()
        for _ in range(40):
            headers = {"Idempotency-Key": f"{self.seed}-{key}"}
            answer = self.ask("POST", f"/v1/runs/{parent}/{action}", order, **headers)
            if answer is None:
                time.sleep(0.2)
                continue
            if answer.status_code != 201:
                return None
            found = answer.json()
            ids = [run["id"] for run in found["runs"]] if "runs" in found else [found["id"]]
            made.update(ids)
            self.accepted.update(dict.fromkeys(ids, self.accepted[parent]))
            if "Idempotent-Replayed" in answer.headers:
                break
        assert len(made) == 1, f"one {action} of {parent} made {made}"
        return sorted(made)

    def promised(self, experiment: dict[str, Any], variant: str) -> list[str]:
        """What a 201 said."""
        ids = [run["id"] for run in experiment["runs"]]
        self.accepted.update(dict.fromkeys(ids, variant))
        return ids

    def wish(self, run_id: str, action: str) -> int:
        """Cancel, pause or resume; the status of the answer, 0 where none came."""
        answer = self.ask("POST", f"/v1/runs/{run_id}/{action}")
        if answer is None:
            return 0
        if answer.status_code == 202:
            self.wished[run_id] = action
        return int(answer.status_code)

    def can(self, action: str) -> bool:
        """Whether the API knows this action; its document is asked for until it comes, and once."""
        while self._paths is None:
            if (answer := self.ask("GET", "/v1/openapi.json")) is not None:
                self._paths = set(answer.json()["paths"])
        return f"/v1/runs/{{run_id}}/{action}" in self._paths

    def states(self) -> dict[str, str]:
        """The state of every promised run, as stored."""
        rows = self.stack.look("SELECT id, state FROM run")
        return {run_id: state for run_id, state in rows if run_id in self.accepted}

    def unfinished(self) -> list[str]:
        return sorted(run_id for run_id, state in self.states().items() if state not in ENDED)

    def some_run(self, rng: random.Random) -> str | None:
        waiting = self.unfinished()
        return rng.choice(waiting) if waiting else None

    def _next(self) -> int:
        self._turn += 1
        return self._turn
