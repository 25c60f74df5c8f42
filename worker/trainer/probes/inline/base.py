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

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from torch import Tensor, nn

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.layers import Layers
from worker.trainer.probes.measurement import ProbedTraining


class InlineProbe:
    """Override the calls that are needed; each does nothing by default."""

    def __init__(self, component: ProbeBase) -> None:
        self.component, self.kind = component, component.kind
        self.totals: Sequence[int] = (0,)  # steps of the run; in a pack of each
        self.layers: Layers  # shared, so that all probes share the step's gradient too
        self.report: Callable[[int, Mapping[str, Any]], None] = lambda step, data: None  # hand out a reading

    def begin(self, training: ProbedTraining) -> None:
        """Prepare before the first step of this process."""

    @property
    def total(self) -> int:
        """Steps of the run, in a pack of the longest."""
        return max(self.totals)

    def next_values(self, step: int) -> int:
        """Return the first step after `step` at which it has values."""
        return min(self.component.next_look(step, total) for total in self.totals)

    def next_step(self, step: int) -> int:
        """Return the first step after `step` at which to be called, which may be to prepare."""
        return self.next_values(step)

    def measures(self, step: int) -> bool:
        """Whether it has values at this step; it may be called at others to prepare."""
        return self.next_values(step - 1) == step

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


def does(probe: InlineProbe, call: str) -> bool:
    """Whether a probe overrides a call; one that does nothing would still cost some microseconds."""
    own = getattr(type(probe), call)
    return own is not getattr(InlineProbe, call, None) and own is not getattr(StepProbe, call)


class OptimizerState(Protocol):
    """The state of an optimizer; torch's optimizers have it."""

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]:
        """The parameters and the numbers of each group."""
        ...

    @property
    def state(self) -> Mapping[Tensor, Any]:
        """Tensors by parameter and name."""
        ...


class ProbedStep(Protocol):
    """What a `StepProbe` may read: a training, or several as one, whose tensors have a leading dimension of runs."""

    @property
    def model(self) -> nn.Module:
        """The model, whose modules can be hooked; its own parameters are not those of several runs."""
        ...

    @property
    def optimizers(self) -> Sequence[OptimizerState]:
        """The optimizers; numbers in which runs differ are (R, 1)."""
        ...


class StepProbe(InlineProbe):
    """A probe that a pack calls once for all of its runs.

    Its formulas take the tensors of one run, or of R runs with a leading dimension, and then give values (R,): `layers`
    flattens and reduces either kind. A pack calls `after_update` only at steps at which a probe has values.
    """

    def begin(self, training: ProbedStep) -> None:
        """Prepare before the first step of this process, or of this pack."""

    def before_forward(self, training: ProbedStep, step: int) -> None:
        """Prepare for a step, before its forward pass."""

    @property
    def modules(self) -> Sequence[str]:
        """Paths of the modules whose outputs it measures."""
        return ()

    def see(self, path: str, out: Any) -> None:
        """Measure the output of one of `modules`."""

    def forward_values(self) -> Metrics:
        """Return the values of the forward pass that is over, of one run; a pack asks for them inside its `vmap`."""
        return {}

    def after_backward(self, training: ProbedStep, step: int) -> None:
        """Read what is gone after the update."""

    def after_update(self, training: ProbedStep, step: int) -> Metrics:
        """Return the values of this step."""
        return {}

    def applicable(self, training: ProbedStep, found: Metrics) -> Metrics:
        """Return those of the values that this run has."""
        return found

    def join(self, members: Sequence[Self]) -> None:
        """Take over what the probes of the runs of a pack have kept for their next step."""

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the runs in these slots."""
