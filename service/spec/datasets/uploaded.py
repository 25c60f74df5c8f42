"""A table from an uploaded file."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Json
from service.spec.datasets.base import Facts, RegressionBase
from service.spec.datasets.columns import (
    class_names,
    no_classes,
    shapes,
    share_names,
)
from service.spec.datasets.named_columns import ColumnName, NamedColumns, file_problems
from service.spec.datasets.part_files import UsedColumns, join_reports
from service.spec.datasets.precision import MIN_SPACINGS, is_coarse
from service.spec.datasets.prepared import (
    features_of,
    filled_names,
    preparation_problems,
    read_sources,
    row_shape,
)
from service.spec.datasets.report import MAX_CLASSES, Column, Report
from service.spec.datasets.resolved import Coded, PartFile, Resolved
from service.spec.datasets.splits import ColumnSplit, FileSplit, GroupSplit, RandomSplit, Split
from service.spec.datasets.targets import TableTask, TargetTransformKind, target_problems, transform_problems
from service.spec.datasets.upload_base import UploadedBase
from service.spec.layout import CodedFeature
from service.spec.preparation.base import Feature
from service.spec.preparation.plan import plan_steps

MIN_ROWS = 2
MAX_SHOWN = 5  # classes that a warning names
NO_TABLES = {
    "text": "is a text: use the dataset kind text.",
    "images": "is an archive of images: use the dataset kind images.",
    "safetensors": "holds weights, no rows: name it in /start.",
    "tokenizer": "is a tokenizer, no rows: name it in /tokens of the dataset kind text.",
}
NOT_LOADED = ("split", "weights", "prepare_target")  # fields that the loader does without


class Upload(RegressionBase, UploadedBase):
    """An uploaded table (POST /v1/datasets): CSV, JSON, Parquet, or the arrays of an NPZ file."""

    target = "worker.trainer.data.uploads:table"

    kind: Literal["upload"] = "upload"
    predict: ColumnName | Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=MAX_CLASSES)] = Field(
        description="target column; several for a regression of several values; for the task distribution the columns "
        "of class probabilities, or one array column"
    )
    features: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None,
        description="feature columns, or one array column of any shape; null: all but the target and an index",
    )
    missing: Literal["refuse", "drop"] = Field(
        "refuse", description="rows with missing values in a used column: refuse the file, or drop the rows"
    )
    split: Split = Field(
        RandomSplit(),
        description="what decides the part of a row: chance, a column of parts, of times or of groups, or its file",
    )
    weights: ColumnName | None = Field(
        None,
        description="column of weights of the rows, 0 or above, for the sampler `weighted`; no feature. null: none",
    )
    prepare_target: TargetTransformKind | None = Field(
        None,
        description="transform of a regression's targets before `target_scaling`, undone for metrics: log1p, or the "
        "Yeo-Johnson power fitted on the training rows; null: none",
    )
    task: TableTask = Field(
        description="what the target is: a class, a number (regression), or class probabilities (distribution)"
    )

    @property
    def facts(self) -> Facts:
        """Read from the upload's report."""
        found = self.found
        shape = (found.inputs,) if found.inputs else found.shape
        targets = len(self.predicted) if self.task == "regression" else 1
        coded = tuple(CodedFeature(each.position, each.codes, each.column) for each in found.coded)
        return Facts(found.rows, shape, self.task, len(found.classes), targets=targets, coded=coded)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of a row before its preparation."""
        return self.found.shape

    @property
    def features_read(self) -> tuple[Feature, ...]:
        """The columns, or the numbers of the one array."""
        return features_of(self.found.columns, self.found.shape)

    @property
    def split_column(self) -> str | None:
        """The column that decides each row's part; None: chance does, or the row's file."""
        return None if isinstance(self.split, RandomSplit | FileSplit) else self.split.column

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows for training, validation and test: counted in the file where a column decides."""
        found = self.found.split
        return super().counts if found is None else (found.train, found.validation, found.test)

    @property
    def strata(self) -> int:
        """The number of classes by which a random split is stratified; 0 where no chance decides."""
        return super().strata if isinstance(self.split, RandomSplit) else 0

    def kwargs(self) -> Json:
        """Return the loader's arguments: without the split and the steps, which come after it."""
        return {name: value for name, value in super().kwargs().items() if name not in NOT_LOADED}

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield the usual defaults, and no shares where a column names the parts."""
        for default in super().inferred_defaults(counts):
            if self.split_column is None or self.folds or default.field != "validation":
                yield default
        if isinstance(self.split, ColumnSplit):
            yield Default("validation", 0.0, "0: the column of /split names the rows of each part.")

    def problems(self) -> Iterator[Problem]:
        """Yield problems of the parts."""
        if isinstance(self.split, FileSplit):
            yield from self._share_problems("the files of /split are the parts")
            yield from self._seed_problems()
            return
        if self.split_column is None:
            yield from super().problems()
            if self.reserved_test_rows and self.test:
                yield Problem("/test", "contradiction", "the file has its own rows to test on: leave this at 0.", 0)
            return
        if self.counts[0] < 2:
            detail = f"leaves {self.counts[0]} rows to train on; at least 2."
            yield Problem("/split/column", "split_too_large", detail, 2)
        if self.folds is not None:
            yield from self._fold_problems(self.folds)
        if isinstance(self.split, ColumnSplit):
            yield from self._share_problems("the column of /split names the rows of each part")
            yield from self._seed_problems()
            return
        for name, at in (("validation", 1), ("test", 2)):
            if getattr(self, name) and not self.counts[at]:
                detail = f"this share of {self.facts.rows} rows is none: raise it, or set it to 0."
                yield Problem(f"/{name}", "split_too_small", detail)
        if not isinstance(self.split, GroupSplit):
            yield from self._seed_problems()

    def _seed_problems(self) -> Iterator[Problem]:
        if self.split_seed:
            yield Problem("/split_seed", "contradiction", "/split draws nothing: leave this at 0.", 0)

    def drops(self, report: Report) -> bool:
        """Return whether rows with missing values are left out; never if a column has no value at all."""
        names = {*self.chosen(report), *self.predicted} - self.filled(report)
        chosen = [column for column in report.columns if column.name in names]
        empty = any(column.missing == report.rows for column in chosen)
        return self.missing == "drop" and not empty and any(column.missing for column in chosen)

    def filled(self, report: Report) -> set[str]:
        """Return the feature columns whose missing values a step fills."""
        columns = [column for name in self.chosen(report) if (column := report.column(name))]
        return filled_names(self.prepare, columns) if self.prepare else set()

    def join(self, reports: Sequence[Report]) -> tuple[Report, list[Problem]]:
        """Return the report of the training file and those of the parts as one, or why the files do not fit."""
        training, *others = reports
        if not others or [*self._names(training)]:
            return training, []
        if training.test:
            detail = "the training file has its own rows to test on, so it cannot be split by files: leave this out."
            return training, [Problem("/split", "contradiction", detail)]
        features = tuple(self.chosen(training))
        joined = join_reports(reports, features, self.predicted)
        lack = self.filled(joined) if self.missing == "refuse" else {*joined.names}
        used = UsedColumns(features, self.predicted, self.task == "classification", frozenset(lack))
        found = (used.problems(part, training, other) for part, other in zip(self.part_uploads, others, strict=True))
        return joined, [problem for problems in found for problem in problems]

    def resolve_files(
        self, reports: Sequence[Report], dropped: Sequence[int], hashes: Sequence[str]
    ) -> tuple[Resolved | None, list[Problem]]:
        """Return what the spec stores about its files, the training file first, or why they cannot be trained on.

        `reports` are without the rows of each that are `dropped`.
        """
        joined, problems = self.join(reports)
        found, others = self.resolve(joined, hashes[0])
        if problems or found is None:
            return None, problems or others
        files = tuple(
            PartFile(sha256=sha256, format=report.format, reading=report.reading, rows=report.rows, dropped=lost)
            for report, lost, sha256 in zip(reports[1:], dropped[1:], hashes[1:], strict=True)
        )
        return found.model_copy(update={"dropped": sum(dropped), "files": files}), []

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """Return the table's rows, the shape of one, and the classes, or why it cannot be trained on."""
        if (what := NO_TABLES.get(report.format)) is not None:
            return None, [Problem("/upload", "wrong_format", what)]
        problems = [*self._names(report)]
        chosen = [column for name in self.chosen(report) if (column := report.column(name))]
        predicted = [column for name in self.predicted if (column := report.column(name))]
        if problems:
            return None, problems
        problems = [
            *preparation_problems(self.prepare, chosen, self.features, report.rows),
            *target_problems(predicted, report.rows, self.task, self._parts),
            *shapes(chosen),
            *transform_problems(predicted, self.prepare_target, self.task),
            *self._too_few_rows(report),
        ]
        if problems:
            return None, problems
        shape = row_shape(chosen)
        name_classes = {"classification": class_names, "distribution": share_names, "regression": no_classes}
        found = Resolved(
            sha256=sha256,
            format=report.format,
            reading=report.reading,
            rows=report.rows,
            validation=report.validation,
            test=report.test,
            shape=shape,
            classes=name_classes[self.task](predicted),
            aside=self.columns.aside(report),
            coarse=self._coarse(chosen, predicted),
        )
        sources = read_sources(self.prepare, chosen) if self.prepare or self.part_uploads else ()
        if self.prepare:
            planned, _ = plan_steps(self.prepare, features_of(sources, shape))
            inputs = 0 if len(planned[-1].after) == math.prod(shape) and len(shape) > 1 else len(planned[-1].after)
            named = enumerate(planned[-1].after)
            coded = tuple(Coded(position=at, codes=each.codes, column=each.name) for at, each in named if each.codes)
            found = found.model_copy(update={"inputs": inputs, "coded": coded})
        return found.model_copy(update={"columns": sources}), []

    def _too_few_rows(self, report: Report) -> Iterator[Problem]:
        counts = {"validation": report.validation, "test": report.test}
        rows = report.rows - (sum(counts.values()) if self.part_uploads else 0)
        if rows < MIN_ROWS:
            yield Problem(
                "/upload", "too_small", f"has {rows} {'row' if rows == 1 else 'rows'}; at least {MIN_ROWS}.", MIN_ROWS
            )
        for part in self.part_uploads:
            if not counts[part]:
                detail = "no row of the file has a value in every column that is trained on."
                yield Problem(f"/split/{part}", "too_small", detail, 1)

    def _coarse(self, chosen: list[Column], predicted: list[Column]) -> tuple[str, ...]:
        """Return columns that are trained on unscaled and lose digits because of it."""
        unscaled = chosen if self.scaling == "none" else []
        if self.task == "regression" and self.target_scaling == "none":
            unscaled = [*unscaled, *predicted]
        return tuple(column.name for column in unscaled if is_coarse(column.std, column.min, column.max))

    def warnings(self) -> Iterator[Problem]:
        """Yield columns and rows that are left out, and columns that float32 cannot resolve unless they are scaled."""
        named = (self.split_column, self.weights)
        yield from left_aside(tuple(name for name in self.found.aside if name not in named))
        yield from super().warnings()
        if self.found.dropped:
            count = "1 row is" if self.found.dropped == 1 else f"{self.found.dropped} rows are"
            detail = f"{count} left out, because a column that is trained on has no value there."
            yield Problem("/missing", "rows_dropped", detail)
        if lacking := self.found.untrained:
            more = f" and {len(lacking) - MAX_SHOWN} more" if len(lacking) > MAX_SHOWN else ""
            shown = ", ".join(lacking[:MAX_SHOWN]) + more
            what = "the class" if len(lacking) == 1 else "any of the classes"
            detail = f"no training row has {what} {shown}: a model cannot learn what only other parts have."
            yield Problem("/split", "class_untrained", detail)
        for name in self.found.coarse:
            pointer = "/target_scaling" if name in self.predicted else "/scaling"
            detail = (
                f"the column {name} varies by less than {MIN_SPACINGS} float32 spacings at its size, so unscaled it "
            )
            fix = "set this to standardise, shift the column, or set /precision to fp64."
            yield Problem(pointer, "loses_digits", f"{detail}loses digits: {fix}")

    @property
    def columns(self) -> NamedColumns:
        """The columns that the spec names."""
        return NamedColumns(self.predict, self.features, self.split, self.split_column, self.weights, self.folds)

    def chosen(self, report: Report) -> list[str]:
        """Return the names of the features."""
        return self.columns.chosen(report)

    def _names(self, report: Report) -> Iterator[Problem]:
        """Yield what is wrong with the names of columns and files."""
        yield from self.columns.problems(report)
        if self.part_uploads:
            yield from file_problems(self.upload, self.part_uploads, self.folds)
        if not self.chosen(report):
            detail = "has no column beside the one to predict, but those that /features must name: see its report."
            yield Problem("/upload", "too_small", detail)

    @property
    def predicted(self) -> tuple[str, ...]:
        """The names of the columns to predict."""
        return self.columns.predicted

    @property
    def _parts(self) -> int:
        """The number of parts that need a row of each class."""
        return 1 if self.split_column else 1 + (self.validation > 0) + (self.test > 0)


def left_aside(names: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a warning about columns that are no features because the spec does not name them."""
    if names:
        detail = f"{', '.join(names[:3])}: an index, or without a name, so left out; name it here to train on it."
        yield Problem("/features", "left_aside", detail)
