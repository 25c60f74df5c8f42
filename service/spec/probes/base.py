"""What every probe declares: when it measures, what a measurement costs, and the paper that defines it."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Count
from service.spec.layout import Parameter

LOOKS = 100  # of an inline probe in a long run, approximately, besides the dense ones at its beginning
STRIDE = 128  # minimum number of steps between two looks in a long run; measured: tests.benchmarks.probes
DENSE = 16  # every step before this one is looked at, then four per octave
Rows = Annotated[int, Field(ge=1, le=10**6)]


class ProbeBase(Component):
    """A probe: measures a training without changing it. `target` takes the component itself.

    An inline probe reads what a step has computed. An on-demand probe computes on a copy, or at a kept checkpoint.
    """

    cost: ClassVar[float] = 0.0  # of one look, in gradients of the probe set; a forward pass alone is 0.4
    costs: ClassVar[str] = ""  # the same in words
    on_demand: ClassVar[bool] = False
    looks: ClassVar[int] = LOOKS  # in a run without every_steps

    every_steps: Count | None = Field(
        None, description="measure every so many updates; null: often at first, then spread over the run"
    )

    def layout_problems(self, layout: Sequence[Parameter]) -> Iterator[Problem]:
        """Yield why it does not fit a model with these parameters."""
        yield from ()

    def next_look(self, step: int, total: int) -> int:
        """Return the first update after `step` at which it looks, in a run of `total`; beyond `total`: none is left.

        It depends on nothing else, so a resumed run looks at the same steps. The last update is always included.
        """
        if step >= total:
            return total + 1
        every = self.every_steps or self._gap(step, total)
        return min(step - step % every + every, total)

    def _gap(self, step: int, total: int) -> int:
        """Return a power of two: 1 up to step 15, then a quarter of the step, at most what `looks` allows."""
        return min(1 if step < DENSE else 2 << (step // DENSE).bit_length(), stride(total, self.looks))


class OnDemandProbe(ProbeBase):
    """A probe that computes on a copy, at its own interval or at a kept checkpoint."""

    on_demand = True
    looks = 12

    def _gap(self, step: int, total: int) -> int:
        return max(1, total // self.looks)


class ModelCopyProbe(OnDemandProbe):
    """A probe that uses a copy of the model and a fixed sample of training rows, with dropout off."""

    rows: Rows = Field(2048, description="number of training rows; all if there are fewer")
    batch_norm: Literal["train", "eval"] = Field(
        "train",
        description="statistics of batch normalisation: of the batch, with the run's batch size, or the running ones",
    )


def stride(total: int, looks: int) -> int:
    """Return the steps between looks in a run of `total`: the power of two nearest `total / looks`, or `STRIDE`."""
    wanted = total / looks
    return STRIDE if wanted <= STRIDE else int(2 ** round(math.log2(wanted)))
