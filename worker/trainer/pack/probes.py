"""The probes of a pack: each `StepProbe` of its runs measures all of them at once, on stacked tensors."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from service.spec.probes import ProbeBase
from worker.trainer.metrics import Metrics
from worker.trainer.pack.steps import Measured, PackedSteps
from worker.trainer.pack.update import StackedOptimizer
from worker.trainer.probes.inline.base import StepProbe
from worker.trainer.probes.inline.layers import Layers
from worker.trainer.probes.runner import call_probe


class StackedTraining:
    """R trainings as a `ProbedStep`."""

    def __init__(self, steps: PackedSteps) -> None:
        self.steps = steps
        self.model = steps.model.skeleton

    @cached_property
    def optimizers(self) -> list[StackedOptimizer]:
        """The optimizers as they are when first asked for."""
        return [group.as_optimizer() for group in self.steps.groups]


class StackedLayers(Layers):
    """The layers of R runs, whose tensors are (R, ...)."""

    lead = 1

    def __init__(self, steps: PackedSteps) -> None:
        model = steps.trainings[0].model
        super().__init__(model)
        names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        weights = steps.weights()
        self._slopes = [steps.slopes[names[p]] for p in self.parameters]
        self.parameters = [weights[names[p]] for p in self.parameters]

    def gradients(self) -> list[Tensor]:
        """Return the gradients before clipping."""
        return self._slopes

    def piece_norms(self, pieces: list[Tensor]) -> list[Tensor]:
        """Return the norms (R,) of each piece (R, n)."""
        return [torch.linalg.vector_norm(piece, dim=-1) for piece in pieces]


class PackedProbes:
    """The probes of R members that make the same updates."""

    def __init__(self, steps: PackedSteps) -> None:
        """Take over from the members' own probes, which have seen their updates so far."""
        self.steps = steps
        owned = [training.probes.step_probes for training in steps.trainings]
        shared = [probe for probe in owned[0].values() if all(probe.component in own for own in owned)]
        self._probes = [type(probe)(probe.component) for probe in shared]
        self._due: list[StepProbe] = []
        self._gather()
        for probe in self._probes:
            probe.join([own[probe.component] for own in owned])
            self._call(probe, steps.trainings[0].step, lambda each: each.begin(StackedTraining(steps)))

    def _gather(self) -> None:
        """Take what is looked up anew when members leave."""
        self._layers = StackedLayers(self.steps)
        for probe in self._probes:
            probe.layers = self._layers
            probe.totals = sorted({training.spec.total_steps for training in self.steps.trainings})

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots, as the steps do already."""
        for probe in self._probes:
            probe.keep(slots)
        self._gather()

    def before_forward(self, step: int) -> bool:
        """Begin a probed update; return whether its forward pass has to be that of the modules."""
        training = StackedTraining(self.steps)
        self._due = [probe for probe in self._probes if probe.next_step(step - 1) == step]
        for probe in list(self._due):
            self._call(probe, step, lambda each: each.before_forward(training, step))
        return any(getattr(probe, "hooks", False) for probe in self._due)

    def forward_values(self) -> dict[ProbeBase, Metrics]:
        """Return what the forward pass has shown of one member, inside a `vmap`."""
        found: dict[ProbeBase, Metrics] = {}
        step = self.steps.trainings[0].step + 1
        for probe in list(self._due):
            self._call(probe, step, lambda each: found.update({each.component: each.forward_values()}))
        return found

    def after_backward(self, step: int) -> None:
        """Pass on the gradients, which are not yet clipped."""
        training = StackedTraining(self.steps)
        for probe in list(self._due):
            probe.remove_hooks()
            self._call(probe, step, lambda each: each.after_backward(training, step))

    def after_update(self, step: int, forward: Mapping[ProbeBase, Metrics]) -> list[Measured]:
        """Return the values of each member."""
        training, found = StackedTraining(self.steps), {each: dict(values) for each, values in forward.items()}

        def measure(probe: StepProbe) -> None:
            found.setdefault(probe.component, {}).update(probe.after_update(training, step))

        for probe in list(self._due):
            self._call(probe, step, measure)
        self._layers.forget()
        return _by_member(found, len(self.steps.trainings))

    def _call(self, probe: StepProbe, step: int, call: Callable[[StepProbe], None]) -> None:
        """Call a probe; remove it from all members where it cannot work with this model."""
        if not (problem := call_probe(probe, call)):
            return
        self._probes.remove(probe)
        self._due = [each for each in self._due if each is not probe]
        for own in (training.probes for training in self.steps.trainings):
            own.remove(own.step_probes[probe.component], step, problem)


def _by_member(found: Measured, members: int) -> list[Measured]:
    """Return the values (R,) of all members as numbers of each, which are copied from the device at once."""
    columns = [(component, name, value) for component, values in found.items() for name, value in values.items()]
    split: list[dict[ProbeBase, Metrics]] = [{component: {} for component in found} for _ in range(members)]
    if columns:
        table = torch.stack([torch.as_tensor(value).double() for _, _, value in columns]).tolist()
        for (component, name, _), row in zip(columns, table, strict=True):
            for own, value in zip(split, row, strict=True):
                own[component][name] = value
    return list(split)
