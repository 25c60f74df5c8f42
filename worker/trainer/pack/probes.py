"""The probes of a pack: each `StepProbe` of its runs measures all of them at once, on stacked tensors."""

from collections.abc import Callable, Sequence, Set
from functools import cached_property

import torch
from torch import Tensor

from worker.trainer.metrics import Metrics
from worker.trainer.pack.model import Named, Observed
from worker.trainer.pack.steps import PackedSteps
from worker.trainer.pack.update import StackedOptimizer
from worker.trainer.probes.inline.base import StepProbe, does
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
        owned = [training.probes.hand_over(training) for training in steps.trainings]
        shared = [probe for probe in owned[0].values() if all(probe.component in own for own in owned)]
        self._probes = [type(probe)(probe.component) for probe in shared]
        self._due: list[StepProbe] = []
        self._gather()
        self._at = step = steps.trainings[0].step  # the latest step at which they were called
        for probe in list(self._probes):
            probe.join([own[probe.component] for own in owned])
            self._call(probe, step, lambda each: each.begin(StackedTraining(steps)))
        self._schedule = {probe: probe.next_step(step) for probe in self._probes}
        self._plan(step)

    def _gather(self) -> None:
        """Take what is looked up anew when members leave."""
        self._layers = StackedLayers(self.steps)
        self._totals = [training.spec.total_steps for training in self.steps.trainings]
        for probe in self._probes:
            probe.layers = self._layers
            probe.totals = sorted(set(self._totals))

    def _plan(self, step: int) -> None:
        """Note the steps after `step` at which to be called, and at which there are values."""
        never = max(self._totals) + 1
        self.next_step = min((self._schedule[probe] for probe in self._probes), default=never)
        self.next_values = min((probe.next_values(step) for probe in self._probes), default=never)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots, as the steps do already."""
        for probe in self._probes:
            probe.keep(slots)
        self._gather()
        self._plan(self.steps.trainings[0].step)

    def hand_back(self) -> None:
        """Let the members' own probes be called at the next steps."""
        for training in self.steps.trainings:
            training.probes.take_back(training)

    def before_forward(self, step: int) -> None:
        """Begin a probed update."""
        self._layers.forget()
        self._at, training = step, StackedTraining(self.steps)
        self._due = [probe for probe in self._probes if self._schedule[probe] == step]
        for probe in list(self._due):
            self._schedule[probe] = probe.next_step(step)
            self._call(probe, step, lambda each: each.before_forward(training, step))
        self._plan(step)

    @property
    def modules(self) -> Set[str]:
        """Paths of the modules whose outputs the due probes measure."""
        return frozenset(path for probe in self._due for path in probe.modules)

    def forward_values(self, outputs: Named | None = None) -> Observed:
        """Return what the forward pass of one member, or these outputs of it, have shown, inside a `vmap`."""
        found = Observed()

        def see(probe: StepProbe) -> None:
            if outputs is not None:
                for path in probe.modules:
                    probe.see(path, outputs[path])
            found[probe] = probe.forward_values()

        for probe in list(self._due):
            self._call(probe, self._at, see)
        return found

    def after_backward(self, step: int) -> None:
        """Pass on the gradients, which are not yet clipped."""
        training = StackedTraining(self.steps)
        for probe in list(self._due):
            probe.remove_hooks()
            self._call(probe, step, lambda each: each.after_backward(training, step))

    def after_update(self, step: int, forward: Observed) -> list[Metrics]:
        """Return the values of each member."""
        training, found = StackedTraining(self.steps), {each: dict(values) for each, values in forward.items()}

        def measure(probe: StepProbe) -> None:
            found.setdefault(probe, {}).update(probe.after_update(training, step))

        for probe in list(self._due):
            self._call(probe, step, measure)
        self._layers.forget()
        return self._by_member(found, step)

    def _by_member(self, found: Observed, step: int) -> list[Metrics]:
        """Return the values (R,) as numbers of each member, which are copied from the device at once."""
        columns = [(probe, name, value) for probe, values in found.items() for name, value in values.items()]
        if not columns:
            return [{} for _ in self._totals]
        names = [name for _, name, _ in columns]
        table = torch.stack([torch.as_tensor(value).double() for _, _, value in columns], 1).tolist()
        due = {  # a run is measured at the steps of its own length
            total: [at for at, (probe, *_) in enumerate(columns) if probe.component.next_look(step - 1, total) == step]
            for total in set(self._totals)
        }
        split: list[Metrics] = []
        choosy = [probe for probe in found if does(probe, "applicable")]
        for training, total, row in zip(self.steps.trainings, self._totals, table, strict=True):
            own: Metrics = {names[at]: row[at] for at in due[total]}
            for probe in choosy:
                own = probe.applicable(training, own)
            split.append(own)
        return split

    def _call(self, probe: StepProbe, step: int, call: Callable[[StepProbe], None]) -> None:
        """Call a probe; remove it from all members where it cannot work with this model."""
        if not (problem := call_probe(probe, call)):
            return
        self._probes.remove(probe)
        self._due = [each for each in self._due if each is not probe]
        for own in (training.probes for training in self.steps.trainings):
            own.remove(own.step_probes[probe.component], step, problem)
