"""Norms of the gradient before clipping: a layer that gets none, or far too much, shows here."""

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.measurement import ProbedTraining


class GradientNorms(InlineProbe):
    """grad_norm and grad_norm/<layer>; where the run clips, its own grad_norm stands at every step."""

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._found: Metrics = {}

    def after_backward(self, training: ProbedTraining, step: int) -> None:
        """One norm of each gradient."""
        whole, layers = self.layers.norms(self.layers.gradient())
        self._found = {"grad_norm": whole} | {f"grad_norm/{name}": norm for name, norm in layers.items()}

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """As measured before."""
        return self._found
