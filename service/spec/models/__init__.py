"""One class per model, then the union; each knows its layout in closed form."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.models.base import ModelBase, model_kwargs
from service.spec.models.convolutional import CNN, CNN1d
from service.spec.models.feedforward import MLP, Linear
from service.spec.models.library import LibraryBase, Timm, Torchvision
from service.spec.models.objectives import (
    Beale,
    DoubleWell,
    MonkeySaddle,
    ObjectiveBase,
    Quadratic,
    Rastrigin,
    Rosenbrock,
    ToyLinearNet,
)
from service.spec.models.recurrent import GRU, LSTM, RNN
from service.spec.models.residual import ResNet
from service.spec.models.sequential import Sequential
from service.spec.models.sums import SumOfUnits
from service.spec.models.transformer import Transformer
from service.spec.plugins import extend_union

Model = Annotated[
    Linear
    | SumOfUnits
    | MLP
    | CNN
    | CNN1d
    | ResNet
    | RNN
    | GRU
    | LSTM
    | Transformer
    | Sequential
    | Torchvision
    | Timm
    | Quadratic
    | Rosenbrock
    | Beale
    | DoubleWell
    | MonkeySaddle
    | ToyLinearNet
    | Rastrigin,
    Field(discriminator="kind"),
]

if not TYPE_CHECKING:
    Model = extend_union("model", Model, ModelBase)

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Beale",
    "CNN1d",
    "DoubleWell",
    "LibraryBase",
    "Linear",
    "Model",
    "ModelBase",
    "MonkeySaddle",
    "ObjectiveBase",
    "Quadratic",
    "Rastrigin",
    "ResNet",
    "Rosenbrock",
    "Sequential",
    "SumOfUnits",
    "Timm",
    "Torchvision",
    "ToyLinearNet",
    "Transformer",
    "model_kwargs",
]
