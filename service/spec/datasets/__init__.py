"""One class per dataset, in files by where the rows come from; then the union."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.datasets.base import DatasetBase, Facts, RegressionBase, Scaling, TableBase
from service.spec.datasets.bundled import BreastCancer, Diabetes, Digits, Iris, Linnerud, Wine
from service.spec.datasets.drawn import (
    Absolute,
    Mnist1d,
    NoisyQuadratic,
    Sine,
    Sinusoids,
    Spirals,
    StepFunction,
    Teacher,
    Xor,
)
from service.spec.datasets.generated import (
    Blobs,
    Circles,
    Classification,
    Friedman1,
    Friedman2,
    Friedman3,
    Moons,
    Regression,
    SCurve,
    SwissRoll,
)
from service.spec.datasets.mounted import HuggingFace, MountedBase, TorchvisionSet
from service.spec.datasets.nothing import Nothing
from service.spec.datasets.uploaded import Resolved, Text, Upload, UploadedBase
from service.spec.plugins import extend_union

Bundled = Digits | BreastCancer | Wine | Iris | Diabetes | Linnerud
Generated = (
    Moons | Circles | Blobs | Classification | Regression | Friedman1 | Friedman2 | Friedman3 | SwissRoll | SCurve
)
Drawn = Absolute | StepFunction | Sine | Sinusoids | Xor | Spirals | Teacher | NoisyQuadratic | Mnist1d
Dataset = Annotated[
    Bundled | Generated | Drawn | Upload | Text | TorchvisionSet | HuggingFace | Nothing, Field(discriminator="kind")
]

if not TYPE_CHECKING:
    Dataset = extend_union("dataset", Dataset, DatasetBase)

__all__ = [
    "Absolute",
    "Blobs",
    "BreastCancer",
    "Circles",
    "Classification",
    "Dataset",
    "DatasetBase",
    "Diabetes",
    "Digits",
    "Facts",
    "Friedman1",
    "Friedman2",
    "Friedman3",
    "HuggingFace",
    "Iris",
    "Linnerud",
    "Mnist1d",
    "Moons",
    "MountedBase",
    "NoisyQuadratic",
    "Nothing",
    "Regression",
    "RegressionBase",
    "Resolved",
    "SCurve",
    "Scaling",
    "Sine",
    "Sinusoids",
    "Spirals",
    "StepFunction",
    "SwissRoll",
    "TableBase",
    "Teacher",
    "Text",
    "TorchvisionSet",
    "Upload",
    "UploadedBase",
    "Wine",
    "Xor",
]
