"""The weights themselves: single numbers of small parameters, and projections of all."""

from fnmatch import fnmatchcase

import torch
from torch import Tensor

from service.errors import Problem, RunFailure
from service.spec.probes.inline import Weights as Component
from worker.trainer.build import layout_of
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.measurement import ProbedTraining


class Weights(InlineProbe):
    """weight/<parameter>/<index> and projection/<i>, after the update.

    The i-th direction is drawn from a generator of its own with the seed i, and has length 1.
    """

    component: Component

    def begin(self, training: ProbedTraining) -> None:
        """Choose the parameters; raise if they do not fit the model, of a library's one only known now."""
        model = getattr(training.model, "_orig_mod", training.model)
        problems: list[Problem] = list(self.component.layout_problems(layout_of(model)))
        if problems:
            raise RunFailure("spec_cannot_build", "; ".join(each.detail for each in problems))
        wanted, named = self.component.name, dict(model.named_parameters())
        chosen = {name: p for name, p in named.items() if wanted is not None and fnmatchcase(name, wanted)}
        self.names = [f"weight/{name}/{at}" for name, p in chosen.items() for at in range(p.numel())]
        self.chosen, self.all = list(chosen.values()), list(named.values())
        self.directions = [self._direction(at) for at in range(self.component.projections)]

    def _direction(self, seed: int) -> list[Tensor]:
        """Return a unit vector, in pieces like the parameters."""
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(sum(p.numel() for p in self.all), generator=generator, dtype=torch.float64)
        pieces = torch.split(drawn / drawn.norm(), [p.numel() for p in self.all])
        return [piece.to(p.device, p.dtype) for piece, p in zip(pieces, self.all, strict=True)]

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """Return the chosen weights and the projections."""
        found: Metrics = {}
        if self.chosen:
            values = torch.cat([p.detach().flatten() for p in self.chosen])  # a copy: the weights move on
            found |= dict(zip(self.names, values.unbind(), strict=True))
        for at, direction in enumerate(self.directions):
            parts = [piece @ p.detach().flatten() for piece, p in zip(direction, self.all, strict=True)]
            found[f"projection/{at}"] = torch.stack(parts).sum()
        return found
