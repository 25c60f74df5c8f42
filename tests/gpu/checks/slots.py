"""Slots: `all` finds every GPU, and a trainer sees that of its slot alone, named by index or UUID."""

import tempfile
import time
from pathlib import Path

import torch

from service.settings import Settings
from tests.gpu.check import device, main
from worker.supervisor.slots import split_slots
from worker.supervisor.trainer_process import TrainerProcess

LIMIT_S = 60
RUNS_ON_CPU = True
READY_S = 40.0


def check() -> dict[str, float | str]:
    """Start a trainer for each way to name the device; each becomes ready on it."""
    on = device()
    gpus = torch.cuda.device_count() if on.type == "cuda" else 0
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = slots("all", folder)
        figures: dict[str, float | str] = {"seconds to list": time.monotonic() - began, "slots": len(found)}
        expected = [str(index) for index in range(gpus)] or ["cpu"]
        assert on.type == "cpu" or [slot.devices for slot in found] == expected, found
        names = ["0", f"GPU-{torch.cuda.get_device_properties(0).uuid}"] if gpus else ["cpu"]
        for name in names:
            (slot,) = slots(name, folder)
            began = time.monotonic()
            trainer = TrainerProcess.start(slot)
            try:
                assert trainer.ready.wait(READY_S), f"no trainer starts on {name}: {trainer.output_tail()}"
                assert trainer.device["kind"] == on.type, trainer.device
                if gpus:
                    assert trainer.device["name"] == torch.cuda.get_device_name(0), trainer.device
            finally:
                trainer.kill()
            figures[f"seconds to start on {name[:8]}"] = time.monotonic() - began
    return figures


def slots(devices: str, folder: str) -> list[Settings]:
    """Return the slots of a worker with this setting."""
    return split_slots(Settings(database_url="postgresql+psycopg://", data_dir=Path(folder), devices=devices))


if __name__ == "__main__":
    main(check)
