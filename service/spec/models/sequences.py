"""What models of sequences share: rows as steps in time, tokens, and the position at which the output is read."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Width
from service.spec.models.base import ModelBase

Vocabulary = Annotated[
    Width | None, Field(description="number of tokens, for rows of token ids; null: rows are numbers")
]
OutputsAt = Annotated[
    Literal["last", "mean", "every"],
    Field(description="output from the last position, from the mean, or at every position (language)"),
]


def steps_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a row's (length, features): L numbers, C channels of L, or an image whose pixel rows are the steps."""
    if len(shape) == 1:
        return shape[0], 1
    if len(shape) == 2:
        return shape[1], shape[0]
    return shape[1], shape[0] * shape[2]


class SequenceModelBase(ModelBase):
    """A model that reads a row as a sequence."""

    ranks = (1, 2, 3)

    vocabulary: Vocabulary = None
    outputs_at: OutputsAt = "last"
    lookahead: ClassVar[tuple[str, bool]]  # the field that lets a position see later ones, and the value that does

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield what a language task needs: its vocabulary, and an output at every position from earlier ones only."""
        yield from super().inferred_defaults(shape, task, vocabulary)
        if vocabulary:
            yield Default("vocabulary", vocabulary, f"{vocabulary}, as many tokens as /dataset has.")
        if task == "language":
            yield Default("outputs_at", "every", "every: /dataset is a language task.")
        name, value = self.lookahead
        if self.outputs_at == "every" and getattr(self, name) is value:
            why = f"{str(not value).lower()}: a position must not see the token that it has to predict."
            yield Default(name, not value, why)

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """Yield a problem unless tokens alone are embedded, and a language model sees only earlier positions."""
        if task == "objective":
            yield from super().task_problems(task, vocabulary)
            return
        if vocabulary > (self.vocabulary or 0):
            detail = f"rows of /dataset are token ids below {vocabulary}: set this to {vocabulary}."
            yield Problem("/vocabulary", "contradiction", detail)
        elif self.vocabulary and not vocabulary:
            yield Problem(
                "/vocabulary", "contradiction", "rows of /dataset are numbers, not token ids: set this to null."
            )
        if (task == "language") != (self.outputs_at == "every"):
            wanted = "set this to every" if task == "language" else "set this to last or mean"
            yield Problem("/outputs_at", "contradiction", f"/dataset is a {task} task: {wanted}.")
        name, value = self.lookahead
        if self.outputs_at == "every" and getattr(self, name) is value:
            detail = f"a position would see the token that it has to predict: set this to {str(not value).lower()}."
            yield Problem(f"/{name}", "contradiction", detail)

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """Yield a problem for token ids of more than one dimension."""
        yield from super().shape_problems(shape, outputs)
        if self.vocabulary and len(shape) != 1:
            yield Problem("/vocabulary", "shape_mismatch", f"token ids are rows of one dimension, not {list(shape)}.")
