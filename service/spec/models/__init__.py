"""One class per model, then the union; each knows its layout in closed form."""

from typing import Annotated

from pydantic import Field

from service.spec.models.base import Model_, model_kwargs
from service.spec.models.convolutional import CNN, CNN1d
from service.spec.models.feedforward import MLP, Linear

Model = Annotated[Linear | MLP | CNN | CNN1d, Field(discriminator="kind")]

__all__ = ["CNN", "MLP", "CNN1d", "Linear", "Model", "Model_", "model_kwargs"]
