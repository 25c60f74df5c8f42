"""Analytic objectives: the only parameter is the point `x`, and the output is the loss there."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default
from service.spec.inits import TorchDefault
from service.spec.models.base import ModelBase
from service.spec.models.leaf import Leaf

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
Pair = Annotated[tuple[Coordinate, Coordinate], Field(description="starting point")]
Point = Annotated[tuple[Coordinate, ...], Field(min_length=1, max_length=10_000, description="starting point")]
Points = Annotated[tuple[Coordinate, ...], Field(min_length=2, max_length=10_000, description="starting point")]
Positive = Annotated[float, Field(gt=0, le=1e6)]


class ObjectiveBase(ModelBase):
    """A function of a point x. Use dataset `none` and loss `objective`; the point is recorded as x/0, x/1, ..."""

    ranks = (0,)
    minimum: ClassVar[float | None] = None  # the minimum for all settings; None: see `floor`

    init: TorchDefault = Field(TorchDefault(), description="no effect: `start` is the initial point")
    start: Point
    spread: Annotated[
        float, Field(ge=0, le=1e6, description="standard deviation of the random starting point around `start`")
    ] = 0.0
    noise: Annotated[
        float, Field(ge=0, le=1e6, description="standard deviation of the noise added to each gradient entry")
    ] = 0.0

    @property
    def floor(self) -> float | None:
        """The minimum; None if it is unbounded or has no closed form."""
        return self.minimum

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the point, a parameter of no layer."""
        yield Leaf("", "", (), (("x", (len(self.start),)),))

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """Yield a problem for a dataset with rows, which no objective fits."""
        if task != "objective":
            yield Problem("/kind", "contradiction", f'{self.kind} fits no rows: set /dataset to {{"kind": "none"}}.')

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """Yield nothing: `task_problems` refuses rows."""
        yield from ()


def _as_many_ones(objective: ObjectiveBase, field: str) -> Iterator[Default]:
    """Yield `start` or `field`, whichever was omitted, as ones, as many as the other has numbers."""
    numbers = getattr(objective, field)
    if len(objective.start) == len(numbers):
        return
    if "start" in objective.model_fields_set:
        n = len(objective.start)
        yield Default(field, (1.0,) * n, f"{n} ones, as many as /start has coordinates.")
    else:
        yield Default("start", (1.0,) * len(numbers), f"{len(numbers)} ones, as many as /{field}.")


def _other_length(objective: ObjectiveBase, field: str) -> Iterator[Problem]:
    """Yield a problem unless `field` has a number for each coordinate."""
    numbers = getattr(objective, field)
    if len(numbers) != len(objective.start):
        detail = f"{len(objective.start)} coordinates for {len(numbers)} of /{field}: give as many."
        yield Problem("/start", "contradiction", detail)


class Quadratic(ObjectiveBase):
    """Quadratic with given eigenvalues along the axes: a bowl, a valley, or a saddle if the signs differ."""

    target = "worker.trainer.models.objectives:quadratic"
    formula = "1/2 sum_i eigenvalues_i x_i^2"

    kind: Literal["quadratic"] = "quadratic"
    eigenvalues: Annotated[Point, Field(description="curvature along each axis")] = (1.0, 10.0)
    start: Point = (1.0, 1.0)

    @property
    def floor(self) -> float | None:
        """0 unless a negative eigenvalue makes it unbounded."""
        return 0.0 if min(self.eigenvalues) >= 0 else None

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield the point or the eigenvalues, whichever was omitted, as long as the other."""
        n = len(self.start if "start" in self.model_fields_set else self.eigenvalues)
        if len(self.start) != n:
            yield Default("start", (1.0,) * n, f"{n} ones, as many as /eigenvalues.")
        elif len(self.eigenvalues) != n:
            spread = tuple(10 ** (at / max(n - 1, 1)) for at in range(n))
            yield Default("eigenvalues", spread, f"{n} from 1 to 10, as many as /start has coordinates.")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there are as many eigenvalues as coordinates."""
        yield from super().problems()
        yield from _other_length(self, "eigenvalues")


