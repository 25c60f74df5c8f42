"""Walking a space: which dimensions are active, drawing a point, and finding a given point's place in the space."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.spec.studies.dimensions import Choice, DimensionBase

Space = Mapping[str, DimensionBase]
Point = dict[str, Any]  # pointer -> value, of the active dimensions


@dataclass(frozen=True)
class Leaf:
    """A dimension with its pointer and the options that it depends on, as (pointer, position), outermost first."""

    pointer: str
    dimension: DimensionBase
    within: tuple[tuple[str, int], ...] = ()

    @cached_property
    def name(self) -> str:
        """A name that no other dimension of the space has: two options may search the same pointer differently."""
        return " > ".join([*(f"{pointer}={at}" for pointer, at in self.within), self.pointer])


def leaves(space: Space, within: tuple[tuple[str, int], ...] = ()) -> Iterator[Leaf]:
    """Yield every dimension, each choice before the dimensions of its options."""
    for pointer, dimension in space.items():
        yield Leaf(pointer, dimension, within)
        if isinstance(dimension, Choice):
            for at, option in enumerate(dimension.options):
                yield from leaves(option.space, (*within, (pointer, at)))


def draw(space: Space, choose: Callable[[Leaf], Any], within: tuple[tuple[str, int], ...] = ()) -> Point:
    """Return a point: the value that `choose` gives each active dimension, each choice before what depends on it."""
    point: Point = {}
    for pointer, dimension in space.items():
        point[pointer] = value = choose(Leaf(pointer, dimension, within))
        if isinstance(dimension, Choice) and (at := dimension.position(value)) is not None:
            point |= draw(dimension.options[at].space, choose, (*within, (pointer, at)))
    return point


def locate(space: Space, point: Mapping[str, Any]) -> dict[str, tuple[Leaf, float]] | None:
    """Return the active dimensions by name with the unit value of each; None where the point is not in the space."""
    found: dict[str, tuple[Leaf, float]] = {}

    def choose(leaf: Leaf) -> Any:
        value = point.get(leaf.pointer)
        unit = leaf.dimension.unit(value) if leaf.pointer in point else None
        if unit is None:
            raise LookupError(leaf.pointer)
        found[leaf.name] = (leaf, unit)
        return value

    try:
        drawn = draw(space, choose)
    except LookupError:
        return None
    return found if drawn.keys() == point.keys() else None


def point_at(space: Space, units: Mapping[str, float]) -> Point:
    """Return the point whose active dimensions have these unit values, by name."""
    return draw(space, lambda leaf: leaf.dimension.at(units[leaf.name]))


def scientific(space: Space) -> dict[str, Choice]:
    """Return the choices at the top of the space that the study compares."""
    return {
        pointer: dimension
        for pointer, dimension in space.items()
        if isinstance(dimension, Choice) and dimension.role == "scientific"
    }


def combinations(space: Space) -> list[Point]:
    """Return each combination of the scientific values, the last changing fastest; [{}] where nothing is compared."""
    made: list[Point] = [{}]
    for pointer, choice in scientific(space).items():
        made = [{**before, pointer: option.value} for before in made for option in choice.options]
    return made


def restricted(space: Space, combination: Mapping[str, Any]) -> dict[str, DimensionBase]:
    """Return the space with each scientific choice narrowed to the option of `combination`."""
    narrowed = dict(space)
    for pointer, value in combination.items():
        choice = space[pointer]
        if isinstance(choice, Choice) and (at := choice.position(value)) is not None:
            narrowed[pointer] = choice.model_copy(update={"options": (choice.options[at],)})
    return narrowed
