"""Reading ahead and scaling on the device: the same rows, whoever reads them and wherever they are scaled."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worker.trainer.data.batches import Batches
from worker.trainer.data.memory_mapped import DeviceScale, MappedRows, PackedRows
from worker.trainer.data.read_ahead import DEPTH, ReadAhead
from worker.trainer.data.scaling import Scale

CPU = torch.device("cpu")


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def mapped(folder: Path, values: np.ndarray[Any, Any], scale: Scale | None = None) -> MappedRows:
    np.save(folder / "x.npy", values)
    return MappedRows(np.load(folder / "x.npy", mmap_mode="r"), np.arange(len(values))[::-1], scale)


def test_it_reads_a_few_updates_beyond_the_one_taken_and_none_beyond_the_last() -> None:
    read: list[int] = []
    ahead = ReadAhead(lambda step: read.append(step) or step, last=6)
    assert [ahead.take(step) for step in (1, 2, 3)] == [1, 2, 3]
    ahead.close()
    assert set(range(1, 4)) <= set(read) <= set(range(1, 4 + DEPTH))
    assert len(read) == len(set(read))
    ahead = ReadAhead(lambda step: read.append(step) or step, last=6)
    assert [ahead.take(step) for step in (5, 6)] == [5, 6]
    ahead.close()
    assert max(read) == 6
    assert readers() == []


def test_any_update_can_be_asked_for_in_any_order() -> None:
    ahead = ReadAhead(lambda step: step * step, last=100)
    order = [1, 2, 2, 50, 3, 4, 5, 99, 100, 1]
    assert [ahead.take(step) for step in order] == [step * step for step in order]
    ahead.close()


def test_an_error_of_the_thread_is_raised_at_its_own_update() -> None:
    def read(step: int) -> int:
        if step == 3:
            raise OSError("the disk is gone")
        return step

    ahead = ReadAhead(read, last=9)
    assert [ahead.take(step) for step in (1, 2)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.take(3)
    ahead.close()


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("scaled", [True, False])
def test_a_device_scales_and_converts_to_the_bits_of_numpy(kind: str, scaled: bool, tmp_path: Path) -> None:
    rows = (np.random.RandomState(0).standard_normal((50, 3, 4)) * 100 + 130).clip(0, 255).astype(kind)
    wide = rows.astype(np.float64)
    scale = Scale(wide.mean(0), wide.std(0)) if scaled else None
    on_host = mapped(tmp_path, rows, scale).read(np.arange(50)[::-1])
    on_device = DeviceScale(scale, CPU).apply(torch.from_numpy(rows))
    assert on_host.dtype == on_device.dtype == (torch.int64 if kind == "int64" and not scaled else torch.float32)
    assert torch.equal(on_host, on_device)
    if kind == "uint8":
        packed = PackedRows(torch.from_numpy(rows), DeviceScale(scale, CPU))
        assert torch.equal(packed.index_select(0, torch.tensor([4, 2])), on_host[[4, 2]])
        assert torch.equal(torch.cat(list(packed.split(16))), on_host)
        assert torch.equal(packed[:2], on_host[:2])


def test_batches_read_ahead_are_those_read_at_once(tmp_path: Path) -> None:
    x = mapped(tmp_path, np.random.RandomState(0).standard_normal((50, 3)).astype(np.float32))
    y = torch.arange(50)
    plain, ahead = (Batches(x, y, rows=16, seed=4) for _ in range(2))
    resident = Batches(x[:], y, rows=16, seed=4)
    with ahead.reading_ahead(12):
        assert readers() == []  # before the first is asked for
        for step in (1, 2, 3, 4, 5, 9, 8, 12):
            for batches in (ahead, resident):
                for ours, theirs in zip(batches.batch(step), plain.batch(step), strict=True):
                    assert torch.equal(ours, theirs)
        assert len(readers()) == 1
    assert readers() == []
    assert torch.equal(ahead.batch(7)[0], plain.batch(7)[0])


@pytest.mark.parametrize("ending", ["last", "left", "failed"])
def test_no_thread_is_left_after_a_run(ending: str, tmp_path: Path, experiment: Any) -> None:
    from worker.trainer.loop import prepare, train

    training = prepare(experiment(steps=20), 0, CPU)
    x = training.batches.x[:].numpy()
    training.batches = training.pipeline.gradients.batches = Batches(mapped(tmp_path, x), training.batches.y, 16, 0)
    seen = 0
    try:
        for step in train(training):
            seen += len(readers())
            if ending == "left" and step.step == 5:
                break
            if ending == "failed" and step.step == 5:
                training.pipeline.gradients.model = None  # type: ignore[assignment]
    except TypeError:
        assert ending == "failed"
    assert seen >= 5
    assert readers() == []
