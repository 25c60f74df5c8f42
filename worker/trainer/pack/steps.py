"""Plain steps of every member at once: forward, backward and update of stacked weights, a block of steps at a time."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.func import vmap

from worker.trainer.loop import Training
from worker.trainer.metrics import Metrics
from worker.trainer.pack.affine import AffineChain
from worker.trainer.pack.batches import PackedBatch, PackedBatches
from worker.trainer.pack.clipping import PackedClipping
from worker.trainer.pack.model import Named, Observe, Observed, StackedModel
from worker.trainer.pack.randomness import ALL, MemberRandom
from worker.trainer.pack.rates import RateTables, Table
from worker.trainer.pack.stack import Stack
from worker.trainer.pack.throughput import Throughput
from worker.trainer.pack.update import StackedGroup


class Block(NamedTuple):
    """What K steps of R members recorded; (K, R) each."""

    losses: Table
    rates: Table  # of /optimizer/lr
    groups: list[Table]  # rates of the parameter groups, where they differ; 0 while they are frozen
    norms: Table | None  # of the gradients before clipping
    measured: Sequence[Metrics] | None  # by each member's probes at the last step; None: it has no values


class Watches(Protocol):
    """The probes of the steps, as in `worker.trainer.pack.probes`."""

    @property
    def next_step(self) -> int:
        """The next step at which to be called."""

    @property
    def next_values(self) -> int:
        """The next step at which they have values."""

    def before_forward(self, step: int) -> None:
        """Begin a step."""

    @property
    def modules(self) -> Set[str]:
        """Paths of the modules whose outputs they want of the step that has begun."""

    def forward_values(self, outputs: Named | None = None) -> Observed:
        """Return what the forward pass of one member, or these outputs of it, have shown, inside a `vmap`."""

    def after_backward(self, step: int) -> None:
        """Read the gradients before clipping."""

    def after_update(self, step: int, forward: Observed) -> list[Metrics]:
        """Return the values of each member at a step that has some."""


class Keeps(Protocol):
    """What has a slot for each member."""

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots, in this order."""