class LinearObjective(ObjectiveBase):
    """Linear function: the same gradient everywhere, unbounded below."""

    target = "worker.trainer.models.objectives:linear"
    formula = "sum_i slopes_i x_i"

    kind: Literal["linear_objective"] = "linear_objective"
    start: Point = (1.0,)
    slopes: Annotated[Point, Field(description="slope along each axis")] = (1.0,)

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield the point or the slopes, whichever was omitted, as long as the other."""
        yield from _as_many_ones(self, "slopes")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there are as many slopes as coordinates."""
        yield from super().problems()
        yield from _other_length(self, "slopes")


class Absolute(ObjectiveBase):
    """Absolute values: a kink at the minimum, where the gradient jumps instead of shrinking. Minimum 0 at 0."""

    target = "worker.trainer.models.objectives:absolute"
    minimum = 0.0
    formula = "sum_i slopes_i |x_i|"

    kind: Literal["absolute"] = "absolute"
    start: Point = (1.0,)
    slopes: Annotated[
        tuple[Positive, ...], Field(min_length=1, max_length=10_000, description="slope along each axis")
    ] = (1.0,)

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield the point or the slopes, whichever was omitted, as long as the other."""
        yield from _as_many_ones(self, "slopes")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there are as many slopes as coordinates."""
        yield from super().problems()
        yield from _other_length(self, "slopes")


class Rosenbrock(ObjectiveBase):
    """Rosenbrock function: a curved, narrow valley. Minimum 0 where every coordinate is 1."""

    target = "worker.trainer.models.objectives:rosenbrock"
    minimum = 0.0
    formula = "sum_i b (x_{i+1} - x_i^2)^2 + (1 - x_i)^2"
    paper = "Rosenbrock 1960, The Computer Journal 3"

    kind: Literal["rosenbrock"] = "rosenbrock"
    start: Points = (-1.2, 1.0)
    b: Annotated[Positive, Field(description="steepness of the valley walls")] = 100.0


class Beale(ObjectiveBase):
    """Beale function: a flat plateau with steep walls. Minimum 0 at (3, 1/2)."""

    target = "worker.trainer.models.objectives:beale"
    minimum = 0.0
    formula = "(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2"
    paper = "Beale 1958, On an iterative method for finding a local minimum of a function of more than one variable"

    kind: Literal["beale"] = "beale"
    start: Pair = (1.0, 1.0)


class DoubleWell(ObjectiveBase):
    """Double well: two minima per coordinate, at -1 and 1 if tilt is 0, with a maximum between them."""

    target = "worker.trainer.models.objectives:double_well"
    formula = "sum_i barrier (x_i^2 - 1)^2 + tilt x_i"

    kind: Literal["double_well"] = "double_well"
    start: Point = (0.1,)
    barrier: Annotated[Positive, Field(description="height of the maximum between the wells")] = 1.0
    tilt: Annotated[float, Field(ge=-1e6, le=1e6, description="slope that makes one well deeper")] = 0.0

    @property
    def floor(self) -> float | None:
        """0 without a tilt; else unknown."""
        return 0.0 if self.tilt == 0 else None


class MonkeySaddle(ObjectiveBase):
    """Monkey saddle: at 0 gradient and Hessian vanish without a minimum; unbounded below."""

    target = "worker.trainer.models.objectives:monkey_saddle"
    formula = "x^3 - 3 x y^2"

    kind: Literal["monkey_saddle"] = "monkey_saddle"
    start: Pair = (0.1, 0.01)


class ToyLinearNet(ObjectiveBase):
    """Deep linear network of scalars: a saddle at 0, and minima where the product of the weights equals `goal`."""

    target = "worker.trainer.models.objectives:toy_linear_net"
    minimum = 0.0
    formula = "(goal - x_1 x_2 ... x_n)^2"

    kind: Literal["toy_linear_net"] = "toy_linear_net"
    start: Point = (0.1, -0.1)
    goal: Coordinate = Field(1.0, description="target value of the product")


class Rastrigin(ObjectiveBase):
    """Rastrigin function: a bowl with many regular local minima. Minimum 0 at 0."""

    target = "worker.trainer.models.objectives:rastrigin"
    minimum = 0.0
    formula = "sum_i amplitude (1 - cos 2 pi x_i) + x_i^2"
    paper = "Rastrigin 1974, Systems of extremal control"

    kind: Literal["rastrigin"] = "rastrigin"
    start: Point = (2.2, -1.8)
    amplitude: Annotated[float, Field(ge=0, le=1e6, description="depth of the local minima")] = 10.0
