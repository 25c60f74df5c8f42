"""Signing in through an OpenID provider: a real one, in a process of its own."""

import base64
import hashlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.people import ORIGIN, PASSWORD, Person
from tests.harness.waiting import until

Invite = Callable[..., str]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(address).is_success
        except httpx.HTTPError:
            return False

    try:
        until(answers)
        for name, verified in (("ada", True), ("grace", True), ("mallory", False), ("linus", True)):
            claims = {"email": f"{name}@example.org", "email_verified": verified, "preferred_username": name}
            httpx.put(f"{address}/users/{name}", json=claims).raise_for_status()
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def served(settings: Settings, issuer: str) -> Iterator[Callable[[], TestClient]]:
    """Browsers of a server that has the provider, and lets owners of addresses at example.org in."""
    more = {
        "oidc_issuer": issuer,
        "oidc_client_id": "saddle",
        "oidc_client_secret": SecretStr("s"),
        "oidc_domains": "example.com, Example.org",
    }
    with TestClient(create_app(settings.model_copy(update=more)), headers=ORIGIN) as first:

        def opened() -> TestClient:
            client = TestClient(first.app, headers=ORIGIN, raise_server_exceptions=False)
            client.app_state.update(first.app_state)
            return client

        yield opened


def at_provider(browser: TestClient, sub: str) -> dict[str, str]:
    """Begin in this browser and sign in at the provider; return what it hands to the page."""
    started = browser.get("/v1/provider/start", follow_redirects=False)
    assert started.status_code == 303
    asked = parse_qs(urlsplit(started.headers["Location"]).query)
    verifier = browser.cookies["saddle-80-provider"].split(".")[2]  # which this provider does not check
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (asked["code_challenge_method"], asked["code_challenge"]) == (["S256"], [challenge])
    back = httpx.post(started.headers["Location"], data={"sub": sub})
    returned = urlsplit(back.headers["Location"])
    assert returned.path == "/v1/provider/callback"
    page = browser.get(f"{returned.path}?{returned.query}", follow_redirects=False).headers["Location"]
    assert page.startswith("/#/provider?")
    return {name: values[0] for name, values in parse_qs(page.partition("?")[2]).items()}


def finish(browser: TestClient, handed: dict[str, str], **more: str) -> Any:
    return browser.post("/v1/provider/finish", json={"code": handed["code"], "state": handed["state"], **more})


def enter(browser: TestClient, sub: str, **more: str) -> Any:
    return finish(browser, at_provider(browser, sub), **more)


def test_a_first_sign_in_makes_an_account_for_a_verified_address_of_a_domain(
    served: Callable[[], TestClient], engine: Engine
) -> None:
    browser = served()
    assert browser.get("/v1/sign_in").json() == {"provider": "127.0.0.1"}
    me = enter(browser, "grace").json()
    assert (me["member"], me["project"], me["key_id"]) == ("grace", "", "")
    assert browser.get("/v1/me").json() == me
    assert browser.get("/v1/account").json()["email"] == "grace@example.org"
    assert enter(served(), "grace").json()["account_id"] == me["account_id"], "the second time it is the same"
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM account WHERE name = 'grace'")).scalar_one() == 1


def test_strangers_and_unverified_addresses_need_an_invitation(
    served: Callable[[], TestClient], client: TestClient, invite: Invite
) -> None:
    for sub in ("mallory", "somebody@elsewhere.org"):
        refused = enter(served(), sub)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), sub
    browser = served()
    me = enter(browser, "mallory", invitation=invite(role="viewer")).json()
    assert (me["member"], me["project"], me["role"]) == ("mallory", "default", "viewer")
    assert browser.get("/v1/account").json()["email"] is None, "nobody has verified it"


def test_an_address_that_an_account_has_is_linked_by_its_owner_alone(
    served: Callable[[], TestClient], person: Person
) -> None:
    person("linus", email="LINUS@example.org")
    assert enter(served(), "linus").status_code == 409
    browser = served()
    me = browser.post("/v1/session", json={"name": "linus", "password": PASSWORD}).json()
    assert enter(browser, "linus").json() == me
    assert len(browser.get("/v1/account").json()["providers"]) == 1
    assert enter(served(), "linus").json()["account_id"] == me["account_id"]
    other = served()
    assert enter(other, "grace").status_code == 200
    assert enter(other, "linus").status_code == 409, "it belongs to linus"


def test_an_answer_is_taken_once_and_only_by_the_browser_that_began(served: Callable[[], TestClient]) -> None:
    mine, theirs = served(), served()
    handed = at_provider(mine, "grace")
    at_provider(theirs, "grace")
    for browser in (theirs, served()):
        refused = finish(browser, handed)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/state")
    assert finish(mine, handed | {"code": "x"}).json()["errors"][0]["pointer"] == "/code"
    assert finish(mine, handed).status_code == 200
    assert finish(mine, handed).status_code == 422


def test_the_nonce_must_be_that_of_the_beginning(served: Callable[[], TestClient]) -> None:
    browser = served()
    handed = at_provider(browser, "grace")
    name = "saddle-80-provider"
    parts = browser.cookies[name].strip('"').split(".")
    parts[1] = "x" * 43
    browser.cookies.clear()
    headers = {"Cookie": f"{name}={'.'.join(parts)}"}
    refused = browser.post("/v1/provider/finish", json=handed, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/code")


def test_a_disabled_account_stays_outside(served: Callable[[], TestClient], engine: Engine) -> None:
    enter(served(), "grace")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE account SET disabled_at = clock_timestamp() WHERE name = 'grace'"))
    assert enter(served(), "grace").status_code == 403


def test_without_a_provider_there_is_none(bare: TestClient) -> None:
    assert bare.get("/v1/sign_in").json() == {"provider": None}
    assert bare.get("/v1/provider/start").status_code == 404
    finished = bare.post("/v1/provider/finish", json={"code": "x", "state": "y"})
    assert finished.status_code == 422


def test_a_provider_that_is_away_is_told_so(settings: Settings, key: str) -> None:
    gone = settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "saddle"})
    with TestClient(create_app(gone)) as browser:
        assert browser.get("/v1/provider/start").json()["code"] == "unavailable"


def test_the_api_loads_no_client_of_a_provider() -> None:
    code = "import sys, service.api.app; print({'authlib', 'httpx', 'joserfc', 'pwdlib', 'argon2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
