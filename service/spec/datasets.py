"""One class per dataset, then the union, with the facts a check needs before any data are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component
from service.spec.losses import Task


@dataclass(frozen=True)
class Facts:
    """What is known of a dataset without reading it. `shape` is one row's, channels first."""

    rows: int
    shape: tuple[int, ...]
    task: Task
    classes: int = 0  # 0 for regression
    unit: str = ""


class Dataset_(Component):
    """What every dataset has: how rows are split, and how features are scaled (fitted on the training part only)."""

    facts: ClassVar[Facts]
    source: ClassVar[str] = ""

    validation: Annotated[float, Field(ge=0, le=0.5, description="share of rows")] = 0.2
    test: Annotated[float, Field(ge=0, le=0.5, description="share of rows, kept apart until the end")] = 0.0
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    standardize: bool = Field(True, description="features to mean 0 and standard deviation 1 of the training part")

    def kwargs(self) -> dict[str, Any]:
        """The split and scaling are done for every dataset alike; a loader gets only what is its own."""
        return {k: v for k, v in super().kwargs().items() if k not in Dataset_.model_fields}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows for training, validation and test."""
        validation, test = round(self.facts.rows * self.validation), round(self.facts.rows * self.test)
        return self.facts.rows - validation - test, validation, test

    def problems(self) -> Iterator[Problem]:
        """A stratified split needs a row of each class in each part."""
        train, *held_out = self.counts
        if self.facts.classes and any(0 < count < self.facts.classes for count in held_out):
            yield Problem(
                "/validation",
                "split_too_small",
                f"each part needs at least {self.facts.classes} rows, one of each class.",
            )
        if train < 2:
            yield Problem("/validation", "split_too_large", "validation and test leave fewer than 2 rows to train on.")


class Digits(Dataset_):
    """1,797 images of handwritten digits, 8 x 8, grey values 0 to 16."""

    target = "worker.data.bundled:digits"
    facts = Facts(1797, (1, 8, 8), "classification", 10, "grey value")
    source = "UCI Optical Recognition of Handwritten Digits, as bundled with scikit-learn"

    kind: Literal["digits"] = "digits"


class BreastCancer(Dataset_):
    """569 tumours, 30 measurements each, malignant or benign."""

    target = "worker.data.bundled:breast_cancer"
    facts = Facts(569, (30,), "classification", 2)
    source = "UCI Breast Cancer Wisconsin (Diagnostic), as bundled with scikit-learn"

    kind: Literal["breast_cancer"] = "breast_cancer"


class Wine(Dataset_):
    """178 wines of three cultivars, 13 measurements each, on very different scales."""

    target = "worker.data.bundled:wine"
    facts = Facts(178, (13,), "classification", 3)
    source = "UCI Wine, as bundled with scikit-learn"

    kind: Literal["wine"] = "wine"


class Iris(Dataset_):
    """150 irises of three species, four measurements each (cm)."""

    target = "worker.data.bundled:iris"
    facts = Facts(150, (4,), "classification", 3, "cm")
    source = "Fisher 1936, as bundled with scikit-learn"

    kind: Literal["iris"] = "iris"


class Diabetes(Dataset_):
    """442 patients, ten measurements each; the target is the disease's progression after a year."""

    target = "worker.data.bundled:diabetes"
    facts = Facts(442, (10,), "regression")
    source = "Efron et al. 2004, as bundled with scikit-learn (unscaled)"

    kind: Literal["diabetes"] = "diabetes"
    standardize_target: bool = Field(True, description="target to mean 0 and standard deviation 1 of the training part")

    def kwargs(self) -> dict[str, Any]:
        """Scaling the target is done for every regression set alike, by the splitter."""
        return {}


Dataset = Annotated[Digits | BreastCancer | Wine | Iris | Diabetes, Field(discriminator="kind")]
