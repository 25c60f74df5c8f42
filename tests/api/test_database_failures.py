"""Every route while the database is away, locked or slow: 503 with a stable code, never a 500."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import sql
from sqlalchemy import Engine, event, make_url

from service.api.app import create_app
from service.api.middleware import authentication
from service.api.routes import service
from service.db.access.principal import Principal
from service.db.session import autocommit, make_engine, transaction
from service.local.postgres import EmbeddedPostgres
from tests.fixtures.api import SPEC, Worker, points, quick

from .test_authentication import EVERY, fill

NO_DATABASE = {  # (method, path) of what is answered without it
    *(("GET", path) for path in ("/", "/page/{name:path}", "/v1/livez", "/v1/openapi.json")),
    *(("GET", f"/v1/{path}") for path in ("me", "presets", "presets/{name}", "symptoms", "symptoms/{name}")),
    ("GET", "/v1/diagnosis/rules"),
    ("GET", "/v1/studies/presets"),
    ("GET", "/v1/catalog/experiment"),
    ("POST", "/v1/schedules/preview"),
    ("DELETE", "/v1/session"),  # of a key, which has no session to end
    ("GET", "/v1/sign_in"),
}
ELSEWHERE = {  # tests/api/people/test_provider, and of the metrics tests/api/observation, try them
    ("GET", "/metrics"),
    *(("GET", f"/v1/provider/{word}") for word in ("start", "callback")),
    ("POST", "/v1/provider/finish"),
}
QUERIES = {
    "/v1/series": "?runs={run_id}",
    "/v1/series/axes": "?runs={run_id}",
    "/v1/runs/{run_id}/superseded": "?names=loss",
    "/v1/datasets": "?name=x.csv",
}
STUDY = {
    "base": SPEC,
    "space": {"/optimizer/lr": {"kind": "choice", "options": [0.1, 0.2]}},
    "budget": {"trials": 1},
}
AUGMENTED = {"dataset": {"kind": "images", "upload": "dat_" + "0" * 26}, "augment": [{"kind": "horizontal_flip"}]}
TABLE = b"a,b\n" + b"1,2\n3,5\n" * 20
WORDS = {  # what stands for the other parameters of paths
    "name:path": "app.js",
    "family": "optimizers",
    "kind": "sgd",
    "step": "1",
    "file": "state.json",
    "finding": "f" * 16,
}


def bodies(ids: dict[str, str], key: str) -> dict[tuple[str, str], Any]:
    """Of the routes that read one before they ask the database."""
    return {
        ("POST", "/v1/experiments"): SPEC,
        ("POST", "/v1/comparisons"): {"experiments": [ids["experiment_id"]]},
        ("POST", "/v1/studies"): STUDY,
        ("POST", "/v1/studies/{study_id}/extend"): {"trials": 1},
        ("POST", "/v1/studies/{study_id}/trials"): {"point": {"/optimizer/lr": 0.1}},
        ("POST", "/v1/session"): {"key": key},
        ("POST", "/v1/keys"): {"name": "laptop"},
        ("PUT", "/v1/quotas/{name}"): {"value": 9},
        ("PUT", "/v1/admin/quotas/{name}"): {"value": 9},
        ("POST", "/v1/members"): {"name": "robot"},
        ("POST", "/v1/invitations"): {},
        ("POST", "/v1/channels"): {"kind": "webhook", "address": "https://example.org/"},
        ("PATCH", "/v1/channels/{channel_id}"): {"name": "other"},
        ("POST", "/v1/experiments/{experiment_id}/comments"): {"text": "fine"},
        ("PATCH", "/v1/comments/{comment_id}"): {"text": "fine"},
        ("POST", "/v1/views"): {"place": "experiments", "name": "mine"},
        ("PATCH", "/v1/views/{view_id}"): {"name": "other"},
        ("PATCH", "/v1/project"): {"members_manage": True},
        **{
            ("POST", f"/v1/experiments/{{experiment_id}}/{verb}"): {"project": "other"}
            for verb in ("move", "share", "unshare")
        },
        ("PATCH", "/v1/members/{member_id}"): {"role": "viewer"},
        ("POST", "/v1/projects"): {"name": "vision"},
        ("PATCH", "/v1/session"): {"project_id": "x"},
        ("PATCH", "/v1/account"): {"email": None},
        ("PUT", "/v1/account/password"): {"password": "five small green apples"},
        ("POST", "/v1/invitations/accept"): {"token": "x", "name": "bob", "password": "five small green apples"},
        **{("POST", f"/v1/{path}"): {"token": "x"} for path in ("invitations/open", "projects/join")},
        ("POST", "/v1/schedules/preview"): {"schedule": {"kind": "cosine"}, "lr": 0.1, "steps": 10},
        ("PATCH", "/v1/runs/{run_id}"): {"priority": 1},
        ("PATCH", "/v1/experiments/{experiment_id}"): {"tags": ["a"]},
        ("POST", "/v1/runs/{run_id}/probes"): {"probes": [{"kind": "sharpness"}]},
        ("POST", "/v1/runs/{run_id}/forks"): {"step": 1, "changes": {}},
        ("POST", "/v1/runs/{run_id}/predict"): {"rows": [[0.0] * 4]},
        ("POST", "/v1/augmentations/preview"): SPEC | AUGMENTED,
        ("POST", "/v1/comparisons/{comparison_id}/confirm/extend"): {"seeds": 1},
    }


class House:
    """An API with one experiment, and the means to hurt its database."""

    def __init__(self, client: TestClient, owner: psycopg.Connection, database: str, key: str) -> None:
        self.client, self.owner, self.database, self.key = client, owner, database, key
        self.engine: Engine = client.app_state["runtime"].engine
        self.limits: dict[str, Any] = dict.fromkeys(
            ("lock_timeout", "statement_timeout"), 0
        )  # ms, from the next use on
        event.listen(self.engine, "checkout", self._limit)
        posted = client.post("/v1/experiments", json=SPEC).json()
        table = client.post("/v1/datasets?name=x.csv", content=TABLE).json()
        ids = {
            "key_id": key.partition(".")[0],
            "experiment_id": posted["id"],
            "run_id": posted["runs"][0]["id"],
            "dataset_id": table["id"],
            "session_id": "ses_" + "0" * 26,
            "member_id": "mem_" + "0" * 26,
            "invitation_id": "inv_" + "0" * 26,
            "account_id": "acc_" + "0" * 26,
            "channel_id": "chn_" + "0" * 26,
            "comment_id": "cmt_" + "0" * 26,
            "study_id": "std_" + "0" * 26,
            "view_id": "viw_" + "0" * 26,
            "job_id": "run_" + "0" * 26,
        }
        self.ids = ids | {
            "comparison_id": client.post("/v1/comparisons", json={"experiments": [posted["id"]]}).json()["id"]
        }

    def _limit(self, session: Any, *_: Any) -> None:
        for name, limit in self.limits.items():
            session.execute(f"SET {name} = {limit}")
        session.commit()

    def walk(self) -> dict[tuple[str, str], tuple[int, str]]:
        """Status and code that each route answers with."""
        return {route: self.ask(*route) for route in EVERY}

    def ask(self, method: str, path: str) -> tuple[int, str]:
        named = {
            "name": "queued_runs" if "quotas" in path else "batch-of-one" if "symptoms" in path else "adam-constant"
        }
        ids, body = self.ids | WORDS | named, bodies(self.ids, self.key).get((method, path))
        url = (path + (QUERIES.get(path, "") if method != "DELETE" else "")).replace("{name:path}", "app.js")
        content = TABLE if (method, path) == ("POST", "/v1/datasets") else None
        if (method, path) == ("GET", "/v1/datasets"):
            url = path
        answer = self.client.request(
            "HEAD" if path == "/v1/events" else method, fill(url, ids), json=body, content=content
        )
        if answer.status_code < 400:
            return answer.status_code, ""
        assert answer.headers["content-type"] == "application/problem+json", (method, path)
        assert answer.status_code != 503 or int(answer.headers["Retry-After"]) > 0, (method, path)
        return answer.status_code, answer.json()["code"] if answer.content else ""


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, module_url: str) -> Iterator[House]:
    database = str(make_url(module_url).database)
    engine = make_engine(module_url, pool_size=1)
    with transaction(engine) as connection:
        key = authentication.projects.new_key(connection, "default", "ada")
    engine.dispose()
    with (
        TestClient(create_app(quick(module_url)), raise_server_exceptions=False) as client,
        psycopg.connect(postgres.dsn("postgres"), autocommit=True) as owner,
    ):
        client.headers["Authorization"] = f"Bearer {key}"
        yield House(client, owner, database, key)


@contextmanager
def ended(owner: psycopg.Connection, database: str) -> Iterator[None]:
    """Every connection to the database is ended, and no new one made."""
    name = sql.Identifier(database)
    owner.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
    try:
        yield
    finally:
        owner.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


def away(house: House) -> AbstractContextManager[None]:
    return ended(house.owner, house.database)


@contextmanager
def held(house: House, limit: str) -> Iterator[None]:
    """Another session holds every table; `limit` ends whoever waits for one."""

    house.limits[limit] = 10
    try:
        with psycopg.connect(house.owner.info.dsn, dbname=house.database) as holder:
            tables = holder.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            listed = sql.SQL(", ").join(sql.Identifier(name) for (name,) in tables)
            holder.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed))
            yield
            holder.rollback()
    finally:
        house.limits[limit] = 0


TROUBLES: dict[str, tuple[Callable[[House], AbstractContextManager[None]], str]] = {
    "away": (away, "unavailable"),
    "locked": (lambda house: held(house, "lock_timeout"), "database_locked"),
    "slow": (lambda house: held(house, "statement_timeout"), "database_slow"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_route_says_that_the_database_cannot_serve(
    house: House, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, code = TROUBLES[trouble]
    with autocommit(house.engine) as connection:
        principal = authentication.projects.find_principal(connection, house.key)
    assert isinstance(principal, Principal)
    principal = replace(principal, server_admin=True, key_id="")  # who may do everything
    monkeypatch.setattr(
        authentication, "find_principal", lambda *_: principal
    )  # so that each route gets to its own statements
    with begin(house):
        found = house.walk()
    expected = {route: (503, code) for route in EVERY if route not in NO_DATABASE | ELSEWHERE}
    if trouble == "away":
        expected["GET", "/v1/events"] = (503, "")  # asked with HEAD: it has no end
    else:
        expected["GET", "/v1/events"] = (200, "")  # it has begun, and waits for its first look
    assert {route: found[route] for route in expected} == expected
    assert {route for route in NO_DATABASE if found[route][0] >= 400} == set()
    assert house.ask("GET", "/v1/runs/{run_id}") == (200, ""), "it serves again"


def test_the_key_is_looked_up_with_the_same_answer(house: House) -> None:
    with away(house):
        assert house.ask("GET", "/v1/me") == (503, "unavailable")


def test_a_database_that_hangs_is_told_before_a_health_check_gives_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "READY_S", 0.2)
    with psycopg.connect(house.owner.info.dsn, dbname=house.database) as holder:
        holder.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert house.ask("GET", "/v1/readyz") == (503, "unavailable")
        assert time.monotonic() - began < 5
        holder.rollback()
    assert house.ask("GET", "/v1/readyz") == (200, "")


def test_a_stream_under_way_waits_for_the_database(
    postgres: EmbeddedPostgres, database_url: str, live: str, key: str, engine: Engine, worker: Worker
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    run = httpx.post(f"{live}/v1/experiments", json=SPEC, headers=headers).json()["runs"][0]["id"]
    name = str(make_url(database_url).database)
    held = worker.claim()
    with httpx.stream("GET", f"{live}/v1/runs/{run}/events", headers=headers, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event: state"))
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as owner, ended(owner, name):
            time.sleep(0.2)  # several looks of the poller find nobody
        engine.dispose()
        worker.finish(held, points(1, 3))
        assert next(line for line in lines if line.startswith("event: end"))
