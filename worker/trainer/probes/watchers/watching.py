"""Who watches a training, and when: the loop asks one object, and a step that is not due costs one comparison.

A watcher lives in the loop and reads what a step has anyway. At a step that it wants it is called three times, always
with gradients in fp32 and true (unscaled):

    enter(training, step)    before the forward pass; forward hooks are put on here
    before(training, step)   the gradients are there and not yet clipped, the weights not yet changed
    after(training, step)    the weights are changed; whatever it returns becomes points of series at `step`

`begin(training)` comes once before the first step of this process, also after a resume; a document that is to become
a reading is handed to `tell`. `evaluated(training, step)` comes with each evaluation. `next(step)` is the first later
step at which it wants to be called: it depends on the step alone, so a resumed run is watched at the same ones. What
a watcher keeps between steps is in no checkpoint: after a resume the first value that would need it is left out.

A looker is not of this kind: `look(training) -> Look` computes on a copy of the model (`probes.model_copy`). It is
called after updates at its own cadence; its values become points and its data a reading. A probe job
(`worker.trainer.probe_job`) calls the same method at a checkpoint.

Neither may change what the training does: no random number, no weight, no buffer, no batch order. Watchers must not
wait for a GPU either: values stay tensors on the device, as the loss does. What fails is told once and watches no more.

A reading that is only {"error": why} or has "not_applicable" says that its probe watches no more.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from service.spec.probes import OnDemandProbe, ProbeBase
from worker.trainer.build import resolve
from worker.trainer.data.batches import Batches
from worker.trainer.probes.watchers.layers import Layers

Readings = dict[str, float | Tensor]
TOO_MUCH = 256 * 1024  # bytes of a reading's JSON


class Observed(Protocol):
    """What probes may read of a training (worker.trainer.loop.Training)."""

    spec: Experiment
    seed: int
    device: torch.device
    step: int
    model: nn.Module
    criterion: nn.Module
    optimizers: list[Optimizer]
    batches: Batches
    coarse: dict[str, list[int]]  # unscaled columns of "features" or "target" that float32 can hardly tell apart


class Told(NamedTuple):
    """A reading on its way out."""

    step: int
    kind: str
    data: Mapping[str, Any]


class Watcher:
    """An instrument in the loop; each method may be left as it is."""

    def __init__(self, component: ProbeBase) -> None:
        self.component, self.kind = component, component.kind
        self.total = 0
        self.layers: Layers  # the parameters; shared, so that watchers share the step's gradient too
        self.tell: Callable[[int, Mapping[str, Any]], None] = lambda step, data: None

    def begin(self, training: Observed) -> None:
        """Before the first step of this process."""

    def next(self, step: int) -> int:
        """The first step after `step` at which to be called."""
        return self.component.next_look(step, self.total)

    def enter(self, training: Observed, step: int) -> None:
        """Before the forward pass of a step it wants."""

    def leave(self) -> None:
        """The forward pass is over, also where it failed."""

    def before(self, training: Observed, step: int) -> None:
        """Between the backward pass and the update."""

    def after(self, training: Observed, step: int) -> Readings:
        """Behind the update."""
        return {}

    def evaluated(self, training: Observed, step: int) -> Readings:
        """At an evaluation."""
        return {}


class Looking(Watcher):
    """A looker on its cadence."""

    def __init__(self, component: OnDemandProbe, looker: Any) -> None:
        super().__init__(component)
        self.looker, self.over = looker, False

    def next(self, step: int) -> int:
        """Never again once there was nothing to see."""
        return self.total + 1 if self.over else super().next(step)

    def after(self, training: Observed, step: int) -> Readings:
        """Look; the training stands at `step`."""
        found = self.looker.look(training)
        self.over = bool(found.data and "not_applicable" in found.data)
        if found.data is not None:
            asked = self.component.model_dump(mode="json", exclude={"kind"})
            self.tell(step, {"asked": asked, **found.data, "values": found.values})
        return dict(found.values)


class Probes:
    """All probes of one training. `next`: the first step at which any wants to be called."""

    def __init__(self, spec: Experiment) -> None:
        self.told: list[Told] = []  # readings that nobody has taken yet
        self._watchers = [made for component in spec.probes if (made := self._made(spec, component)) is not None]
        self._wanting: list[Watcher] = []  # of the step under way
        self._at: dict[Watcher, int] = {}
        self.next = 0

    def _made(self, spec: Experiment, component: ProbeBase) -> Watcher | None:
        made: Any = resolve(component.target)
        if spec.compile and getattr(made, "hooks", False):
            why = "a compiled forward pass cannot be looked into: leave compile out of the spec to see it"
            self.told.append(Told(0, component.kind, {"not_applicable": why}))
            return None
        watcher: Watcher = (
            Looking(component, made(component)) if isinstance(component, OnDemandProbe) else made(component)
        )
        watcher.tell = lambda step, data: self.told.append(Told(step, component.kind, data))
        return watcher

    def begin(self, training: Observed) -> None:
        """Before the first step of this process."""
        self._layers = Layers(training.model)
        for watcher in self._watchers:
            watcher.total, watcher.layers = training.spec.total_steps, self._layers
        for watcher in list(self._watchers):
            self._safely(watcher, training.step, lambda w: w.begin(training))
        self._at = {watcher: watcher.next(training.step) for watcher in self._watchers}
        self._plan(training)

    def enter(self, training: Observed, step: int) -> None:
        """The step `next` begins."""
        self._wanting = [watcher for watcher, at in self._at.items() if at == step]
        for watcher in self._wanting:
            self._safely(watcher, step, lambda w: w.enter(training, step))

    def before(self, training: Observed, step: int) -> None:
        """Its gradients are there. An optimizer that searches comes here once, with the first of them."""
        for watcher in self._wanting:
            watcher.leave()
            self._safely(watcher, step, lambda w: w.before(training, step))

    def after(self, training: Observed, step: int, updated: bool) -> Readings:
        """Its update is made, or left out where the gradients overflowed: such a step is not measured."""
        found: Readings = {}
        for watcher in self._wanting:
            if updated:
                self._safely(watcher, step, lambda w: found.update(w.after(training, step)))
            if watcher in self._at:
                self._at[watcher] = watcher.next(step)
        self._wanting = []
        self._layers.forget()
        self._plan(training)
        return found

    def evaluated(self, training: Observed, step: int) -> Readings:
        """An evaluation's own."""
        found: Readings = {}
        for watcher in list(self._watchers):
            self._safely(watcher, step, lambda w: found.update(w.evaluated(training, step)))
        return found

    def close(self) -> None:
        """Take every hook off: the training ends, perhaps in the middle of a step."""
        for watcher in self._watchers:
            watcher.leave()

    def _plan(self, training: Observed) -> None:
        self.next = min(self._at.values(), default=training.spec.total_steps + 1)

    def _safely(self, watcher: Watcher, step: int, call: Callable[[Watcher], None]) -> None:
        """An instrument that cannot work with this model must not end its training."""
        if watcher not in self._watchers:
            return
        try:
            with torch.no_grad():
                call(watcher)
        except torch.AcceleratorError:
            raise  # the device is broken, not the instrument
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
            self._watchers.remove(watcher)
            self._at.pop(watcher, None)
            watcher.leave()
            self.told.append(Told(step, watcher.kind, {"error": f"{type(error).__name__}: {error}"[:500]}))
