"""Secrets from files, and what is wrong with a setting in a sentence."""

from pathlib import Path

import pytest

from service import settings
from service.settings import SECRETS, Settings

URL = "postgresql+psycopg://saddle:s%20ecret@db/saddle"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(f"SADDLE_{name.upper()}", raising=False)
    settings.settings.cache_clear()


def test_every_secret_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = {name: f" {name}'s secret " for name in SECRETS} | {"database_url": URL, "broker_url": "redis://:x@broker/0"}
    for name, secret in held.items():
        (tmp_path / name).write_text(f"\ufeff{secret}\r\n")  # as some Windows editors begin a file
        monkeypatch.setenv(f"SADDLE_{name.upper()}_FILE", str(tmp_path / name))
    found = Settings()
    assert (found.database_url, found.broker_url) == (URL, "redis://:x@broker/0")
    for name in SECRETS[1:4]:
        assert getattr(found, name).get_secret_value() == held[name], "blanks of a password are its own"
    monkeypatch.setenv("SADDLE_READER_DB_PASSWORD", "")  # as a compose file sets what nobody gave
    assert Settings().reader_db_password == found.reader_db_password
    assert Settings(database_url="postgresql+psycopg://").database_url == "postgresql+psycopg://"


def test_every_secret_of_the_settings_is_among_them() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret | {"database_url", "broker_url"} == set(SECRETS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x", "SADDLE_DATABASE_URL and SADDLE_DATABASE_URL_FILE are both set: keep one"),
        (None, "cannot be read (No such file or directory)"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8 text"),
        (f"{URL}\n{URL}\n".encode(), "has several lines"),
        (f" {URL} \n".encode(), "SADDLE_DATABASE_URL: string should match pattern"),
    ],
)
def test_a_secret_that_is_not_to_be_had_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    if content == b"x":
        monkeypatch.setenv("SADDLE_DATABASE_URL", URL)
    monkeypatch.setenv("SADDLE_DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SystemExit) as stopped:
        settings.settings()
    assert said in str(stopped.value)
    assert "s%20ecret" not in str(stopped.value)
    assert "SADDLE_POOL" not in str(stopped.value), "only what is wrong is named"
