"""The gradients of a pack are computed for as many members at once as is fastest, with the same values."""

from typing import Any

import pytest
import torch

from service.spec.experiment import Experiment
from tests.worker.trainer.pack.together import stacked
from worker.trainer.pack import throughput
from worker.trainer.pack.throughput import TRIALS, Throughput

RUNS = 6
EXACT = 1e-12
MODELS: dict[str, dict[str, Any]] = {
    "dropout": {"kind": "mlp", "hidden": (12,), "dropout": 0.3},
    "statistics": {"kind": "mlp", "hidden": (12,), "norm": "batch"},
    "convolutions": {"kind": "cnn", "channels": (4,)},
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A processor whose time is the only number of a list."""
    now = [0.0]
    monkeypatch.setattr(throughput.time, "process_time", lambda: now[0])
    return now


@pytest.mark.parametrize(("a_member_s", "a_call_s", "best"), [(1.0, 5.0, 32), (1.0, 0.0, 4), (0.5, 2.0, 16)])
def test_the_fastest_width_is_kept(clock: list[float], a_member_s: float, a_call_s: float, best: int) -> None:
    """A cache of 4 or of 16 members makes those beyond it slower; a call has its own time."""
    measured = Throughput(32, measures=True)
    fits = {32: 32, 4: 4, 16: 16}[best]
    for _ in range(TRIALS * len(measured.widths) + 3):
        with measured.measured() as width:
            slower = 1.0 if width <= fits else 1.0 + width / fits
            clock[0] += 32 / width * a_call_s + 32 * a_member_s * slower
    assert (measured.widths, measured.width) == ([32, 16, 8, 4], best)


def test_nothing_is_tried_where_nothing_is_measured(clock: list[float]) -> None:
    measured = Throughput(64, measures=False)
    with measured.measured() as width:
        clock[0] += 1.0
    assert (width, measured.widths, measured.width) == (64, [64], 64)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_parts_have_the_values_of_the_whole(model: dict[str, Any], experiment: Any) -> None:
    """In double precision, with parts of unequal sizes; running statistics and random numbers too."""

    def trained(width: int) -> tuple[Any, Any]:
        specs = [specified(experiment, model, 0.01 * (at + 1)) for at in range(RUNS)]
        packed, _ = stacked(specs)
        assert packed.chain is None
        packed.throughput.widths, packed.throughput.spent_s = [width], {width: []}
        losses = packed.run(5).losses
        states = [each.model.state_dict() for each in packed.trainings]
        return losses, torch.stack([torch.cat([t.double().flatten() for t in state.values()]) for state in states])

    (whole, weights), (parts, own) = trained(RUNS), trained(4)
    assert abs(whole - parts).max() <= EXACT * abs(whole).max()
    assert (weights - own).abs().max() <= EXACT * weights.abs().max()


def specified(experiment: Any, model: dict[str, Any], lr: float) -> Experiment:
    optimizer = {"kind": "sgd", "lr": lr}
    made: Experiment = experiment(
        dataset={"kind": "digits"}, model=model, optimizer=optimizer, precision="fp64", batch_size=16, probes=()
    )
    return made
