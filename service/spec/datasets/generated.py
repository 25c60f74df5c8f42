"""Datasets from scikit-learn's generators: any number of rows, the same for the same `seed`."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default
from service.spec.datasets.base import (
    DataSeed,
    Facts,
    Noise,
    RegressionBase,
    Rows,
    TableBase,
    too_many_cells,
)

Features = Annotated[int, Field(ge=1, le=10_000)]
Classes = Annotated[int, Field(ge=2, le=1_000)]
SOURCE = "scikit-learn's generator"


class Moons(TableBase):
    """Two interleaving half circles in the plane."""

    target = "worker.trainer.data.sklearn_generators:moons"
    source = SOURCE
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["moons"] = "moons"
    rows: Rows = 1000
    noise: Noise = 0.1
    seed: DataSeed = 0


class Circles(TableBase):
    """A circle inside another one."""

    target = "worker.trainer.data.sklearn_generators:circles"
    source = SOURCE
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["circles"] = "circles"
    rows: Rows = 1000
    noise: Noise = 0.05
    factor: Annotated[float, Field(ge=0, lt=1, description="inner radius over outer radius")] = 0.5
    seed: DataSeed = 0


class Blobs(TableBase):
    """Round Gaussian clouds around random centres, one per class."""

    target = "worker.trainer.data.sklearn_generators:blobs"
    source = SOURCE

    kind: Literal["blobs"] = "blobs"
    rows: Rows = 1000
    features: Features = 2
    classes: Classes = 3
    spread: Annotated[float, Field(ge=0, le=1e3, description="standard deviation of a cloud; centres: -10 to 10")] = 1.0
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """Rows in equal shares."""
        return Facts(self.rows, (self.features,), "classification", self.classes)

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield enough rows for every class."""
        yield from _rows_for(self, self.classes)
        yield from super().inferred_defaults(counts)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless each class has three rows and all fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)
        yield from _too_few(self.rows, self.classes)


class Classification(TableBase):
    """Gaussian clusters on the corners of a hypercube, with correlated, repeated and useless features (Guyon 2003)."""

    target = "worker.trainer.data.sklearn_generators:classification"
    source = SOURCE

    kind: Literal["classification"] = "classification"
    rows: Rows = 1000
    features: Features = 20
    informative: Features = 5
    redundant: Annotated[int, Field(ge=0, le=10_000, description="linear mixtures of the informative ones")] = 2
    classes: Classes = 2
    clusters: Annotated[int, Field(ge=1, le=100, description="of each class")] = 2
    separation: Annotated[float, Field(gt=0, le=1e3, description="half the edge of the hypercube")] = 1.0
    wrong: Annotated[float, Field(ge=0, le=0.5, description="share of rows whose label is drawn anew")] = 0.01
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """Classes in about equal shares."""
        return Facts(self.rows, (self.features,), "classification", self.classes)

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield enough rows for every cluster, and features that add up."""
        clusters = self.classes * self.clusters
        yield from _rows_for(self, 2 * clusters)
        informative = max(self.informative, math.ceil(math.log2(clusters)))
        yield Default("informative", informative, f"{informative}: /classes x /clusters are {clusters} corners.")
        features = max(self.features, self.informative + self.redundant)
        yield Default("features", features, f"{features}: /informative and /redundant need as many.")
        yield from super().inferred_defaults(counts)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless features add up and each cluster has its own corner."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)
        yield from _too_few(self.rows, 2 * self.classes * self.clusters)
        if self.informative + self.redundant > self.features:
            detail = f"/informative {self.informative} and /redundant {self.redundant} need more /features."
            yield Problem("/features", "contradiction", detail, self.informative + self.redundant)
        if math.log2(self.classes * self.clusters) > self.informative:
            detail = f"2^informative corners must hold /classes x /clusters = {self.classes * self.clusters}."
            yield Problem("/informative", "contradiction", detail)


class Regression(RegressionBase):
    """A random linear function of some of the features, with Gaussian noise."""

    target = "worker.trainer.data.sklearn_generators:regression"
    source = SOURCE

    kind: Literal["regression"] = "regression"
    rows: Rows = 1000
    features: Features = 20
    informative: Features = 10
    rank: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="directions that hold most of the variance; null: all alike, a well-conditioned problem"
    )
    noise: Noise = 1.0
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """One value a row."""
        return Facts(self.rows, (self.features,), "regression")

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield at most as many informative features as there are features."""
        informative = min(self.informative, self.features)
        yield Default("informative", informative, f"{informative}: there are no more /features.")
        yield from super().inferred_defaults(counts)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for more informative features or directions than features."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)
        for name in ("informative", "rank"):
            if (getattr(self, name) or 0) > self.features:
                yield Problem(f"/{name}", "contradiction", f"at most /features, {self.features}.", self.features)


class FriedmanBase(RegressionBase):
    """What the three functions of Friedman 1991 have in common."""

    source = SOURCE
    paper = "Friedman 1991, Multivariate adaptive regression splines, Annals of Statistics 19"
    known = Facts(0, (4,), "regression")

    rows: Rows = 1000
    noise: Noise = 1.0
    seed: DataSeed = 0


class Friedman1(FriedmanBase):
    """A smooth function of five of the features, which are uniform in 0 to 1."""

    target = "worker.trainer.data.sklearn_generators:friedman1"
    formula = "10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + noise"

    kind: Literal["friedman1"] = "friedman1"
    features: Annotated[int, Field(ge=5, le=10_000)] = 10

    @property
    def facts(self) -> Facts:
        """Those beyond the fifth mean nothing."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for rows that do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)


class Friedman2(FriedmanBase):
    """The impedance of a circuit; features on very different scales."""

    target = "worker.trainer.data.sklearn_generators:friedman2"
    formula = "sqrt(x0^2 + (x1 x2 - 1 / (x1 x3))^2) + noise"

    kind: Literal["friedman2"] = "friedman2"


class Friedman3(FriedmanBase):
    """The phase of a circuit; features on very different scales."""

    target = "worker.trainer.data.sklearn_generators:friedman3"
    formula = "atan((x1 x2 - 1 / (x1 x3)) / x0) + noise"

    kind: Literal["friedman3"] = "friedman3"
    noise: Noise = 0.1


class SwissRoll(RegressionBase):
    """A rolled-up sheet in space; the target is the position along the sheet."""

    target = "worker.trainer.data.sklearn_generators:swiss_roll"
    source = SOURCE
    known = Facts(0, (3,), "regression")

    kind: Literal["swiss_roll"] = "swiss_roll"
    rows: Rows = 1000
    noise: Noise = 0.1
    seed: DataSeed = 0


class SCurve(RegressionBase):
    """A sheet bent to an S in space; the target is the position along the sheet."""

    target = "worker.trainer.data.sklearn_generators:s_curve"
    source = SOURCE
    known = Facts(0, (3,), "regression")

    kind: Literal["s_curve"] = "s_curve"
    rows: Rows = 1000
    noise: Noise = 0.1
    seed: DataSeed = 0


def _rows_for(dataset: Blobs | Classification, groups: int) -> Iterator[Default]:
    rows = max(dataset.rows, 3 * groups)
    yield Default("rows", rows, f"{rows}: three for each of {groups} groups.")


def _too_few(rows: int, groups: int) -> Iterator[Problem]:
    """Yield a problem unless each group has three rows, so that each part can have one."""
    if rows < 3 * groups:
        yield Problem("/rows", "too_small", f"{groups} groups need at least {3 * groups} rows.", 3 * groups)
