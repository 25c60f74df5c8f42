"""`saddle notifications` and `saddle audit`."""

import json
from collections.abc import Callable

import pytest

from service.client import Client

Saddle = Callable[..., int]


def test_channels_are_listed_and_tested_and_the_audit_tells(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.http.post("/v1/channels", {"kind": "webhook", "address": "https://0x7f.1/", "name": "ops"})
    assert saddle("notifications") == 0
    assert "ops" in capsys.readouterr().out
    assert saddle("notifications", "test", "ops") == 1
    assert "not delivered: 0x7f.1 is a private" in capsys.readouterr().out
    assert saddle("notifications", "deliveries", "ops", "--json") == 0
    (message,) = json.loads(capsys.readouterr().out)
    assert message["state"] == "failed"
    assert saddle("audit", "--action", "channel", "--limit", "2") == 0
    said = capsys.readouterr().out
    assert said.index("channel.test") < said.index("channel.create")
    assert saddle("audit", "--server") == 2
    assert "only server admins" in capsys.readouterr().err
    for wrong in (["test"], ["list", "ops"], ["test", "nobody"]):
        assert saddle("notifications", *wrong) == 2
