"""Analytic objectives: a parameter `x` (n,) and a scalar function of it; the shape of rows has no meaning."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Objective(nn.Module):
    """Holds the point. In training, `noise` is added to the gradient; the value stays exact."""

    def __init__(
        self, f: Callable[..., Tensor], start: Sequence[float], spread: float, noise: float, **constants: Tensor
    ) -> None:
        super().__init__()
        point = torch.tensor(start)
        self.x = nn.Parameter(point + spread * torch.randn(len(start)) if spread else point)
        self.f, self.noise = f, noise
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, _rows: Tensor) -> Tensor:
        """Return f(x), a scalar, whatever the rows."""
        value = self.value(self.x)
        if self.noise and self.training:
            value = value + self.noise * torch.randn_like(self.x) @ (self.x - self.x.detach())
        return value

    def value(self, x: Tensor) -> Tensor:
        """x (n,) -> f(x), a scalar."""
        return self.f(x, **dict(self.named_buffers()))


def quadratic(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (1.0, 1.0),
    spread: float = 0.0,
    noise: float = 0.0,
    eigenvalues: Sequence[float] = (1.0, 10.0),
) -> Objective:
    """1/2 sum_i lambda_i x_i^2."""

    def f(x: Tensor, eigenvalues: Tensor) -> Tensor:
        return 0.5 * (eigenvalues * x**2).sum()

    return Objective(f, start, spread, noise, eigenvalues=torch.tensor(eigenvalues))


def linear(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (1.0,),
    spread: float = 0.0,
    noise: float = 0.0,
    slopes: Sequence[float] = (1.0,),
) -> Objective:
    """sum_i slopes_i x_i."""
    return Objective(lambda x, slopes: (slopes * x).sum(), start, spread, noise, slopes=torch.tensor(slopes))


def absolute(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (1.0,),
    spread: float = 0.0,
    noise: float = 0.0,
    slopes: Sequence[float] = (1.0,),
) -> Objective:
    """sum_i slopes_i |x_i|."""
    return Objective(lambda x, slopes: (slopes * x.abs()).sum(), start, spread, noise, slopes=torch.tensor(slopes))


def rosenbrock(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (-1.2, 1.0),
    spread: float = 0.0,
    noise: float = 0.0,
    b: float = 100.0,
) -> Objective:
    """sum_i b (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return Objective(lambda x: (b * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(), start, spread, noise)


def beale(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (1.0, 1.0),
    spread: float = 0.0,
    noise: float = 0.0,
) -> Objective:
    """(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2."""

    def f(point: Tensor) -> Tensor:
        x, y = point
        value: Tensor = (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        return value

    return Objective(f, start, spread, noise)


def double_well(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (0.1,),
    spread: float = 0.0,
    noise: float = 0.0,
    barrier: float = 1.0,
    tilt: float = 0.0,
) -> Objective:
    """sum_i barrier (x_i^2 - 1)^2 + tilt x_i."""
    return Objective(lambda x: (barrier * (x**2 - 1) ** 2 + tilt * x).sum(), start, spread, noise)


def monkey_saddle(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (0.1, 0.01),
    spread: float = 0.0,
    noise: float = 0.0,
) -> Objective:
    """x^3 - 3 x y^2."""

    def f(point: Tensor) -> Tensor:
        x, y = point
        value: Tensor = x**3 - 3 * x * y**2
        return value

    return Objective(f, start, spread, noise)


def toy_linear_net(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (0.1, -0.1),
    spread: float = 0.0,
    noise: float = 0.0,
    goal: float = 1.0,
) -> Objective:
    """(goal - x_1 x_2 ... x_n)^2."""
    return Objective(lambda x: (goal - x.prod()) ** 2, start, spread, noise)


def rastrigin(
    _shape: tuple[int, ...],
    _outputs: int,
    start: Sequence[float] = (2.2, -1.8),
    spread: float = 0.0,
    noise: float = 0.0,
    amplitude: float = 10.0,
) -> Objective:
    """sum_i amplitude (1 - cos 2 pi x_i) + x_i^2."""
    return Objective(lambda x: (amplitude * (1 - torch.cos(2 * math.pi * x)) + x**2).sum(), start, spread, noise)
