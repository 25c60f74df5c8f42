"""The random state of each member of a pack, which draws what it would draw alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ALL = slice(None)


class MemberRandom:
    """A member's generator on the device of its training; it takes over the state of the process's generators."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self._host = torch.get_rng_state()  # of a member on a GPU; on a CPU the generator has it
        self._take()

    def _take(self) -> None:
        if self.device.type == "cuda":
            self._host = torch.get_rng_state()
            self.generator.set_state(torch.cuda.get_rng_state(self.device))
        else:
            self.generator.set_state(torch.get_rng_state())

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the process's generators be the member's inside."""
        if self.device.type == "cuda":
            torch.set_rng_state(self._host)
            torch.cuda.set_rng_state(self.generator.get_state(), self.device)
        else:
            torch.set_rng_state(self.generator.get_state())
        try:
            yield
        finally:
            self._take()


class Part:
    """The members that a `vmap` is over, of those of a pack: those in `slots`."""

    def __init__(self) -> None:
        self.slots = ALL


class _Masked(torch.autograd.Function):
    """x times masks that are drawn for each member of a `vmap`, whose batch dimension is the member."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, dropout: "MemberDropout") -> Tensor:
        """Return x: only `vmap` is used."""
        return x.clone()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[object, ...], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def vmap(info: object, in_dims: tuple[int | None, None], x: Tensor, dropout: "MemberDropout") -> tuple[Tensor, int]:
        """x (..., R, ...) -> (R, ...)."""
        x = (
            x.expand(len(dropout.random[dropout.part.slots]), *x.shape)
            if in_dims[0] is None
            else x.movedim(in_dims[0], 0)
        )
        return x * dropout.masks(x), 0


class MemberDropout(nn.Module):
    """Dropout inside a `vmap` over members, each with its rate and its generator."""

    def __init__(self, rates: list[float], random: list[MemberRandom], part: Part) -> None:
        super().__init__()
        self.rates, self.random, self.part = rates, random, part

    def forward(self, x: Tensor) -> Tensor:
        """x (...) of one member -> the same shape; in evaluation mode unchanged."""
        return _Masked.apply(x, self) if self.training else x  # type: ignore[no-untyped-call]

    def masks(self, x: Tensor) -> Tensor:
        """Return masks of x (R, ...), drawn as torch's dropout draws them: 0, or 1 / (1 - rate)."""
        found = torch.empty_like(x, memory_format=torch.contiguous_format, requires_grad=False)
        slots = self.part.slots
        for mask, rate, random in zip(found.unbind(), self.rates[slots], self.random[slots], strict=True):
            if rate:
                mask.bernoulli_(1 - rate, generator=random.generator).div_(1 - rate)
            else:
                mask.fill_(1.0)
        return found
