"""Datasets in a folder that the operator mounts: read in place, never downloaded."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Part
from service.spec.datasets.base import DatasetBase, Facts, RegressionBase, TableBase
from service.spec.datasets.named_columns import ColumnName
from service.spec.datasets.upload_base import READ_ONLY
from service.spec.datasets.uploaded import left_aside
from service.spec.preparation.base import Feature

# Segments begin with a letter, a digit or _: no path leads up, and none to a hidden file.
FolderPath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,4}$")
]
SplitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]{0,63}$")]
Zero = Annotated[float, Field(ge=0, le=0)]
WRITTEN = f"{READ_ONLY}; needed where the server has no such folder: `python -m service.ingest` prints it"


class FolderContents(Part):
    """The contents of the folder. A worker refuses files that differ from it."""

    fingerprint: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="hash of the files' names, sizes, first and last bytes")
    ]
    rows: Annotated[int, Field(ge=1, description="rows in all")]
    test: Annotated[int, Field(ge=0, description="number of last rows that are the dataset's own test set")] = 0
    validation: Annotated[
        int, Field(ge=0, description="number of rows before them: the dataset's own validation set")
    ] = 0
    shape: Annotated[tuple[int, ...], Field(max_length=4)]
    classes: tuple[str, ...] = Field((), description="names of the classes, by class number")
    aside: tuple[str, ...] = Field((), description="columns that are not used as features unless `features` names them")
    columns: tuple[str, ...] = Field((), description="feature columns of single numbers; only where there are steps")


class MountedBase(DatasetBase):
    """A dataset whose files are in the folder SADDLE_DATASET_FOLDER of the server and of every worker."""

    stored = True

    resolved: FolderContents | None = Field(None, description=WRITTEN)

    @property
    def found(self) -> FolderContents:
        """The contents of the folder; raise `Invalid` if it was not inspected."""
        if self.resolved is None:
            detail = "the folder was not looked into: only a server that mounts it can say what is in it."
            raise Invalid.of([Problem("/dataset/resolved", "not_resolved", detail)])
        return self.resolved

    @property
    def reserved_test_rows(self) -> int:
        """The rows of the dataset's own test set."""
        return self.found.test


class TorchvisionSet(TableBase, MountedBase):
    """An image dataset in torchvision's file layout. The dataset's own test files are the test part.

    Files: `MNIST/raw/train-images-idx3-ubyte` and so on, plain or with .gz; for CIFAR the binary version
    (`cifar-10-batches-bin`, `cifar-100-binary`), because the Python version is a pickle, which is never read.
    """

    target = "worker.trainer.data.mounted:images"
    of_bytes = True

    kind: Literal["torchvision"] = "torchvision"
    name: Literal["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100"] = Field(description="name in torchvision")
    test: Zero = Field(0.0, description="0: the dataset has its own test files")

    @property
    def facts(self) -> Facts:
        """Read from the files' headers."""
        found = self.found
        return Facts(found.rows, found.shape, "classification", len(found.classes), "grey value or colour, 0 to 255")


class HuggingFace(RegressionBase, MountedBase):
    """A Hugging Face dataset: a folder written by save_to_disk, or Parquet files (train-00000-of-00001.parquet).

    Features are numeric columns, or one array of a fixed shape, channels first. Classes are a ClassLabel or any values.
    """

    target = "worker.trainer.data.mounted_tables:table"

    kind: Literal["huggingface"] = "huggingface"
    path: FolderPath = Field(description="path of the dataset within the mounted folder")
    split: SplitName = Field(
        "train", description="split for training and validation; ignored if the folder has no splits"
    )
    test_split: SplitName | None = Field(None, description="split for the test; null: the share `test` of the rows")
    predict: ColumnName = Field(description="target column")
    features: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="feature columns, or one array column; null: all but the target and pandas' index"
    )
    task: Literal["classification", "regression"] = Field(description="whether the target is a class or a number")

    @property
    def facts(self) -> Facts:
        """Read from the files' schema."""
        found = self.found
        return Facts(found.rows, found.shape, self.task, len(found.classes))

    @property
    def features_read(self) -> tuple[Feature, ...]:
        """The columns, or the numbers of the one array."""
        columns = self.found.columns
        return tuple(Feature(name) for name in columns) if columns else super().features_read

    def warnings(self) -> Iterator[Problem]:
        """Yield columns that are left out, and steps that change nothing."""
        yield from super().warnings()
        yield from left_aside(self.found.aside)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for two test parts, or for a test split that is also the training split."""
        yield from super().problems()
        if self.test_split is not None and self.test:
            yield Problem("/test", "contradiction", "/test_split is the test part: leave this at 0.")
        if self.test_split == self.split:
            yield Problem("/test_split", "contradiction", "is /split, which is trained on.")
