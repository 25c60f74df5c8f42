"""`saddle members` and `saddle invite`."""

from collections.abc import Callable

import pytest

from service.client import Client
from tests.harness.product import Product

Saddle = Callable[..., int]


def test_somebody_is_invited_and_members_are_listed_and_changed(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert saddle("invite", "--role", "viewer", "--days", "2") == 0
    link = capsys.readouterr().out.strip()
    address, _, token = link.partition("/#/invitation/")
    assert address == client.http.address.url.rstrip("/")
    given = {"token": token, "name": "grace", "password": "five small green apples"}
    client.http.post("/v1/invitations/accept", given)
    assert saddle("members") == 0
    assert "grace" in capsys.readouterr().out
    assert saddle("members", "role", "grace", "member") == 0
    assert saddle("members", "remove", "grace") == 0
    assert saddle("members", "remove", "grace") == 2
    assert saddle("members", "role") == 2
    assert "say whom" in capsys.readouterr().err


def test_the_server_admin_disables_an_account_by_its_name(
    saddle: Saddle, client: Client, server: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    client.http.post("/v1/members", {"name": "robot"})
    try:
        server.sql("UPDATE account SET admin = true WHERE name = 'admin'")
        assert saddle("admin", "disable", "robot") == 0
        assert capsys.readouterr().out == "robot is disabled\n"
        assert saddle("admin", "users") == 0
        (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("robot "))
        assert line.endswith("disabled")
        assert saddle("admin", "enable", "robot") == 0
        assert saddle("admin", "disable", "nobody") == 2
        assert "saddle admin users lists them" in capsys.readouterr().err
    finally:
        server.sql("UPDATE account SET admin = false WHERE name = 'admin'")
