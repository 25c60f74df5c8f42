"""Datasets bundled with scikit-learn: real, small, read without a network."""

from typing import Literal

from pydantic import Field

from service.spec.datasets.base import Facts, RegressionBase, TableBase


class Digits(TableBase):
    """Handwritten digits: 1,797 grey images of 8 x 8 pixels, 10 classes."""

    target = "worker.trainer.data.bundled:digits"
    known = Facts(1797, (1, 8, 8), "classification", 10, "grey value")
    source = "UCI Optical Recognition of Handwritten Digits, as bundled with scikit-learn"

    kind: Literal["digits"] = "digits"


class BreastCancer(TableBase):
    """Breast cancer: 569 tumours, 30 features, malignant or benign."""

    target = "worker.trainer.data.bundled:breast_cancer"
    known = Facts(569, (30,), "classification", 2)
    source = "UCI Breast Cancer Wisconsin (Diagnostic), as bundled with scikit-learn"

    kind: Literal["breast_cancer"] = "breast_cancer"


class Wine(TableBase):
    """Wine: 178 wines, 13 features on very different scales, 3 classes (cultivars)."""

    target = "worker.trainer.data.bundled:wine"
    known = Facts(178, (13,), "classification", 3)
    source = "UCI Wine, as bundled with scikit-learn"

    kind: Literal["wine"] = "wine"


class Iris(TableBase):
    """Iris: 150 flowers, 4 features in cm, 3 classes (species)."""

    target = "worker.trainer.data.bundled:iris"
    known = Facts(150, (4,), "classification", 3, "cm")
    source = "Fisher 1936, as bundled with scikit-learn"

    kind: Literal["iris"] = "iris"


class Diabetes(RegressionBase):
    """Diabetes: 442 patients, 10 features; the target is disease progression after one year."""

    target = "worker.trainer.data.bundled:diabetes"
    known = Facts(442, (10,), "regression")
    source = "Efron et al. 2004, as bundled with scikit-learn (unscaled)"

    kind: Literal["diabetes"] = "diabetes"


class Linnerud(RegressionBase):
    """Linnerud: 20 men, 3 exercises as features (chin-ups, sit-ups, jumps); the target is a body measure."""

    target = "worker.trainer.data.bundled:linnerud"
    known = Facts(20, (3,), "regression")
    source = "Tenenhaus 1998, as bundled with scikit-learn"

    kind: Literal["linnerud"] = "linnerud"
    measure: Literal["weight", "waist", "pulse"] = Field("weight", description="body measure to predict")
