"""What the server writes into a spec about an uploaded file, so that a worker reads and checks it without asking."""

from typing import Annotated

from pydantic import Field

from service.spec.component import Part
from service.spec.datasets.report import Format, Reading
from service.spec.datasets.tokens import Tokenized
from service.spec.preparation.base import Source


class ResolvedSplit(Part):
    """The parts of a split by a column. A worker refuses rows that it would split otherwise."""

    train: Annotated[int, Field(ge=0, description="number of rows; with folds the fewest of any")]
    validation: Annotated[int, Field(ge=0, description="number of rows; with folds the most of any")]
    test: Annotated[int, Field(ge=0, description="number of rows")]
    folds: tuple[int, ...] = Field((), description="number of rows of each fold")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="hash of the part of each row")]


class Coded(Part):
    """A feature that the step `embed` makes of a column."""

    position: Annotated[int, Field(ge=0, description="among the features after the steps, from 0")]
    codes: Annotated[int, Field(ge=2, description="number of codes: 0 for unknown categories, and one for each")]
    column: str


class StoredFile(Part):
    """What finds a file in the storage, and how it is read."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    format: Format
    reading: Reading = Reading()


class PartFile(StoredFile):
    """The file of a held-out part. A worker refuses other contents."""

    rows: Annotated[int, Field(ge=1, description="number of rows, without those dropped")]
    dropped: Annotated[int, Field(ge=0, description="rows dropped because of missing values")] = 0


class Resolved(StoredFile):
    """The contents of the upload: what a worker needs to read and check it."""

    rows: Annotated[int, Field(ge=1, description="number of rows, of all files together")]
    test: Annotated[int, Field(ge=0, description="number of last rows that are the file's own test set")] = 0
    validation: Annotated[int, Field(ge=0, description="number of rows before them: the file's own validation set")] = 0
    dropped: Annotated[int, Field(ge=0, description="rows dropped because of missing values")] = 0
    shape: Annotated[tuple[int, ...], Field(max_length=4)]
    classes: tuple[str, ...] = Field((), description="names of the classes, by class number")
    characters: str = Field("", description="the vocabulary: characters by token id")
    aside: tuple[str, ...] = Field((), description="columns that are not used as features unless `features` names them")
    coarse: tuple[str, ...] = Field((), description="unscaled columns whose values float32 can hardly distinguish")
    untrained: tuple[str, ...] = Field((), description="classes that no training row has, where a column decides")
    split: ResolvedSplit | None = Field(None, description="the parts, where a column decides them")
    files: tuple[PartFile, ...] = Field(
        (), description="files of the validation and the test part, of a split by files"
    )
    columns: tuple[Source, ...] = Field(
        (), description="feature columns as they are read; only where there are steps, or several files"
    )
    inputs: Annotated[int, Field(ge=0, description="number of features after the steps; 0: as before")] = 0
    coded: tuple[Coded, ...] = Field((), description="features that are codes of categories, for the model to embed")
    tokenized: Tokenized | None = Field(None, description="the tokens of a text; null: its characters")

    @property
    def every_file(self) -> "tuple[Resolved | PartFile, ...]":
        """The dataset's own file, then those of the other parts."""
        return (self, *self.files)
