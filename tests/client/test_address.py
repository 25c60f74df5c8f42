import json
import os
from pathlib import Path

import pytest

from service.client import address
from service.client.errors import Unreachable, Unusable


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files that a start on this machine writes."""
    monkeypatch.setattr(address, "BESIDE", tmp_path / "nothing")
    monkeypatch.setattr(address, "SYSTEM", tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".saddle"
    folder.mkdir()
    (folder / "up.json").write_text(json.dumps({"state": "ready", "url": "http://127.0.0.1:8000"}))
    (folder / "key").write_text("key_local.secret\n")
    return {"SADDLE_DATA": str(folder)}


def test_on_the_laptop_nothing_need_be_said(running: dict[str, str]) -> None:
    found = address.find(None, None, running)
    assert (found.url, found.key, found.local) == ("http://127.0.0.1:8000", "key_local.secret", True)
    assert address.find(None, None, {}) == found  # the folder where we stand is our own
    assert "secret" not in repr(found)


def test_what_is_given_comes_first_then_the_environment(running: dict[str, str]) -> None:
    both = running | {"SADDLE_URL": "https://team/", "SADDLE_KEY": "key_team"}
    assert address.find(None, None, both) == address.Address("https://team", "key_team")
    assert address.find("http://other:1", "key_o", both) == address.Address("http://other:1", "key_o")


def test_the_local_key_goes_to_no_other_server(running: dict[str, str]) -> None:
    assert address.find("http://127.0.0.1:8000/", None, running).key == "key_local.secret"
    for elsewhere in ("http://127.0.0.1:9000", "https://team", "http://localhost:8000"):
        with pytest.raises(Unusable, match="SADDLE_KEY"):
            address.find(elsewhere, None, running)


def test_a_folder_of_somebody_else_is_not_believed(running: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".saddle" / "up.json").write_text(json.dumps({"url": "https://thief.example"}))
    with pytest.raises(Unreachable):
        address.find(None, None, running)
    if os.geteuid() == 0:
        (tmp_path / ".saddle" / "up.json").write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
        os.chown(tmp_path / ".saddle", 12345, 12345)
        os.seteuid(12346)
        try:
            with pytest.raises(Unreachable):
                address.find(None, None, {})
        finally:
            os.seteuid(0)


def test_without_a_server_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"run\.py up"):
        address.find(None, None, {"SADDLE_DATA": str(tmp_path)})


@pytest.mark.parametrize("url", ["ftp://x", "http://", "127.0.0.1:8000", "http://a:b@c", "http://x?y=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Unusable, match="SADDLE_URL"):
        address.find(url, "key", {})


@pytest.mark.parametrize("key", ["key with space", "key\nX-Other: 1", "schlüssel"])
def test_a_key_that_would_break_a_header_is_refused(key: str) -> None:
    with pytest.raises(Unusable, match="SADDLE_KEY"):
        address.find("http://x", key, {})
