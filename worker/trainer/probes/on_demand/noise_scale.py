"""Gradient noise scale (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    standard_error,
)
from worker.trainer.probes.model_copy import ModelCopy


class Estimate(NamedTuple):
    """From one set of rows; either may be negative, so average over several before dividing."""

    signal: float  # |G|^2, eq. A.2
    noise: float  # tr(Sigma), eq. A.3


class NoiseScale(Instrument[on_demand.NoiseScale]):
    """B_simple = tr(Sigma) / |G|^2: the batch size at which the gradient's noise is as large as the gradient.

    Estimated from gradient norms at two batch sizes. Signal and noise are averaged over the draws separately and then
    divided, because the mean of their ratio is biased. With batch normalisation in mode "train" a row's gradient
    depends on its batch, and the estimate is for pieces of that size. Cost: a gradient per draw.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return the noise scale, and the batch size over it."""
        if training.spec.dataset.facts.task == "objective":
            return not_applicable("an objective has no rows")
        pieces = self.component.pieces
        copy = ModelCopy(training, self.component.rows * self.component.draws, self.component.batch_norm)
        if len(copy.x) < 2 * pieces:
            return not_applicable(
                f"{len(copy.x)} training rows cannot be cut into {self.component.pieces} pieces of two"
            )
        found = [estimate(copy, chosen, pieces) for chosen in self._draw_rows(len(copy.x))]
        signal, noise = (torch.tensor(column, dtype=torch.float64) for column in zip(*found, strict=True))
        mean_signal, mean_noise = float(signal.mean()), float(noise.mean())
        batch, certain = training.spec.rows_per_step, mean_signal > 0 and mean_noise >= 0
        scale = mean_noise / mean_signal if certain else math.nan
        data = as_json(
            signal=mean_signal,
            signal_error=standard_error(signal),
            noise=mean_noise,
            noise_error=standard_error(noise),
            scale=scale if certain else None,
            batch=batch,
            ratio=batch / scale if certain and scale else None,
            draws=len(found),
            pieces=pieces,
            why="" if certain else "the gradient is not distinguishable from its noise with this many rows",
            twin=copy.describe(),
        )
        values = {"noise_scale": scale} if certain else {}
        return Measurement(values | ({"noise_scale/ratio": batch / scale} if certain and scale else {}), data)

    def _draw_rows(self, n: int) -> list[Tensor]:
        """Return the row numbers of each draw: always the same, without repetition within one."""
        generator = torch.Generator().manual_seed(0)
        size = min(self.component.rows, n)
        return [torch.randperm(n, generator=generator)[:size] for _ in range(self.component.draws if size < n else 1)]


def estimate(copy: ModelCopy, rows: Tensor, pieces: int) -> Estimate:
    """Estimate from the gradients of equal pieces of the rows (a remainder is dropped) and from their mean."""
    small = len(rows) // pieces
    big, at_small, whole = small * pieces, 0.0, torch.zeros_like(copy.theta())
    for i in range(pieces):
        slope = copy.gradient(rows[i * small : (i + 1) * small].to(copy.x.device))
        at_small += float(slope @ slope) / pieces
        whole += slope / pieces
    at_big = float(whole @ whole)
    return Estimate(
        signal=(big * at_big - small * at_small) / (big - small),
        noise=(at_small - at_big) / (1 / small - 1 / big),
    )
