"""An app with an experiment that has everything, and what must be true of its answer to any request."""

import json
from types import TracebackType
from typing import Any, Self

from fastapi.testclient import TestClient

from service.api.app import create_app
from service.db.access.projects import new_key
from service.db.session import ROOT, make_engine, transaction
from tests.api.hostile import Hostile, Requests
from tests.fixtures.api import Worker, points, quick

SPEC: dict[str, Any] = {
    "name": "hostile",
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
    "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "schedule": {"kind": "cosine"},
    "groups": [{"match": {"name": "*bias"}, "optimizer": {"kind": "sgd", "lr": 0.01}}],
    "probes": [{"kind": "gradients"}],
    "checkpoint": {"every_steps": 10, "keep_every": 10},
    "evaluate": {"every_steps": 10},
    "seeds": [0],
    "tags": ["a"],
    "steps": 30,
    "batch_size": 32,
}
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())  # test_openapi: it is the served one


def operations() -> list[tuple[str, str]]:
    """Every method and path, but for the project's stream, which has no end."""
    return [(method, path) for path, of in DOCUMENT["paths"].items() for method in of if path != "/v1/events"]


class HostileServer:
    """Sends requests with a key, and says what is wrong with an answer."""

    def __init__(self, url: str) -> None:
        self._client = TestClient(create_app(quick(url)), raise_server_exceptions=False)
        self._engine = make_engine(url, pool_size=2)
        self.known: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._client.__enter__()
        with transaction(self._engine) as connection:
            self._client.headers["Authorization"] = f"Bearer {new_key(connection, 'default', 'ada')}"
            other = new_key(connection, "default", "grace").partition(".")[0]
        self._deleted, _ = self._trained()
        experiment, run = self._trained()
        question = {"experiments": [experiment], "series": ["loss"]}
        comparison = self._client.post("/v1/comparisons", json=question).json()["id"]
        self.known = {
            **{"experiment_id": experiment, "run_id": run, "comparison_id": comparison, "key_id": other},
            **{"exp": experiment, "run": run, "cmp": comparison, "runs": run, "names": "loss"},
            **{"family": "optimizers", "kind": "sgd", "step": "20", "file": "state.json"},
            **{"name": "ada", "member": "ada", "finding": "R22"},
        }
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.__exit__(None, None, None)
        self._engine.dispose()

    def _trained(self) -> tuple[str, str]:
        """An experiment with points, checkpoints and an end."""
        posted = self._client.post("/v1/experiments", json=SPEC)
        assert posted.status_code == 201, posted.text
        worker = Worker(self._engine)
        held = worker.claim()
        worker.save(held, 10, points(1, 10))
        worker.save(held, 20, points(11, 20))
        worker.finish(held, points(21, 30))
        return posted.json()["id"], held.run_id

    def requests(self, method: str) -> Requests:
        """Return the requests of the API's document; a deletion is of another experiment than all others."""
        known = self.known | ({"experiment_id": self._deleted} if method == "delete" else {})
        run, experiment = self.known["run_id"], self.known["experiment_id"]
        fork = {"optimizer": {"lr": 0.1}, "schedule": {"kind": "constant"}, "groups": SPEC["groups"]}
        patch = [{"op": "replace", "path": "/optimizer", "value": {"kind": "adam", "lr": 0.1}}]
        bodies: dict[str, list[Any]] = {
            "post_experiment": [SPEC, {"preset": "digits-adam", "name": "a", "optimizer": {"kind": "adam", "lr": 0.1}}],
            "fork_run": [{"step": 20, "changes": fork}, {"step": 20, "changes": patch}],
            "probe_run": [{"step": 20, "probes": [{"kind": "line", "run": run}]}],
            "post_comparison": [
                {"experiments": [experiment], "series": ["loss"], "group": "optimizer.kind"},
                {"filter": "optimizer.kind = sgd", "series": ["loss"]},
            ],
            "post_key": [{"member": "ada", "name": "a"}],
        }
        return Requests(DOCUMENT, known, bodies)

    def fault(self, request: Hostile) -> str | None:
        """Return what is wrong with the answer: a failure, or a refusal without a problem document."""
        said = f"{request.method.upper()} {request.path[:100]} ({request.what})"
        answer = self._client.request(
            request.method, request.path, headers=dict(request.headers), content=request.body, follow_redirects=False
        )
        hides = answer.status_code == 429 and "/session" not in request.path  # a limit, which hides the answer
        if answer.status_code >= 500 or hides:
            return f"{answer.status_code} to {said}: {answer.text[:200]}"
        if answer.status_code < 400 or request.method == "head":
            return None
        media = answer.headers.get("content-type")
        if media != "application/problem+json" or json.loads(answer.content)["status"] != answer.status_code:
            return f"{answer.status_code} as {media} to {said}"
        return None if len(answer.content) < 4096 else f"{len(answer.content)} bytes to {said}"
