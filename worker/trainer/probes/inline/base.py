"""The base of inline probes, which run in the training loop and read what a step computes anyway.

A step that no probe wants costs one comparison. At a step that it wants, a probe is called three times, always with
unscaled fp32 gradients:

    before_forward(training, step)   forward hooks are put on here
    after_backward(training, step)   gradients are there and not yet clipped, weights not yet changed
    after_update(training, step)     weights are changed; what it returns becomes points of series at `step`

`begin(training)` comes once before the first step of this process, also after a resume. `after_evaluation` comes with
each evaluation. `next_step(step)` depends on the step alone, so a resumed run is probed at the same steps. What a probe
keeps between steps is in no checkpoint: after a resume the first value that would need it is left out.

A probe changes nothing of the training: no random number, weight, buffer or batch order. It does not wait for a GPU
either: values stay tensors on the device, as the loss does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.layers import Layers
from worker.trainer.probes.measurement import ProbedTraining


class InlineProbe:
    """Override the calls that are needed; each does nothing by default."""

    def __init__(self, component: ProbeBase) -> None:
        self.component, self.kind = component, component.kind
        self.total = 0  # steps of the run
        self.layers: Layers  # shared, so that all probes share the step's gradient too
        self.report: Callable[[int, Mapping[str, Any]], None] = lambda step, data: None  # hand out a reading

    def begin(self, training: ProbedTraining) -> None:
        """Prepare before the first step of this process."""

    def next_step(self, step: int) -> int:
        """Return the first step after `step` at which to be called."""
        return self.component.next_look(step, self.total)

    def before_forward(self, training: ProbedTraining, step: int) -> None:
        """Prepare for a step, before its forward pass."""

    def remove_hooks(self) -> None:
        """Undo `before_forward`: the forward pass is over, or it failed."""

    def after_backward(self, training: ProbedTraining, step: int) -> None:
        """Read what is gone after the update."""

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """Return the values of this step."""
        return {}

    def after_evaluation(self, training: ProbedTraining, step: int) -> Metrics:
        """Return values to add to those of an evaluation."""
        return {}
