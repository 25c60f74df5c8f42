"""The runner of a training's probes, which the loop calls at the steps that the runner names.

A probe that fails is reported once and removed; it never ends the training. After a reading that is only
{"error": why} or has "not_applicable", its probe measures no more.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import torch

from service.spec.experiment import Experiment
from service.spec.probes import OnDemandProbe, ProbeBase
from worker.trainer.build import resolve
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe, StepProbe, does
from worker.trainer.probes.inline.layers import Layers
from worker.trainer.probes.measurement import Instrument, ProbedTraining

P = TypeVar("P", bound=InlineProbe)
MAX_READING_BYTES = 256 * 1024  # of a reading's JSON


class Reading(NamedTuple):
    """A probe's document on its way to the supervisor."""

    step: int
    kind: str
    data: Mapping[str, Any]


class PeriodicProbe(InlineProbe):
    """Runs an on-demand probe at its cadence."""

    def __init__(self, component: OnDemandProbe, instrument: Instrument[Any]) -> None:
        super().__init__(component)
        self.instrument, self.finished = instrument, False

    def next_step(self, step: int) -> int:
        """Return the next step; beyond the last one if the probe is not applicable."""
        return self.total + 1 if self.finished else super().next_step(step)

    def after_update(self, training: ProbedTraining, step: int) -> Metrics:
        """Measure; the training stands at `step`."""
        found = self.instrument.measure(training)
        self.finished = bool(found.data and "not_applicable" in found.data)
        if found.data is not None:
            asked = self.component.model_dump(mode="json", exclude={"kind"})
            self.report(step, {"asked": asked, **found.data, "values": found.values})
        return dict(found.values)


class ProbeRunner:
    """All probes of one training. `next_step`: the first step at which any wants to be called."""

    def __init__(self, spec: Experiment) -> None:
        self.readings: list[Reading] = []  # not yet sent
        self._probes = [probe for component in spec.probes if (probe := self._build(spec, component)) is not None]
        self._evaluated = [probe for probe in self._probes if does(probe, "after_evaluation")]
        self._due: list[InlineProbe] = []  # at the step under way
        self._schedule: dict[InlineProbe, int] = {}
        self.next_step = 0

    def _build(self, spec: Experiment, component: ProbeBase) -> InlineProbe | None:
        target: Any = resolve(component.target)
        if spec.compile and getattr(target, "hooks", False):
            why = "a compiled forward pass cannot be probed: remove compile from the spec to use this probe"
            self.readings.append(Reading(0, component.kind, {"not_applicable": why}))
            return None
        built: Any = target(component)
        probe: InlineProbe = PeriodicProbe(component, built) if isinstance(component, OnDemandProbe) else built
        probe.report = lambda step, data: self.readings.append(Reading(step, component.kind, data))
        return probe

    def begin(self, training: ProbedTraining) -> None:
        """Prepare every probe before the first step of this process."""
        self.choose_layers(training)
        for probe in self._probes:
            probe.totals = (training.spec.total_steps,)
        for probe in list(self._probes):
            self._call(probe, training.step, lambda p: p.begin(training))
        self._schedule = {probe: probe.next_step(training.step) for probe in self._probes}
        self._plan(training)

    def choose_layers(self, training: ProbedTraining) -> None:
        """Let the probes look at the parameters that learn now."""
        self._layers = Layers(training.model)
        for probe in self._probes:
            probe.layers = self._layers

    @torch.no_grad()
    def before_forward(self, training: ProbedTraining, step: int) -> None:
        """Begin step `next_step`."""
        self._due = [probe for probe, due in self._schedule.items() if due == step]
        for probe in self._due:
            if does(probe, "before_forward"):
                self._call(probe, step, lambda p: p.before_forward(training, step))

    @torch.no_grad()
    def after_backward(self, training: ProbedTraining, step: int) -> None:
        """Pass the step's gradients on; an optimizer that searches comes here once, with the first of them."""
        for probe in self._due:
            probe.remove_hooks()
            if does(probe, "after_backward"):
                self._call(probe, step, lambda p: p.after_backward(training, step))

    @torch.no_grad()
    def after_update(self, training: ProbedTraining, step: int, updated: bool) -> Metrics:
        """Return the step's values; without an update, because gradients overflowed, nothing is measured."""
        found: Metrics = {}
        for probe in self._due:
            if updated:
                self._call(probe, step, lambda p: found.update(values_of(p, training, step)))
        self._layers.forget()
        self._end_step(training, step)
        return found

    @property
    def step_probes(self) -> dict[ProbeBase, StepProbe]:
        """Those that a pack calls for all of its runs, by component."""
        return {probe.component: probe for probe in self._probes if isinstance(probe, StepProbe)}

    def hand_over(self, training: ProbedTraining) -> dict[ProbeBase, StepProbe]:
        """Return the `step_probes`, which a pack calls at their steps from now on."""
        given = self.step_probes
        for probe in given.values():
            del self._schedule[probe]
        self._plan(training)
        return given

    def take_back(self, training: ProbedTraining) -> None:
        """Call the `step_probes` again, after the step that the training stands at."""
        self._schedule |= {probe: probe.next_step(training.step) for probe in self.step_probes.values()}
        self._plan(training)

    def after_packed_update(
        self, training: ProbedTraining, step: int, random_state: Callable[[], AbstractContextManager[None]]
    ) -> Metrics:
        """Like `after_update`, of the probes that were not handed over."""
        found: Metrics = {}
        self._due = [probe for probe, due in self._schedule.items() if due == step]
        for probe in self._due:
            with random_state():
                self._call(probe, step, lambda p: found.update(p.after_update(training, step)))
        self._end_step(training, step)
        return found

    def _end_step(self, training: ProbedTraining, step: int) -> None:
        for probe in self._due:
            if probe in self._schedule:
                self._schedule[probe] = probe.next_step(step)
        self._due = []
        self._plan(training)

    def after_evaluation(self, training: ProbedTraining, step: int) -> Metrics:
        """Return the values to add to those of an evaluation."""
        found: Metrics = {}
        for probe in self._evaluated:
            self._call(probe, step, lambda p: found.update(p.after_evaluation(training, step)))
        return found

    def _plan(self, training: ProbedTraining) -> None:
        self.next_step = min(self._schedule.values(), default=training.spec.total_steps + 1)

    def _call(self, probe: InlineProbe, step: int, call: Callable[[InlineProbe], None]) -> None:
        """Call a probe; remove and report it where it cannot work with this model."""
        if probe in self._probes and (problem := call_probe(probe, call)):
            self.remove(probe, step, problem)

    def remove(self, probe: InlineProbe, step: int, problem: str) -> None:
        """Remove a probe that cannot work with this model, and report it."""
        self._probes.remove(probe)
        self._schedule.pop(probe, None)
        self.readings.append(Reading(step, probe.kind, {"error": problem}))


def call_probe(probe: P, call: Callable[[P], None]) -> str:
    """Call a probe; return why it cannot work with this model, which is empty where it can."""
    try:
        if torch.is_grad_enabled():
            with torch.no_grad():
                call(probe)
        else:  # entering it once for all probes of a step takes less time
            call(probe)
    except torch.AcceleratorError:
        raise  # the device is broken, not the probe
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        probe.remove_hooks()
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def values_of(probe: InlineProbe, training: ProbedTraining, step: int) -> Metrics:
    """Return the values of a run's update."""
    found = probe.after_update(training, step)
    return probe.applicable(training, found) if isinstance(probe, StepProbe) else found
