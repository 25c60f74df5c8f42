"""Gradient noise scale (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1)."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, not_applicable
from worker.trainer.probes.model_copy import ModelCopy


class Estimate(NamedTuple):
    """Of one set of rows cut into pieces: either may be negative, and only means over many are to be divided."""

    signal: float  # |G|^2, eq. A.2
    noise: float  # tr(Sigma), eq. A.3


class NoiseScale:
    """B_simple = tr(Sigma) / |G|^2: the batch size at which the gradient's noise is as large as the gradient.

    From gradient norms at two batch sizes. Signal and noise are averaged over the draws separately and divided at the
    end, because the mean of their ratio is biased. Where the mode of batch normalisation is "train", a row's gradient
    depends on its batch, and the estimate is of pieces of that size. Cost: a gradient a draw.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.pieces: int = component.pieces
        self.draws: int = component.draws

    def measure(self, training: ProbedTraining) -> Measurement:
        """The scale, and the batch size in use over it."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        everything = ModelCopy(training, self.rows * self.draws, self.norms)
        if len(everything.x) < 2 * self.pieces:
            return not_applicable(f"{len(everything.x)} training rows cannot be cut into {self.pieces} pieces of two")
        found = [measure(everything, chosen, self.pieces) for chosen in self._drawn(len(everything.x))]
        signal, noise = (torch.tensor(column, dtype=torch.float64) for column in zip(*found, strict=True))
        mean_signal, mean_noise = float(signal.mean()), float(noise.mean())
        batch, certain = training.spec.rows_per_step, mean_signal > 0 and mean_noise >= 0
        scale = mean_noise / mean_signal if certain else math.nan
        data = document(
            signal=mean_signal,
            signal_error=_error(signal),
            noise=mean_noise,
            noise_error=_error(noise),
            scale=scale if certain else None,
            batch=batch,
            ratio=batch / scale if certain and scale else None,
            draws=len(found),
            pieces=self.pieces,
            why="" if certain else "the gradient cannot be told from its noise with so many rows",
            twin=everything.described(),
        )
        values = {"noise_scale": scale} if certain else {}
        return Measurement(values | ({"noise_scale/ratio": batch / scale} if certain and scale else {}), data)

    def _drawn(self, n: int) -> list[Tensor]:
        """Row numbers of each draw: always the same, and without repetition inside one."""
        generator = torch.Generator().manual_seed(0)
        size = min(self.rows, n)
        return [torch.randperm(n, generator=generator)[:size] for _ in range(self.draws if size < n else 1)]


def measure(twin: ModelCopy, rows: Tensor, pieces: int) -> Estimate:
    """Cuts the rows evenly, some left over: the gradients of the pieces and their mean have two batch sizes."""
    small = len(rows) // pieces
    big, at_small, whole = small * pieces, 0.0, torch.zeros_like(twin.theta())
    for i in range(pieces):
        slope = twin.gradient(rows[i * small : (i + 1) * small].to(twin.x.device))
        at_small += float(slope @ slope) / pieces
        whole += slope / pieces
    at_big = float(whole @ whole)
    return Estimate(
        signal=(big * at_big - small * at_small) / (big - small),
        noise=(at_small - at_big) / (1 / small - 1 / big),
    )


def _error(values: Tensor) -> float | None:
    """Standard error of the mean."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
