"""`saddle members` and `saddle invite`."""

from collections.abc import Callable

import pytest

from service.client import Client

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
