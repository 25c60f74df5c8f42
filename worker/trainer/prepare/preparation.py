"""The preparation of a dataset's rows, fitted on the training part column by column."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import RunFailure
from service.spec.plugins import PACKAGES
from service.spec.preparation.base import Feature
from service.spec.preparation.plan import PlannedStep
from worker.trainer.build import build
from worker.trainer.numerics import float_type
from worker.trainer.prepare.steps import Fitted, OwnStep, Places, Rows, Step

FIT_BYTES = 2**28  # of training columns that are fitted at once
FIT_SHARES = 16  # of the columns: fitted one after the other where rows are in memory
SHOWN_COLUMNS, SHOWN_ENTRIES, SHOWN_FEATURES = 200, 20, 1_000  # in a reading
ReadColumns = Callable[[range], Rows]  # some columns of all training rows


class FittedStep:
    """One step with what it learned of its columns."""

    def __init__(self, planned: PlannedStep, step: Step, fitted: Sequence[Fitted]) -> None:
        self.planned, self.step, self.fitted = planned, step, fitted
        self.width = len(planned.after)
        passing, self.places = _places(planned)
        self._before, self._after = [each[0] for each in passing], [each[1] for each in passing]

    def apply(self, rows: Rows) -> Rows:
        """Return the rows (n, D) after the step, (n, width)."""
        if self.step.above is not None:
            for at in self.planned.taken:
                check_range(self.step, self.planned, self.planned.before[at].name, rows[:, at])
        out = np.zeros((len(rows), self.width), rows.dtype)
        out[:, self._after] = rows[:, self._before]
        self.step.apply(rows, out, self.places, self.fitted)
        return out

    def as_json(self) -> dict[str, Any]:
        """Return the step as stored with the run."""
        names = [self.planned.before[at].name for at in self.planned.taken]
        own = {"target": self.planned.step.target} if isinstance(self.step, OwnStep) else {}
        return {
            **{"kind": self.planned.step.kind, **self.planned.step.kwargs(), **own},
            "columns": {name: dict(each) for name, each in zip(names, self.fitted, strict=True)},
        }


class Preparation:
    """All steps of a dataset, in order."""

    def __init__(self, steps: Sequence[FittedStep], shape: tuple[int, ...]) -> None:
        self.steps = steps
        features = steps[-1].planned.after
        self.names = [feature.name for feature in features]
        same = len(features) == len(steps[0].planned.before)
        self.shape = shape if same else (len(features),)  # of a row once it is prepared
        self.unscaled = np.array([feature.is_binary or feature.codes > 0 for feature in features]).reshape(self.shape)

    @classmethod
    def fit(
        cls,
        planned: Sequence[PlannedStep],
        read: ReadColumns,
        rows: int,
        shape: tuple[int, ...],
        at_once: int | None = None,
    ) -> "Preparation":
        """Fit the steps on `rows` training rows of this shape, on `at_once` columns at once at most."""
        steps = [OwnStep(build(each.step)) if type(each.step) in PACKAGES else build(each.step) for each in planned]
        fitted: list[dict[str, Fitted]] = [{} for _ in planned]
        columns = range(len(planned[0].before))
        taken = [{each.before[at].name: each.before[at] for at in each.taken} for each in planned]
        size = max(1, min(FIT_BYTES // (8 * rows), at_once or len(columns)))
        for start in range(0, len(columns), size):
            group = columns[start : start + size]
            block = read(group)
            for at, column in enumerate(group):
                _fit_column(planned, taken, steps, planned[0].before[column].name, block[:, at : at + 1], fitted)
            del block  # before the next is read
        steps_fitted = [
            FittedStep(each, step, [known[each.before[at].name] for at in each.taken])
            for each, step, known in zip(planned, steps, fitted, strict=True)
        ]
        return cls(steps_fitted, shape)

    def apply(self, rows: Rows) -> Rows:
        """Return the prepared rows, (n, *shape)."""
        rows = rows.reshape(len(rows), -1).astype(prepared_type(rows.dtype), copy=False)
        for step in self.steps:
            rows = step.apply(rows)
        return rows.reshape(-1, *self.shape)

    def as_json(self) -> dict[str, Any]:
        """Return what was fitted, and the names of the features that a model gets."""
        return {"steps": [step.as_json() for step in self.steps], "features": self.names}


def prepared_type(stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of prepared rows: that of the stored ones, or the run's if that has more digits."""
    return np.result_type(stored, float_type())


def shorten(preparation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `as_json` that fits in a reading: the first columns of each step, the first entries of each list."""
    steps = [
        {
            **step,
            "columns": {
                name: {
                    key: value[:SHOWN_ENTRIES] if isinstance(value, list) else value for key, value in fitted.items()
                }
                for name, fitted in [*step["columns"].items()][:SHOWN_COLUMNS]
            },
        }
        for step in preparation["steps"]
    ]
    return {"steps": steps, "features": preparation["features"][:SHOWN_FEATURES]}


def check_range(step: Step, planned: PlannedStep, name: str, values: Rows) -> None:
    """Raise `RunFailure` for values of a feature that the step cannot take; a table's report has told of them."""
    if step.above is not None and (values <= step.above).any():
        takes = f"/dataset/prepare: {planned.step.kind} takes values above {step.above:g}"
        detail = f"{takes}, and the feature {name} of a row is {np.nanmin(values):g}"
        raise RunFailure("spec_cannot_build", f"{detail}: use power with yeo_johnson, or name other /columns")


def _fit_column(
    planned: Sequence[PlannedStep],
    taken: Sequence[Mapping[str, Feature]],
    steps: Sequence[Step],
    name: str,
    column: npt.NDArray[Any],
    fitted: list[dict[str, Fitted]],
) -> None:
    """Fit on one column every step that has it in `taken`, each on what the earlier ones made of it."""
    for each, features, step, known in zip(planned, taken, steps, fitted, strict=True):
        if (feature := features.get(name)) is None:
            continue
        check_range(step, each, name, column)
        known[name] = step.fit(column, feature)
        if each.step.encodes and len(each.step.outputs(feature)) != 1:
            return  # no later step takes it
        out = np.zeros_like(column)
        step.apply(column, out, [Places(0, 0, None)], [known[name]])
        column = out


def _places(planned: PlannedStep) -> tuple[list[tuple[int, int]], list[Places]]:
    """Return where the features that pass unchanged are before and after a step, and the places of the others."""
    passing, taken, place = [], [], 0
    chosen = {*planned.taken}
    for at, feature in enumerate(planned.before):
        if at in chosen:
            taken.append((at, place, feature))
            place += len(planned.step.outputs(feature))
        else:
            passing.append((at, place))
            place += 1
    return passing, [*_with_added(planned, taken, place)]


def _with_added(planned: PlannedStep, taken: Sequence[tuple[int, int, Feature]], place: int) -> Iterator[Places]:
    for before, after, feature in taken:
        added = bool(planned.step.appended(feature))
        yield Places(before, after, place if added else None)
        place += added
