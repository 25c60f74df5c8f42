"""Datasets bundled with scikit-learn: real, small, read without a network."""

from typing import Literal

from service.spec.datasets.base import Facts, RegressionBase, TableBase


class Digits(TableBase):
    """1,797 images of handwritten digits, 8 x 8, grey values 0 to 16."""

    target = "worker.trainer.data.bundled:digits"
    known = Facts(1797, (1, 8, 8), "classification", 10, "grey value")
    source = "UCI Optical Recognition of Handwritten Digits, as bundled with scikit-learn"

    kind: Literal["digits"] = "digits"


class BreastCancer(TableBase):
    """569 tumours, 30 measurements each, malignant or benign."""

    target = "worker.trainer.data.bundled:breast_cancer"
    known = Facts(569, (30,), "classification", 2)
    source = "UCI Breast Cancer Wisconsin (Diagnostic), as bundled with scikit-learn"

    kind: Literal["breast_cancer"] = "breast_cancer"


class Wine(TableBase):
    """178 wines of three cultivars, 13 measurements each, on very different scales."""

    target = "worker.trainer.data.bundled:wine"
    known = Facts(178, (13,), "classification", 3)
    source = "UCI Wine, as bundled with scikit-learn"

    kind: Literal["wine"] = "wine"


class Iris(TableBase):
    """150 irises of three species, four measurements each (cm)."""

    target = "worker.trainer.data.bundled:iris"
    known = Facts(150, (4,), "classification", 3, "cm")
    source = "Fisher 1936, as bundled with scikit-learn"

    kind: Literal["iris"] = "iris"


class Diabetes(RegressionBase):
    """442 patients, ten measurements each; the target is the disease's progression after a year."""

    target = "worker.trainer.data.bundled:diabetes"
    known = Facts(442, (10,), "regression")
    source = "Efron et al. 2004, as bundled with scikit-learn (unscaled)"

    kind: Literal["diabetes"] = "diabetes"


class Linnerud(RegressionBase):
    """20 men of a fitness club: chin-ups, sit-ups and jumps; the target is one of three body measures."""

    target = "worker.trainer.data.bundled:linnerud"
    known = Facts(20, (3,), "regression")
    source = "Tenenhaus 1998, as bundled with scikit-learn"

    kind: Literal["linnerud"] = "linnerud"
    measure: Literal["weight", "waist", "pulse"] = "weight"
