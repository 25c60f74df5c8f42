"""Norms of the gradient before clipping: they show a layer that gets no gradient, or far too much."""

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import ProbedStep, StepProbe


class GradientNorms(StepProbe):
    """grad_norm and grad_norm/<layer>; a run that clips records grad_norm at every step itself."""

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._found: Metrics = {}

    def after_backward(self, training: ProbedStep, step: int) -> None:
        """Compute one norm per gradient."""
        ((whole, layers),) = self.layers.norms(self.layers.gradient())
        self._found = {"grad_norm": whole} | {f"grad_norm/{name}": norm for name, norm in layers.items()}

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return the norms."""
        return self._found
