"""What every dataset declares: its shape and task before any data are read, and how rows are split and scaled."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Default, Json, under
from service.spec.layout import CodedFeature
from service.spec.losses.base import Task
from service.spec.preparation import PreparationSteps
from service.spec.preparation.base import Feature, number_features
from service.spec.preparation.plan import PlannedStep, plan_steps

Scaling = Literal["standardise", "minmax", "none"]
SCALING = "fitted on the training part. standardise: mean 0, standard deviation 1; minmax: 0 to 1; none: unchanged"
MAX_CELLS = 2 * 10**8  # numbers in a generated dataset, at most
MAX_FEATURES = 65_536  # of a row that is prepared, before and after
Rows = Annotated[int, Field(ge=10, le=10**7, description="number of rows, before the split")]
Noise = Annotated[float, Field(ge=0, le=1e3, description="standard deviation of the noise")]
DataSeed = Annotated[
    int, Field(ge=0, lt=2**32, description="random seed of the data; independent of the training's seeds")
]


@dataclass(frozen=True)
class Facts:
    """What is known about a dataset without reading it. `shape` is the shape of one row, channels first."""

    rows: int
    shape: tuple[int, ...]
    task: Task
    classes: int = 0  # 0 for regression
    unit: str = ""
    vocabulary: int = 0  # number of tokens; above 0 a row is (length,) token ids
    targets: int = 1  # values to predict for each row of a regression
    coded: tuple[CodedFeature, ...] = ()  # numbers of a row that are codes of categories

    @property
    def answers(self) -> int:
        """The number of classes, of tokens, or of values to predict."""
        return self.classes or self.vocabulary or self.targets


class DatasetBase(Component):
    """A dataset, split into a training, a validation and a test part."""

    known: ClassVar[Facts]  # unless fields other than `rows` change them; 0 rows stand for that field
    instead = {"known": "facts"}
    renamed = {"apart": "reserved_test_rows", "dealt": "rows_to_split", "fitting": "inferred_defaults"}
    source: ClassVar[str] = ""
    of_bytes: ClassVar[bool] = False  # rows are images of bytes, which can be augmented
    stored: ClassVar[bool] = False  # the target takes the folders of files before the fields

    validation: Annotated[float, Field(ge=0, le=0.5, description="share of the rows used for validation")] = 0.2
    test: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            description="share of the rows kept for the test, which runs once at the end: test/loss, test/accuracy",
        ),
    ] = 0.0

    @property
    def bytes_known(self) -> bool:
        """Whether it is known how many bytes of text its targets stand for."""
        return False

    def warnings(self) -> Iterator[Problem]:
        """Yield settings that are allowed and probably a mistake; pointers start at this part."""
        yield from ()

    @property
    def strata(self) -> int:
        """The number of classes by which the split is stratified; 0 if it is not stratified."""
        return self.facts.classes if self.facts.task == "classification" else 0

    @property
    def facts(self) -> Facts:
        """What is known before any row is read."""
        return self.known if self.known.rows else replace(self.known, rows=getattr(self, "rows", 0))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of one row as the loader returns it; that of `facts`, unless it is prepared."""
        return self.facts.shape

    def kwargs(self) -> Json:
        """Return the loader's arguments: the fields without those of split and scaling, common to all datasets."""
        return {k: v for k, v in super().kwargs().items() if k not in RegressionBase.model_fields}

    @property
    def reserved_test_rows(self) -> int:
        """The number of last rows that the dataset itself reserves for the test part."""
        return 0

    @property
    def reserved_validation_rows(self) -> int:
        """The number of rows before the test rows that the dataset itself reserves for the validation part."""
        return 0

    @property
    def draws_rows(self) -> bool:
        """Whether training rows are drawn for each update, rather than taken in epochs."""
        return False

    @property
    def rows_to_split(self) -> int:
        """The number of rows that are split into parts at random."""
        return self.facts.rows - self.reserved_test_rows - self.reserved_validation_rows

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows for training, validation and test."""
        rows = self.rows_to_split
        validation, test = round(rows * self.validation), round(rows * self.test)
        own = self.reserved_validation_rows, self.reserved_test_rows
        return rows - validation - test, validation + own[0], test + own[1]

    @property
    def validated(self) -> bool:
        """Whether there are rows to validate on."""
        return self.counts[1] > 0

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield defaults for omitted fields where the usual ones do not fit; `counts`: the loss is for counts."""
        if self.reserved_validation_rows:
            yield Default("validation", 0.0, "0: the dataset has its own validation set.")
            return
        train, validation, _ = self.counts
        classes, least = self.strata, max(self.strata, 2)
        if 0 < validation < classes and validation + train >= classes + least and 2 * classes <= self.rows_to_split:
            why = f"{classes} rows: the least that has one of each of {classes} classes."
            yield Default("validation", classes / self.rows_to_split, why)
        elif validation > 0 and (validation < classes or train < least):
            yield Default("validation", 0.0, "0: there are too few rows to keep some apart.")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless a stratified split has a row of each class in each part."""
        train, validation, test = self.counts
        classes = self.strata
        drawn = validation - self.reserved_validation_rows, test - self.reserved_test_rows
        for name, count in zip(("validation", "test"), drawn, strict=True):
            if 0 < count < classes:
                detail = f"each part needs at least {classes} rows, one of each class; this one has {count}."
                yield Problem(f"/{name}", "split_too_small", detail)
        if train < max(classes, 2):
            name = "validation" if self.validation else "test"
            detail = f"validation and test leave fewer than {max(classes, 2)} rows to train on."
            yield Problem(f"/{name}", "split_too_large", detail)


class TableBase(DatasetBase):
    """Unordered rows of numbers: split at random, stratified by class."""

    split_seed: Annotated[int, Field(ge=0, lt=2**32, description="random seed of the split")] = 0
    folds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None,
        description="k-fold cross-validation: the rows beside the test part are in so many folds, and a run validates "
        "on the fold that is its seed modulo `folds`; null: all runs validate on the same rows",
    )
    scaling: Scaling = Field("standardise", description=f"scaling of the features, {SCALING}")
    prepare: PreparationSteps = Field(
        (), description="preparation of the features, in order: fitted on the training rows, before `scaling`"
    )
    shuffled_targets: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of the rows whose targets are shuffled among them, so that they are random"
    )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows for training, validation and test; with folds the fewest of any fold for training."""
        if self.folds is None:
            return super().counts
        rows = self.rows_to_split
        test = round(rows * self.test)
        validation = -(-(rows - test) // self.folds)
        return rows - test - validation, validation, test + self.reserved_test_rows

    @property
    def features_read(self) -> tuple[Feature, ...]:
        """The features before the first step of the preparation, in order."""
        return number_features(math.prod(self.stored_shape))

    @property
    def planned(self) -> list[PlannedStep]:
        """The steps of the preparation, with the features before and after each."""
        return plan_steps(self.prepare, self.features_read)[0] if self.prepare else []

    def warnings(self) -> Iterator[Problem]:
        """Yield steps of the preparation that change nothing."""
        yield from super().warnings()
        for at, each in enumerate(self.planned):
            if not each.taken:
                yield Problem(f"/prepare/{at}", "no_effect", "there is no feature that this step is for.")

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield the usual defaults, and with folds their share."""
        if self.folds is None:
            yield from super().inferred_defaults(counts)
        else:
            yield Default("validation", 1 / self.folds, f"1/{self.folds}: each of the /folds is one part.")

    def problems(self) -> Iterator[Problem]:
        """Yield problems of the preparation, of the parts, and of folds."""
        yield from self._preparation_problems()
        if self.folds is None:
            yield from super().problems()
            return
        for problem in super().problems():  # folds stand for the share
            yield replace(problem, pointer="/folds") if problem.pointer == "/validation" else problem
        yield from self._fold_problems(self.folds)

    def _preparation_problems(self) -> Iterator[Problem]:
        """Yield why steps do not fit rows whose shape alone is known."""
        if not self.prepare:
            return
        if self.of_bytes:
            detail = "the rows are images of bytes, which /scaling and /augment change: leave it out."
            yield Problem("/prepare", "wrong_dataset", detail)
        elif (before := math.prod(self.stored_shape)) > MAX_FEATURES:
            detail = f"a row has {before} numbers; steps take at most {MAX_FEATURES}: leave it out."
            yield Problem("/prepare", "too_large", detail, MAX_FEATURES)
        else:
            planned, problems = plan_steps(self.prepare, self.features_read)
            yield from under("/prepare", problems)
            if not problems and len(planned[-1].after) != math.prod(self.facts.shape):
                detail = f"makes {len(planned[-1].after)} features of {before}, and this dataset keeps its shape"
                yield Problem("/prepare", "wrong_shape", f"{detail}: only tables of columns may change it.")

    def _fold_problems(self, folds: int) -> Iterator[Problem]:
        if self.validation != 1 / folds:
            detail = f"with /folds {folds} it is 1/{folds} of the rows beside the test: leave it out."
            yield Problem("/validation", "contradiction", detail)
        if self.reserved_validation_rows:
            detail = "the dataset has its own validation set, which no fold can be: leave this out."
            yield Problem("/folds", "contradiction", detail)
        elif self.rows_to_split < 2 * folds:
            detail = f"{self.rows_to_split} rows make no {folds} folds of 2: fewer folds."
            yield Problem("/folds", "split_too_small", detail, max(self.rows_to_split // 2, 2))


class RegressionBase(TableBase):
    """Rows with a numeric target."""

    target_scaling: Scaling = Field("standardise", description=f"scaling of the target, {SCALING}")

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield no target scaling for counts."""
        yield from super().inferred_defaults(counts)
        if counts:
            yield Default("target_scaling", "none", "none: /loss is for counts, and scaled values are none.")


Dataset_, Regression_, Table_ = DatasetBase, RegressionBase, TableBase  # the old names, kept for plug-ins until 0.3


def too_many_cells(rows: int, features: int) -> Iterator[Problem]:
    """Yield a problem for a dataset that does not fit in memory."""
    if rows * features > MAX_CELLS:
        detail = f"{rows} rows of {features} numbers; at most {MAX_CELLS} numbers: fewer rows or /features."
        yield Problem("/rows", "too_large", detail, MAX_CELLS // features)
