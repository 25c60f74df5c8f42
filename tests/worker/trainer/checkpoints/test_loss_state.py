"""A loss with buffers: they change in training alone, and checkpoints hold them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.errors import RunFailure
from worker.trainer import loop
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.resume_check import difference, trace, train_in_pieces
from worker.trainer.loop import Training, prepare

CPU = torch.device("cpu")


class Normed(nn.Module):
    """Cross-entropy over its running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))
        self.mean: Tensor

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, y)
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * loss.detach())
        return loss / self.mean


def test_a_run_resumes_with_the_buffers_of_its_loss(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "build_criterion", lambda *given: Normed().eval())
    spec = experiment(probes=({"kind": "start"},), evaluate={"every_steps": 7}, steps=30)

    def make() -> Training:
        return prepare(spec, 5, CPU)

    whole = make()
    seen = trace(whole)
    assert difference((whole, seen), train_in_pieces(make, [3, 18], tmp_path)) is None
    mean = 1.0
    for _, _, loss, _ in trace(make()):
        mean = 0.9 * mean / (1 - 0.1 * float.fromhex(loss))  # the loss is over the mean with itself
    assert float(whole.criterion.state_dict()["mean"]) == pytest.approx(mean, rel=1e-4)
    with pytest.raises(RunFailure, match="the loss keeps buffers"):
        prepare(spec.model_copy(update={"compile": True}), 5, CPU)
    saved = checkpoint.save(tmp_path, whole, {})
    fork = prepare(spec.model_copy(update={"steps": 40}), 5, CPU)
    assert checkpoint.load_fork(saved.folder, saved.sha256, fork)[1]["loss"] is True
    assert torch.equal(fork.criterion.state_dict()["mean"], whole.criterion.state_dict()["mean"])
