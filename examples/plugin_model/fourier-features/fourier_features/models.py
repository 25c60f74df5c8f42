"""The model as a spec names it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Width
from service.spec.models.base import ModelBase
from service.spec.models.leaf import Leaf, affine


class FourierFeatures(ModelBase):
    """Sines and cosines of random directions, then one hidden layer: it learns high frequencies at once."""

    target = "fourier_features.modules:FourierFeatures"
    ranks = (1,)
    formula = "W2 relu(W1 [sin(B x), cos(B x)]),  B_ij ~ N(0, scale^2)"
    paper = "Tancik et al. 2020, arXiv:2006.10739"

    kind: Literal["fourier_features"] = "fourier_features"
    features: Annotated[Width, Field(description="number of random directions")] = 64
    scale: Annotated[float, Field(gt=0, le=1e3, description="standard deviation of their entries")] = 8.0
    hidden: Annotated[Width, Field(description="number of hidden units")] = 64

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the two layers; the directions are not trained."""
        yield affine("hidden", 2 * self.features, self.hidden, bias=True, depth=0)
        yield affine("out", self.hidden, outputs, bias=True, depth=1)
