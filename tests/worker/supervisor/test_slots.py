"""The slots of a worker: what SADDLE_DEVICES names, which devices a trainer sees, and the sign of life of all."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.devices import parse_slots
from service.settings import Settings, settings
from worker.supervisor import slots
from worker.supervisor.alive_file import AliveFile
from worker.supervisor.slots import split_slots
from worker.supervisor.trainer_process import TrainerProcess
from worker.supervisor.visibility import NoDevice, torch_device, visible_devices

URL = "postgresql+psycopg://nobody@nowhere/nothing"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SADDLE_DEVICE", "SADDLE_DEVICES", "SADDLE_POOL", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("all", None),
        ("cpu", [("cpu",)]),
        ("0,1", [("0",), ("1",)]),
        (" 0 , 01 ", [("0",), ("1",)]),
        ("cuda:2", [("2",)]),
        ("cuda", [("0",)]),
        ("cpu x 3", [("cpu",)] * 3),
        ("0x2,1", [("0",), ("0",), ("1",)]),
        ("0+1 x 2", [("0", "1"), ("0", "1")]),
        ("cpu+cpu", [("cpu", "cpu")]),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", [("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",)]),
        ("MIG-GPU-8932f937/1/0 + MIG-0a1b", [("MIG-GPU-8932f937/1/0", "MIG-0a1b")]),
    ],
)
def test_the_setting_names_slots(text: str, found: Any) -> None:
    assert parse_slots(text) == found


FORMS = "give all, or slots separated by commas; a slot is cpu, a GPU's index (0) or UUID (GPU-..., MIG-...)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", FORMS),
        ("0,", FORMS),
        ("gpu", f"'gpu' is not a device: {FORMS}"),
        ("-1", FORMS),
        ("0 1", FORMS),
        ("all,0", "'all' is not a device"),
        ("0+cpu", "'0+cpu' mixes the CPU with a GPU"),
        ("0+0", "'0+0' names a GPU twice"),
        ("cpu x 0", "'cpu x 0' repeats a slot 0 times: use 1 to 64"),
        ("cpu x 40,0 x 40", "80 slots; a worker has at most 64"),
        ("+".join(["cpu"] * 17), "has 17 devices: use at most 16"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_the_allowed_forms(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("SADDLE_DATABASE_URL", URL)
    monkeypatch.setenv("SADDLE_DEVICES", text)
    settings.cache_clear()
    with pytest.raises(SystemExit) as stopped:
        settings()
    assert str(stopped.value).startswith("saddle: SADDLE_DEVICES: ")
    assert said in str(stopped.value)


def test_the_old_setting_is_read_where_the_new_one_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADDLE_DEVICE", "cuda:1")
    (slot,) = split_slots(Settings(database_url=URL))
    assert (slot.devices, slot.pool) == ("1", "gpu")
    monkeypatch.setenv("SADDLE_DEVICES", "cpu")
    assert Settings(database_url=URL).devices == "cpu"


def named(given: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = split_slots(Settings(database_url=URL, worker_name="w", **given))
    return [(slot.worker_name, slot.devices, slot.pool) for slot in found]


def test_several_slots_have_names_of_their_own_and_the_pool_of_their_devices() -> None:
    assert named({"devices": "0+1"}) == [("w", "0+1", "gpu")]
    assert named({"devices": "0,cpu"}) == [("w.1", "0", "gpu"), ("w.2", "cpu", "cpu")]
    assert named({"devices": "0,cpu", "pool": "lab"}) == [("w.1", "0", "lab"), ("w.2", "cpu", "lab")]


def detected(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    monkeypatch.setattr(slots, "DETECTION", (sys.executable, "-c", f"print({json.dumps(found)!r})"))


def test_all_is_every_gpu_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, "cuda:0", "cuda:1")
    assert named({"devices": "all"}) == [("w.1", "0", "gpu"), ("w.2", "1", "gpu")]
    detected(monkeypatch, "cpu")
    assert named({"devices": "all"}) == [("w", "cpu", "cpu")]
    with pytest.raises(NoDevice, match="no GPU can be used"):
        named({"devices": "all", "pool": "gpu"})
    monkeypatch.setattr(slots, "DETECTION", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(NoDevice, match="name them in SADDLE_DEVICES"):
        named({"devices": "all"})


def test_a_trainer_sees_its_own_devices_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [visible_devices(each) for each in (("cpu",), ("1",), ("0", "2"), ("MIG-1",))] == ["", "1", "0,2", "MIG-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-a")  # such as a scheduler sets it
    assert visible_devices(("0", "1")) == "3,GPU-a"
    assert visible_devices(("GPU-b",)) == "GPU-b"
    with pytest.raises(NoDevice, match="there is no GPU 2: CUDA_VISIBLE_DEVICES of this worker is 3,GPU-a"):
        named({"devices": "0,2"})
    assert (torch_device(("5",)), torch_device(("cpu", "cpu"))) == ("cuda:0", "cpu")


@pytest.mark.parametrize(
    ("devices", "visible", "arguments"),
    [("cpu", "", "cpu -"), ("3", "3", "cuda:0 -"), ("0+2", "0,2", "cuda:0 2"), ("cpu+cpu", "", "cpu 2")],
)
def test_a_trainer_is_started_for_the_devices_of_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: str, visible: str, arguments: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES|$4 ${{8:--}}" > {tmp_path}/seen\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    trainer = TrainerProcess.start(Settings(database_url=URL, devices=devices, data_dir=tmp_path))
    assert not trainer.is_alive(patience_s=20)
    trainer.kill()
    assert (tmp_path / "seen").read_text() == f"{visible}|{arguments}\n"


def test_the_sign_of_life_is_that_of_the_slot_that_waits_longest(tmp_path: Path) -> None:
    alive = AliveFile(tmp_path / "alive", ["w.1", "w.2"])
    alive.touch("w.1")
    assert not (tmp_path / "alive").exists(), "the other slot has had no answer yet"
    alive.touch("w.2")
    time.sleep(0.2)
    alive.touch("w.1")
    age_s = time.time() - (tmp_path / "alive").stat().st_mtime
    assert 0.15 < age_s < 10
    alive.forget("w.2")
    assert time.time() - (tmp_path / "alive").stat().st_mtime < age_s
