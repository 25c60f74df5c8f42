"""Datasets in a folder that the operator mounted: read in place, never downloaded."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Part
from service.spec.datasets.base import DatasetBase, Facts, RegressionBase, TableBase
from service.spec.datasets.uploaded import READ_ONLY, ColumnName, left_aside

# Segments begin with a letter, a digit or _: no path leads up, and none to a hidden file.
FolderPath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,4}$")
]
SplitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]{0,63}$")]
Zero = Annotated[float, Field(ge=0, le=0)]
WRITTEN = f"{READ_ONLY}; needed where the server has no such folder: `python -m service.ingest` prints it"


class FolderContents(Part):
    """The contents of the folder: a worker refuses any other files."""

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="of names, sizes, first and last bytes")]
    rows: Annotated[int, Field(ge=1, description="in all")]
    test: Annotated[int, Field(ge=0, description="of them the last ones, which the set itself keeps for testing")] = 0
    shape: Annotated[tuple[int, ...], Field(max_length=4)]
    classes: tuple[str, ...] = Field((), description="class number -> its name")
    aside: tuple[str, ...] = Field((), description="columns that are no features because nobody asked for them")


class MountedBase(DatasetBase):
    """A dataset whose files are in the folder SADDLE_DATASET_FOLDER of the server and of every worker."""

    stored = True

    resolved: FolderContents | None = Field(None, description=WRITTEN)

    @property
    def found(self) -> FolderContents:
        """The contents of the folder; raises `Invalid` if it was not inspected."""
        if self.resolved is None:
            detail = "the folder was not looked into: only a server that mounts it can say what is in it."
            raise Invalid.of([Problem("/dataset/resolved", "not_resolved", detail)])
        return self.resolved

    @property
    def reserved_test_rows(self) -> int:
        """The dataset's own test part."""
        return self.found.test


class TorchvisionSet(TableBase, MountedBase):
    """A set of images by torchvision's name, from its standard files; the set's own test files are the test part.

    `MNIST/raw/train-images-idx3-ubyte` and so on, or with .gz; `cifar-10-batches-bin` and `cifar-100-binary` are
    CIFAR's binary version, because its Python version is a pickle, which is never read.
    """

    target = "worker.trainer.data.mounted:images"

    kind: Literal["torchvision"] = "torchvision"
    name: Literal["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100"]
    test: Zero = Field(0.0, description="the set has test files of its own")

    @property
    def facts(self) -> Facts:
        """As the files' headers say."""
        found = self.found
        return Facts(found.rows, found.shape, "classification", len(found.classes), "grey value or colour, 0 to 255")


class HuggingFace(RegressionBase, MountedBase):
    """A dataset of Hugging Face: a folder of save_to_disk, or one of Parquet files (train-00000-of-00001.parquet).

    Columns of numbers, or one array of a fixed shape, channels first; classes by their ClassLabel, or as they stand.
    """

    target = "worker.trainer.data.mounted_tables:table"

    kind: Literal["huggingface"] = "huggingface"
    path: FolderPath = Field(description="of the folder, below the mounted one")
    split: SplitName = Field("train", description="trained on and validated on; ignored where a folder has no splits")
    test_split: SplitName | None = Field(None, description="the test part; null: a share of the rows, by `test`")
    predict: ColumnName = Field(description="the column to predict")
    features: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="columns to predict from, or one array; null: all but the one to predict and pandas' index"
    )
    task: Literal["classification", "regression"]

    @property
    def facts(self) -> Facts:
        """As the files' schema says."""
        found = self.found
        return Facts(found.rows, found.shape, self.task, len(found.classes))

    def warnings(self) -> Iterator[Problem]:
        """Yield columns that are left out."""
        yield from left_aside(self.found.aside)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there is one test part at most, apart from the training part."""
        yield from super().problems()
        if self.test_split is not None and self.test:
            yield Problem("/test", "contradiction", "/test_split is the test part: leave this at 0.")
        if self.test_split == self.split:
            yield Problem("/test_split", "contradiction", "is /split, which is trained on.")
