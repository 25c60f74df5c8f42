"""The models: every class of these files with a kind is in the union; each knows its layout in closed form."""

from typing import TYPE_CHECKING

from service.spec.models import (
    convolutional,
    feedforward,
    library,
    objectives,
    recurrent,
    residual,
    sequential,
    transformer,
)
from service.spec.models.base import ModelBase, model_kwargs
from service.spec.plugins import family_union

if TYPE_CHECKING:
    Model = ModelBase
else:
    Model = family_union(
        *("model", ModelBase, feedforward, convolutional, residual, recurrent, transformer),
        *(sequential, library, objectives),
    )

__all__ = ["Model", "ModelBase", "model_kwargs"]
