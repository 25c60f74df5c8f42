"""What every probe says of itself: when it looks, what a look costs, whose definition it is."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.component import Component, Count

LOOKS = 100  # of a watcher spread over a long run, about, beside those of its beginning
STRIDE = 128  # steps at least between two looks of a long run; measured: tests.benchmarks.probes
DENSE = 16  # the steps before this one are all looked at, then four of each octave
Rows = Annotated[int, Field(ge=1, le=10**6)]


class ProbeBase(Component):
    """An instrument that watches a training and never changes it. `target` takes the component itself.

    A watcher reads what a step has anyway; a looker (`on_demand`) computes on a copy, also at a kept checkpoint.
    """

    cost: ClassVar[float] = 0.0  # gradients of the probe set that one look is worth; forward alone is 0.4
    costs: ClassVar[str] = ""  # the same in words
    on_demand: ClassVar[bool] = False
    looks: ClassVar[int] = LOOKS  # in a run that does not say how often

    every_steps: Count | None = Field(
        None, description="updates between two looks; null: dense at first, then spread over the run"
    )

    def next_look(self, step: int, total: int) -> int:
        """The first update after `step` that it looks at, of a run of `total`; beyond the last one: none is left.

        It depends on nothing else, so a resumed run looks at the same steps. The last update is always looked at.
        """
        if step >= total:
            return total + 1
        every = self.every_steps or self._gap(step, total)
        return min(step - step % every + every, total)

    def _gap(self, step: int, total: int) -> int:
        """A power of two: 1 up to step 15, then a quarter of the step rounded down, up to what `looks` allows."""
        return min(1 if step < DENSE else 2 << (step // DENSE).bit_length(), stride(total, self.looks))


class OnDemandProbe(ProbeBase):
    """Computes on a copy, on its cadence or at a kept checkpoint."""

    on_demand = True
    looks = 12

    def _gap(self, step: int, total: int) -> int:
        return max(1, total // self.looks)


class ModelCopyProbe(OnDemandProbe):
    """Computes on a twin of the model and the first rows of a frozen order of the training part, dropout off."""

    rows: Rows = Field(2048, description="training rows it computes on, or all where there are fewer")
    batch_norm: Literal["train", "eval"] = Field(
        "train",
        description="whose statistics normalise: the batch's, in batches of the run's size, or the running ones",
    )


def stride(total: int, looks: int) -> int:
    """Steps between two looks of a run of `total`: the power of two nearest to `total / looks`, `STRIDE` at least."""
    wanted = total / looks
    return STRIDE if wanted <= STRIDE else int(2 ** round(math.log2(wanted)))
