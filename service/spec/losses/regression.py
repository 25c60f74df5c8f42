"""Losses for values to predict."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.losses.base import REDUCTION, Full, LossBase


class RegressionLossBase(LossBase):
    """A loss of the difference between prediction and target."""

    tasks = ("regression",)
    zero_minimum = True


class MSE(RegressionLossBase):
    """Mean squared error."""

    target = "torch.nn:MSELoss"
    formula = "(prediction - y)^2"

    kind: Literal["mse"] = "mse"


class MAE(RegressionLossBase):
    """Mean absolute error. Its gradient does not shrink near the minimum, so a constant rate never settles."""

    target = "torch.nn:L1Loss"
    formula = "|prediction - y|"

    kind: Literal["mae"] = "mae"


class Huber(RegressionLossBase):
    """Squared error for small differences, absolute error beyond `delta`; robust to outliers."""

    target = "torch.nn:HuberLoss"
    left_out = {"reduction": REDUCTION["reduction"]}
    formula = "0.5 d^2 if |d| <= delta, else delta (|d| - 0.5 delta)"
    paper = "Huber 1964, Annals of Mathematical Statistics 35"

    kind: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0, le=1e6, description="difference at which the loss becomes linear")] = 1.0


class SmoothL1(RegressionLossBase):
    """Huber loss divided by beta, so that its slope for large differences is 1. With beta 0 it is mae."""

    target = "torch.nn:SmoothL1Loss"
    formula = "0.5 d^2 / beta if |d| < beta, else |d| - 0.5 beta"
    paper = "Girshick 2015, arXiv:1504.08083"

    kind: Literal["smooth_l1"] = "smooth_l1"
    beta: Annotated[float, Field(ge=0, le=1e6, description="difference at which the loss becomes linear")] = 1.0


class PoissonNLL(LossBase):
    """Poisson negative log-likelihood for counts. The model predicts the logarithm of the mean."""

    target = "torch.nn:PoissonNLLLoss"
    left_out = REDUCTION | {
        "log_input": "a model's outputs may be negative, so they are logarithms, always",
        "eps": "used without logarithms only",
    }
    tasks = ("regression",)
    count_data = True
    formula = "exp(z) - y z; with full also Stirling's y log y - y + 0.5 log(2 pi y) where y > 1"

    kind: Literal["poisson_nll"] = "poisson_nll"
    full: Full = False


class GaussianNLL(LossBase):
    """Gaussian negative log-likelihood. The model predicts a mean and a log-variance for each value."""

    target = "worker.trainer.step.losses:GaussianNLL"
    left_out = {}
    tasks = ("regression",)
    outputs_per_value = 2
    formula = "0.5 (log v + (y - m)^2 / v) with v = max(exp(s), eps); with full also 0.5 log(2 pi)"
    paper = "Nix & Weigend 1994, IEEE ICNN; the logarithm: Kendall & Gal 2017, arXiv:1703.04977"

    kind: Literal["gaussian_nll"] = "gaussian_nll"
    full: Full = False
    eps: Annotated[float, Field(gt=0, le=1, description="lower bound of the variance")] = 1e-6
