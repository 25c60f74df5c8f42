"""What every layer of a sequential model has: torch's name and arguments; input sizes are inferred.

Shapes are one row's, channels first: (features,), (channels, length), (channels, height, width).
"""

from typing import ClassVar

from service.spec.component import Json, Part

Shape = tuple[int, ...]
Tensors = tuple[tuple[str, Shape], ...]


ROWS = {1: "(features,)", 2: "(channels, length)", 3: "(channels, height, width)"}


class ShapeMismatch(ValueError):
    """A layer cannot take rows of the given shape; the message says why."""


class LayerBase(Part):
    """One layer. `layer` is the name of the class in torch.nn, the fields its arguments."""

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)  # dimensions that a row may have here
    layer: str

    def gives(self, shape: Shape) -> Shape:
        """Return the shape of its output for rows of `shape`; raise `ShapeMismatch` if it cannot take them."""
        if len(shape) not in self.ranks:
            wanted = " or ".join(ROWS[rank] for rank in self.ranks)
            raise ShapeMismatch(f"takes rows {wanted}, and gets {list(shape)}")
        return self.result(shape)

    def result(self, shape: Shape) -> Shape:
        """Return the same for a shape whose rank is right."""
        return shape

    def arguments(self, shape: Shape) -> Json:
        """Return the arguments of torch's class: the fields, and what is inferred from rows of `shape`."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "layer"}

    def own(self, shape: Shape) -> Tensors:
        """Return its trainable tensors in torch's order."""
        return ()
