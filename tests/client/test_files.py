"""Files with odd names, pipes in the place of files, and keys as they are pasted."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import Client, address
from service.client.commands.predict import read_rows
from service.client.errors import Unusable
from service.client.files import label

Saddle = Callable[..., int]
TABLE = b"a,b\n1,2\n3,4\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"plain.csv", "plain.csv"),
        (b"-lead 'x' \"y\".csv", "-lead 'x' \"y\".csv"),
        ("\u65e5\u672c\u8a9e.csv".encode(), "\u65e5\u672c\u8a9e.csv"),
        (b"two\nlines\x7f.csv", "two\ufffdlines\ufffd.csv"),
        (b"\xff\xfe.csv", "\ufffd\ufffd.csv"),
        ("rtl\u202e.csv".encode(), "rtl\ufffd.csv"),
        (b"  ", "upload"),
        (b"x" * 200, "x" * 128),
        (b"-", "standard input"),
    ],
)
def test_every_file_has_a_name_that_can_be_shown(name: bytes, told: str) -> None:
    assert label(Path(os.fsdecode(name))) == told


def test_a_file_is_uploaded_whatever_its_name_and_so_is_a_pipe(
    client: Client, tmp_path: Path, saddle: Saddle, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xffa\n\"b'.csv"))
    odd.write_bytes(TABLE)
    assert client.upload(odd).name == "\ufffda\ufffd\"b'.csv"
    reading, writing = os.pipe()
    os.write(writing, TABLE)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert saddle("upload", "-", "--format", "csv") == 0
    newest = next(client.datasets(1))
    assert (newest.name, newest.rows) == ("standard input", 2)
    monkeypatch.setattr(sys, "stdin", None)
    assert saddle("upload", "-") == saddle("submit", "-") == 2


def test_an_upload_of_weights_tells_shapes_and_not_every_tensor(
    tmp_path: Path, saddle: Saddle, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import save_file

    save_file(
        {f"layer.{at:02}.weight": np.ones((at + 1, 3), np.float32) for at in range(30)}, tmp_path / "a.safetensors"
    )
    capsys.readouterr()
    assert saddle("upload", tmp_path / "a.safetensors") == 0
    told = capsys.readouterr().out
    assert re.search(r"^layer\.04\.weight +F32 +\[5, 3\]$", told, re.M)
    assert "10 more" in told
    assert "layer.29" not in told


def test_an_export_to_a_hyphen_is_standard_output(
    client: Client, spec: Callable[..., dict[str, Any]], saddle: Saddle, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = client.submit(spec(name="hyphen", steps=3)).runs[0].id
    for _ in client.watch(run):
        pass
    capfdbinary.readouterr()
    assert saddle("export", run, "-o", "-") == 0
    sent = capfdbinary.readouterr().out
    assert sent.startswith(b"run,experiment,")
    assert saddle("export", run, "--output", "-", "--format", "parquet") == 0
    sent = capfdbinary.readouterr().out
    assert (sent[:4], sent[-4:]) == (b"PAR1", b"PAR1")
    assert not Path("-").exists()


def test_blanks_around_a_key_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\ufeff\n key_file.secret\r\n")
    found = [
        address.find("http://x", " key_given.secret\n", {}),
        address.find(None, None, {"SADDLE_URL": " http://x/ \n", "SADDLE_KEY": "\tkey_held.secret \r\n"}),
        address.find("http://x", None, {"SADDLE_KEY_FILE": str(tmp_path / "key")}),
    ]
    assert [each.key for each in found] == ["key_given.secret", "key_held.secret", "key_file.secret"]
    assert {each.url for each in found} == {"http://x"}
    with pytest.raises(Unusable, match="both set"):
        address.find("http://x", None, {"SADDLE_KEY": "key_a", "SADDLE_KEY_FILE": str(tmp_path / "key")})
    for name, why in {"none": "No such file", "empty": "holds no key"}.items():
        (tmp_path / "empty").write_text("\n")
        with pytest.raises(Unusable, match=why):
            address.find("http://x", None, {"SADDLE_KEY_FILE": str(tmp_path / name)})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photos.zip", b"PK\x03\x04\xff\xfe", "neither an image (.png, "),
        ("rows.csv", b"a,b\n1,2,3\n", "more or fewer cells"),
        ("rows.json", b'{"a": 1}', "no list of rows"),
        ("rows.json", b"a: 1", "holds no JSON"),
    ],
)
def test_what_cannot_be_predicted_says_what_can(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unusable, match=re.escape(message)):
        read_rows(tmp_path / name)
