"""No step waits for the device, for any optimizer, mechanic, probe, model and task.

Torch raises at each wait. Optimizers and mechanics train 200 steps, the others 20; each step is recorded, none
evaluated.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.worker.trainer.checkpoints.resume_matrix import LIBRARY, stored_text
from tests.worker.trainer.no_waiting import SPECS, WAITING, experiment_of
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import prepare, train
from worker.trainer.recorder import make_recorder

LIMIT_S = 90
RUNS_ON_CPU = True
LONG, SHORT, ON_CPU = 200, 20, 2  # steps


def check() -> dict[str, float | str]:
    """Train every spec of the simulated device's test; name those that wait."""
    on, waiting, steps = device(), dict[str, str](), 0
    names = [name for name in SPECS if name not in WAITING]
    with tempfile.TemporaryDirectory() as folder:
        text, files = stored_text(Path(folder)), DatasetFolders(Path(folder))
        for name in names:
            family, _, kind = name.partition(" ")
            long = family == "mechanics" or (family == "optimizer" and kind not in LIBRARY)
            count = ON_CPU if on.type == "cpu" else LONG if long else SHORT
            spec = experiment_of(SPECS[name] | {"steps": max(count + 2, 40)}, text)
            steps += count
            if where := first_wait(spec, count, on, files):
                waiting[name] = where
    assert not waiting, f"{len(waiting)} of {len(names)} wait: {waiting}"
    return {"specs": float(len(names)), "steps without a wait": float(steps), "known to wait": ", ".join(WAITING)}


def first_wait(spec: Experiment, count: int, on: torch.device, files: DatasetFolders) -> str:
    """Return torch's message about the first wait in steps 2 to `count` + 1; empty if there is none."""
    training = prepare(spec, 0, on, files)
    recorder, steps = make_recorder(on, 1, None), train(training)
    recorder.record(next(steps))
    try:
        with refusing_waits(on):
            for step in steps:
                recorder.record(step)
                if step.step == count + 1:
                    break
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        steps.close()  # type: ignore[attr-defined]
    recorder.drain(wait=True)
    return ""


@contextmanager
def refusing_waits(on: torch.device) -> Iterator[None]:
    """Have torch raise at operations that wait for a GPU."""
    if on.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


if __name__ == "__main__":
    main(check)
