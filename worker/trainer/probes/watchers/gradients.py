"""Norms of the gradient before clipping: a layer that gets none, or far too much, shows here."""

from service.spec.probes import ProbeBase
from worker.trainer.probes.watchers.watching import Observed, Readings, Watcher


class GradientNorms(Watcher):
    """grad_norm and grad_norm/<layer>; where the run clips, its own grad_norm stands at every step."""

    def __init__(self, component: ProbeBase) -> None:
        super().__init__(component)
        self._found: Readings = {}

    def before(self, training: Observed, step: int) -> None:
        """One norm of each gradient."""
        whole, layers = self.layers.norms(self.layers.gradient())
        self._found = {"grad_norm": whole} | {f"grad_norm/{name}": norm for name, norm in layers.items()}

    def after(self, training: Observed, step: int) -> Readings:
        """As measured before."""
        return self._found
