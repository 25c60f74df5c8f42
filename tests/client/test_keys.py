"""`saddle keys`: list, create, revoke."""

import json
from collections.abc import Callable

import pytest

from service.client import Client, Refused

from .conftest import SPEC

Saddle = Callable[..., int]


def test_a_key_is_created_listed_and_revoked_by_its_name(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert saddle("keys", "create", "old laptop", "--days", "30") == 0
    key = capsys.readouterr().out.strip()
    with Client(client.http.address.url, f" {key}\n") as other:
        assert other.http.get("/v1/me")["member"] == "admin"
    assert saddle("keys") == 0
    said = capsys.readouterr().out
    assert "old laptop" in said
    assert "expires 20" in said
    assert said.count("this one") == 1
    assert key.partition(".")[2] not in said
    assert saddle("keys", "revoke", "old laptop", "no such key") == 2
    assert "no key is called 'no such key'" in capsys.readouterr().err
    assert saddle("keys", "revoke", "old laptop", "--json") == 0
    (revoked,) = json.loads(capsys.readouterr().out)
    assert revoked["id"] == key.partition(".")[0]
    with Client(client.http.address.url, key) as other, pytest.raises(Refused, match="valid key"):
        other.http.get("/v1/me")
    assert saddle("keys", "create", "ci", "--never", "--days", "1") == 2
    assert saddle("keys", "create", "ci", "--days", "3", "--scope", "read") == 0
    key = capsys.readouterr().out.strip()
    with Client(client.http.address.url, key) as soon:
        assert soon.project().id
        assert soon.http.key_expires, "it ends within two weeks"
    assert saddle("keys", "rotate", "ci", "--overlap", "0") == 0
    said = capsys.readouterr()
    assert said.out.startswith("key_")
    assert f"{key.partition('.')[0]} ends now" in said.err
    assert saddle("keys", "list") == 0
    assert "old laptop" not in capsys.readouterr().out
    assert saddle("keys", "list", "--all") == 0
    assert "revoked" in capsys.readouterr().out


def test_a_key_that_is_not_clear_and_the_one_in_use_stay(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    twins = [client.create_key("twin") for _ in range(2)]
    assert saddle("keys", "revoke", "twin") == 2
    said = capsys.readouterr().err
    assert "2 keys are called 'twin', so nothing was done" in said
    assert all(twin.id in said for twin in twins)
    (current,) = [each for each in client.api_keys() if each.current]
    assert saddle("keys", "revoke", current.id) == 2
    assert "create another one" in capsys.readouterr().err
    assert saddle("keys", "revoke", twins[0].id[-8:], twins[1].id) == 0
    for wrong in (["keys", "create"], ["keys", "create", "a", "b"], ["keys", "revoke"], ["keys", "list", "x"]):
        assert saddle(*wrong) == 2


def test_a_key_has_limits_of_its_own_which_are_listed_and_hold(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["--runs-per-day", "2", "--seconds-per-day", "3600"]
    assert saddle("keys", "create", "with limits", "--scope", "submit", *limits) == 0
    key = capsys.readouterr().out.strip()
    assert saddle("keys") == 0
    assert "2 runs a day, 3,600 s a day" in capsys.readouterr().out
    with Client(client.http.address.url, key) as limited:
        limited.submit(SPEC | {"seeds": [0, 1]})
        with pytest.raises(Refused, match="limit of 2 runs queued in a day"):
            limited.submit(SPEC | {"seeds": [2]})
    assert saddle("keys", "create", "none", "--runs-per-day", "-1") == 2
    assert "runs_per_day" in capsys.readouterr().err
    assert saddle("keys", "revoke", "with limits") == 0
