"""Datasets from scikit-learn's generators; the same `seed` gives the same rows."""

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

Features = Annotated[int, Field(ge=1, le=10_000, description="number of features")]
Informative = Annotated[int, Field(ge=1, le=10_000, description="features that the target depends on")]
Classes = Annotated[int, Field(ge=2, le=1_000, description="number of classes")]
SOURCE = "scikit-learn's generator"


class Moons(TableBase):
    """Two moons: two interleaved half circles in the plane, one per class."""

    target = "worker.trainer.data.sklearn_generators:moons"
    source = SOURCE
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["moons"] = "moons"
    rows: Rows = 1000
    noise: Noise = 0.1
    seed: DataSeed = 0


class Circles(TableBase):
    """Two concentric circles in the plane, one per class."""

    target = "worker.trainer.data.sklearn_generators:circles"
    source = SOURCE
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["circles"] = "circles"
    rows: Rows = 1000
    noise: Noise = 0.05
    factor: Annotated[float, Field(ge=0, lt=1, description="ratio of the inner to the outer radius")] = 0.5
    seed: DataSeed = 0


class Blobs(TableBase):
    """Gaussian clusters around random centres, one per class."""

    target = "worker.trainer.data.sklearn_generators:blobs"
    source = SOURCE

    kind: Literal["blobs"] = "blobs"
    rows: Rows = 1000
    features: Features = 2
    classes: Classes = 3
    spread: Annotated[
        float, Field(ge=0, le=1e3, description="standard deviation of a cluster; centres lie in -10 to 10")
    ] = 1.0
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """One class per cluster."""
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
    """Gaussian clusters at the corners of a hypercube, with redundant and uninformative features (Guyon 2003)."""

    target = "worker.trainer.data.sklearn_generators:classification"
    source = SOURCE

    kind: Literal["classification"] = "classification"
    rows: Rows = 1000
    features: Features = 20
    informative: Informative = 5
    redundant: Annotated[
        int, Field(ge=0, le=10_000, description="features that are linear combinations of the informative ones")
    ] = 2
    classes: Classes = 2
    clusters: Annotated[int, Field(ge=1, le=100, description="clusters per class")] = 2
    separation: Annotated[float, Field(gt=0, le=1e3, description="half the edge length of the hypercube")] = 1.0
    wrong: Annotated[float, Field(ge=0, le=0.5, description="share of the rows with a random label")] = 0.01
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """Classes of about equal size."""
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
    """A random linear function of the informative features, with Gaussian noise."""

    target = "worker.trainer.data.sklearn_generators:regression"
    source = SOURCE

    kind: Literal["regression"] = "regression"
    rows: Rows = 1000
    features: Features = 20
    informative: Informative = 10
    rank: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="effective rank of the features; null: full rank, a well-conditioned problem"
    )
    noise: Noise = 1.0
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """One numeric target per row."""
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
    """A regression problem of Friedman 1991."""

    source = SOURCE
    paper = "Friedman 1991, Multivariate adaptive regression splines, Annals of Statistics 19"
    known = Facts(0, (4,), "regression")

    rows: Rows = 1000
    noise: Noise = 1.0
    seed: DataSeed = 0


class Friedman1(FriedmanBase):
    """Friedman's first problem: a smooth function of five features, uniform in 0 to 1."""

    target = "worker.trainer.data.sklearn_generators:friedman1"
    formula = "10 sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + noise"

    kind: Literal["friedman1"] = "friedman1"
    features: Annotated[int, Field(ge=5, le=10_000, description="number of features; only five matter")] = 10

    @property
    def facts(self) -> Facts:
        """One numeric target per row."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for rows that do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)


class Friedman2(FriedmanBase):
    """Friedman's second problem: the impedance of a circuit; features on very different scales."""

    target = "worker.trainer.data.sklearn_generators:friedman2"
    formula = "sqrt(x0^2 + (x1 x2 - 1 / (x1 x3))^2) + noise"

    kind: Literal["friedman2"] = "friedman2"


class Friedman3(FriedmanBase):
    """Friedman's third problem: the phase of a circuit; features on very different scales."""

    target = "worker.trainer.data.sklearn_generators:friedman3"
    formula = "atan((x1 x2 - 1 / (x1 x3)) / x0) + noise"

    kind: Literal["friedman3"] = "friedman3"
    noise: Noise = 0.1


class SwissRoll(RegressionBase):
    """Swiss roll: points of a rolled-up sheet in 3D; the target is the position along the sheet."""

    target = "worker.trainer.data.sklearn_generators:swiss_roll"
    source = SOURCE
    known = Facts(0, (3,), "regression")

    kind: Literal["swiss_roll"] = "swiss_roll"
    rows: Rows = 1000
    noise: Noise = 0.1
    seed: DataSeed = 0


class SCurve(RegressionBase):
    """S curve: points of an S-shaped sheet in 3D; the target is the position along the sheet."""

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
