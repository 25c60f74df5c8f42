"""Analytic objectives: a parameter `x` (n,) and a scalar function of it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Objective(nn.Module):
    """Holds the point. In training, `noise` is added to the gradient: the value is the exact one."""

    def __init__(self, start: Sequence[float], spread: float, noise: float) -> None:
        super().__init__()
        point = torch.tensor(start)
        self.x = nn.Parameter(point + spread * torch.randn(len(start)) if spread else point)
        self.noise = noise

    def forward(self, _rows: Tensor) -> Tensor:
        """Whatever the rows: f(x), a scalar."""
        value = self.value(self.x)
        if self.noise and self.training:
            value = value + self.noise * torch.randn_like(self.x) @ (self.x - self.x.detach())
        return value

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> f(x), a scalar."""
        raise NotImplementedError


class Quadratic(Objective):
    """1/2 sum_i lambda_i x_i^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (1.0, 1.0),
        spread: float = 0.0,
        noise: float = 0.0,
        eigenvalues: Sequence[float] = (1.0, 10.0),
    ) -> None:
        super().__init__(start, spread, noise)
        self.eigenvalues: Tensor
        self.register_buffer("eigenvalues", torch.tensor(eigenvalues), persistent=False)

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> scalar."""
        return 0.5 * (self.eigenvalues * x**2).sum()


class Rosenbrock(Objective):
    """sum_i b (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (-1.2, 1.0),
        spread: float = 0.0,
        noise: float = 0.0,
        b: float = 100.0,
    ) -> None:
        super().__init__(start, spread, noise)
        self.b = b

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> scalar."""
        return (self.b * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


class Beale(Objective):
    """(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (1.0, 1.0),
        spread: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(start, spread, noise)

    def value(self, x: Tensor) -> Tensor:
        """x (2,) -> scalar."""
        a, b = x
        value: Tensor = (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2
        return value


class DoubleWell(Objective):
    """sum_i barrier (x_i^2 - 1)^2 + tilt x_i."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (0.1,),
        spread: float = 0.0,
        noise: float = 0.0,
        barrier: float = 1.0,
        tilt: float = 0.0,
    ) -> None:
        super().__init__(start, spread, noise)
        self.barrier, self.tilt = barrier, tilt

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> scalar."""
        return (self.barrier * (x**2 - 1) ** 2 + self.tilt * x).sum()


class MonkeySaddle(Objective):
    """x^3 - 3 x y^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (0.1, 0.01),
        spread: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(start, spread, noise)

    def value(self, x: Tensor) -> Tensor:
        """x (2,) -> scalar."""
        a, b = x
        value: Tensor = a**3 - 3 * a * b**2
        return value


class ToyLinearNet(Objective):
    """(goal - x_1 x_2 ... x_n)^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (0.1, -0.1),
        spread: float = 0.0,
        noise: float = 0.0,
        goal: float = 1.0,
    ) -> None:
        super().__init__(start, spread, noise)
        self.goal = goal

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> scalar."""
        return (self.goal - x.prod()) ** 2


class Rastrigin(Objective):
    """sum_i amplitude (1 - cos 2 pi x_i) + x_i^2."""

    def __init__(
        self,
        _shape: tuple[int, ...],
        _outputs: int,
        start: Sequence[float] = (2.2, -1.8),
        spread: float = 0.0,
        noise: float = 0.0,
        amplitude: float = 10.0,
    ) -> None:
        super().__init__(start, spread, noise)
        self.amplitude = amplitude

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> scalar."""
        return (self.amplitude * (1 - torch.cos(2 * math.pi * x)) + x**2).sum()