class PackedSteps:
    """R trainings at the same step, each of which has made at least one; their tensors are views of stacked ones."""

    def __init__(self, trainings: Sequence[Training], random: Sequence[MemberRandom]) -> None:
        self.trainings = list(trainings)
        first = trainings[0]
        models, criteria = [each.model for each in trainings], [each.criterion for each in trainings]
        names = {id(p): name for name, p in first.model.named_parameters()}
        self.late = {own.first for own in first.rates.groups if own.first > first.step}  # steps that others unfreeze
        self.places = [
            at for at, own in enumerate(first.rates.groups) if own.first <= first.step
        ]  # of groups that learn
        self.names = [[names.pop(id(p)) for p in first.rates.groups[at].group["params"]] for at in self.places]
        self.frozen = [*names.values()]  # parameters that do not learn, or not yet
        self.chain = AffineChain.of(models, criteria, self.frozen)
        apart = self.chain is not None
        self.groups = [
            StackedGroup([each.rates.groups[at].optimizer for each in trainings], first.rates.groups[at].at, apart)
            for at in self.places
        ]
        kept = [[dict(each.named_parameters())[name] for name in self.frozen] for each in models]
        self.constants = Stack(kept, apart) if self.frozen else None
        self.model = StackedModel(models, criteria, random)
        self.throughput = Throughput(len(trainings), measures=first.device.type == "cpu")
        self.clipping = PackedClipping([each.pipeline.clipping for each in trainings])
        self._gather()

    def _gather(self) -> None:
        """Take what is looked up anew when members leave."""
        self.batches = PackedBatches([each.batches for each in self.trainings])
        self.rates = RateTables([each.spec for each in self.trainings], [each.rates for each in self.trainings])
        self._gradients = [[torch.empty_like(each) for each in group.parameters.pieces] for group in self.groups]
        self.slopes = {  # gradients (R, ...) by name
            name: slope
            for names, group, pieces in zip(self.names, self.groups, self._gradients, strict=True)
            for name, slope in zip(names, group.parameters.parts(pieces), strict=True)
        }

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the trainings in these slots, in this order."""
        self.trainings = [self.trainings[slot] for slot in slots]
        parts: list[Keeps | None] = [*self.groups, self.model, self.clipping, self.constants, self.chain]
        for part in parts:
            if part is not None:
                part.keep(slots)
        self._gather()

    def weights(self) -> dict[str, Tensor]:
        """Return the weights (R, ...) by name."""
        found = {name: each for at, group in enumerate(self.groups) for name, each in self._named(at, group)}
        constants = self.constants.parts() if self.constants else []
        return found | dict(zip(self.frozen, constants, strict=True))

    def _named(self, at: int, group: StackedGroup) -> Iterable[tuple[str, Tensor]]:
        return zip(self.names[at], group.tensors, strict=True)

    def run(self, count: int, probes: Watches | None = None) -> Block:
        """Make the next `count` steps; no `probes` have values before the last one."""
        first = self.trainings[0].step + 1
        updates = range(first, first + count)
        rates = [self.rates.of_group(updates, at) for at in range(len(self.trainings[0].rates.groups))]
        plans = [
            group.plan(rates[at], self.rates.momenta(updates, at))
            for at, group in zip(self.places, self.groups, strict=True)
        ]
        losses, norms, seen = [], [], Observed()
        last = probes is not None and probes.next_values == updates[-1]
        for step, numbers in zip(updates, zip(*plans, strict=True), strict=True):
            if probes is not None and step == probes.next_step:
                probes.before_forward(step)
                loss, seen = self._compute(step, probes if probes.modules else None)
                probes.after_backward(step)
            else:
                loss, _ = self._compute(step)
            losses.append(loss)
            norms.append(self.clipping.apply([piece for pieces in self._gradients for piece in pieces]))
            for group, pieces, own in zip(self.groups, self._gradients, numbers, strict=True):
                group.update(pieces, own)
        for group in self.groups:
            group.count(count)
        for training in self.trainings:
            training.step += count
            training.rates.apply(training.step)
        learning = [own * (at in self.places) for at, own in enumerate(rates)]
        differing = learning if self.trainings[0].rates.differ else []
        recorded, norm = self.rates.recorded(updates), _table(norms) if norms[0] is not None else None
        measured = probes.after_update(updates[-1], seen) if probes is not None and last else None
        return Block(_table(losses), recorded, differing, norm, measured)

    def outputs(self, weights: Mapping[str, Tensor], batch: PackedBatch) -> Tensor:
        """Return the outputs (R, B, ...) of the models as they are evaluated."""
        if self.chain is not None:
            return self.chain.outputs(weights, batch)
        return self.model.outputs(weights, batch, training=False)

    def _compute(self, step: int, probes: Watches | None = None) -> tuple[Tensor, Observed]:
        """Fill the gradients of update `step`; return the losses (R,), and what `probes` want to see of the modules."""
        batch = self.batches.batch(step)
        if self.chain is not None and self.chain.fits(batch):
            losses = self.chain.compute(self.weights(), self.slopes, batch)
            return losses, self._observe(self.chain, batch, probes) if probes is not None else {}
        if probes is not None:
            return self._compute_part(ALL, batch, probes.forward_values)
        with self.throughput.measured() as width:
            starts = range(0, len(self.trainings), width)
            parts = [self._compute_part(slice(at, at + width), batch, dict)[0] for at in starts]
        return torch.cat(parts), {}

    def _compute_part(self, slots: slice, batch: PackedBatch, observe: Observe) -> tuple[Tensor, Observed]:
        """Fill the gradients of the members in these slots by autograd."""
        weights = {name: each[slots].detach() for name, each in self.weights().items()}
        learning = [[weights[name].requires_grad_() for name in names] for names in self.names]
        with self.model.only(slots):
            losses, seen = self.model.losses(weights, batch.of(slots), observe)
        found = iter(torch.autograd.grad(losses.sum(), [each for own in learning for each in own]))
        for own, pieces in zip(learning, self._gradients, strict=True):
            slopes = [next(found).reshape(len(losses), -1) for _ in own]
            for piece, part in zip(pieces, [slopes] if len(pieces) == 1 else zip(slopes, strict=True), strict=True):
                torch.cat(list(part), 1, out=piece[slots])
        return losses.detach(), seen

    @torch.no_grad()
    def _observe(self, chain: AffineChain, batch: PackedBatch, probes: Watches) -> Observed:
        """Show the outputs that the chain has; of others repeat the forward pass, which costs less than autograd."""
        outputs = chain.seen
        if probes.modules <= outputs.keys():
            found: Observed = vmap(probes.forward_values)(outputs)
            return found
        return self.model.observed(self.weights(), batch, training=True, observe=probes.forward_values)[1]


def _table(rows: Sequence[Tensor | None]) -> Table:
    """Return numbers of R members at each of K steps as (K, R) on the host."""
    return torch.stack([row for row in rows if row is not None]).double().cpu().numpy()
