"""What a worker says it has, and what a machine says its devices are, without torch where there is no GPU."""

import ctypes
import json
import subprocess
import sys
from typing import Any

import pytest

from service.settings import Settings
from service.spec import requirements
from service.spec.catalog import CATALOG
from worker.supervisor import packages
from worker.trainer import devices

WITHOUT_DRIVER = """
import ctypes, sys
from worker.trainer import devices
def missing(name): raise OSError(name)
ctypes.CDLL = missing
print(devices.devices(), "torch" in sys.modules)
"""


def test_a_machine_without_a_gpu_is_answered_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_DRIVER], capture_output=True, text=True, check=True)
    assert done.stdout == "['cpu'] False\n"


class Driver:
    """A stand-in for libcuda."""

    def __init__(self, status: int, count: int) -> None:
        self.status, self.count = status, count

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, found: Any) -> int:
        found._obj.value = self.count
        return 0


@pytest.mark.parametrize(("status", "count", "there"), [(0, 2, True), (0, 0, False), (100, 2, False)])
def test_a_driver_is_believed_when_it_starts_and_counts_one(
    monkeypatch: pytest.MonkeyPatch, status: int, count: int, there: bool
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(status, count))
    assert devices.has_gpu() is there


def test_a_gpu_that_torch_cannot_use_is_told_and_the_cpu_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert devices.devices() == ["cpu"]
    assert "torch" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert json.dumps(devices.devices()) == '["cuda:0", "cuda:1"]'


@pytest.mark.parametrize(
    ("given", "pool"),
    [
        ({}, "cpu"),
        ({"devices": "1"}, "gpu"),
        ({"devices": "all"}, "gpu"),
        ({"devices": "cpu x 2,0"}, "cpu"),
        ({"pool": "cuda"}, "gpu"),
        ({"devices": "0", "pool": "a100"}, "a100"),
    ],
)
def test_a_worker_serves_the_pool_of_its_device(given: dict[str, str], pool: str) -> None:
    assert Settings(database_url="postgresql+psycopg://host/name", **given).pool == pool  # type: ignore[arg-type]


def test_a_worker_has_what_is_installed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "package_version", {"schedulefree": "1.4"}.get)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert packages.installed_packages() == {"schedulefree": "1.4"}
    monkeypatch.setenv("CXX", "some-compiler")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert packages.installed_packages()["c++"] == "/usr/bin/some-compiler"


def test_a_kind_built_by_another_package_says_so() -> None:
    """What lies outside of torch and this project must be in `needs`, or a worker without it fails the run."""
    ours = ("torch", "worker", "service", "sklearn")
    for kinds in CATALOG.values():
        for kind, member in kinds.items():
            assert member.target.partition(".")[0].partition(":")[0] in ("", *ours) or requirements.packages_of(
                member
            ), kind
