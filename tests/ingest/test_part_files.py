"""Separate files for the parts: checked against the training file by their reports alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service.ingest import inspect_file
from service.spec.datasets.report import Report
from service.spec.datasets.upload_references import PLACES
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment

ROWS = pd.DataFrame(
    {"age": np.arange(20) + 0.5, "income": np.arange(20), "city": [*"abcd"] * 5, "kind": ["yes", "no"] * 10}
)
STEPS = ({"kind": "impute", "columns": ("age",)}, {"kind": "one_hot"})
UPLOADS = [f"dat_{at}{'0' * 25}" for at in range(3)]


def wanted(**fields: Any) -> Upload:
    split = {"kind": "files", "validation": UPLOADS[1], "test": UPLOADS[2]}
    document = {"kind": "upload", "upload": UPLOADS[0], "split": split, "predict": "kind", "task": "classification"}
    return Upload.model_validate(document | {"prepare": STEPS} | fields)


def report(folder: Path, rows: pd.DataFrame) -> Report:
    path = folder / "content"
    rows.to_csv(path, index=False)
    return inspect_file(path)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda rows: rows.drop(columns="income"), "no_such_column", "the file has no column income"),
        (lambda rows: rows.rename(columns={"kind": "Kind"}), "no_such_column", "the file has no column kind"),
        (lambda rows: rows.assign(age="old"), "wrong_type", "age is text here (row 1 is the first that is no number)"),
        (lambda rows: rows.assign(city=1), "wrong_type", "city is whole numbers here, and text in the training file"),
        (lambda rows: rows.assign(kind="maybe"), "unknown_class", "kind has the class maybe, which"),
        (lambda rows: rows.assign(income=[None] + [1] * 19), "missing_values", "income has 1 row without"),
    ],
)
def test_a_file_that_does_not_fit_the_training_file_is_refused_by_column(
    change: Any, code: str, says: str, tmp_path: Path
) -> None:
    training, broken = report(tmp_path, ROWS), report(tmp_path, change(ROWS))
    for at, part in ((1, "validation"), (2, "test")):
        reports = [training] * 3
        reports[at] = broken
        found, problems = wanted().resolve_files(reports, [0] * 3, ["0" * 64] * 3)
        assert found is None
        assert [(each.pointer, each.code) for each in problems] == [(f"/split/{part}", code)]
        assert says in problems[0].detail


def test_what_a_file_may_have_otherwise(tmp_path: Path) -> None:
    """Columns of its own, in any order; numbers that are whole; categories that the training file lacks; blanks."""
    other = ROWS[["kind", "city", "income", "age"]].assign(more=1, age=[None] + [3] * 19, city="new")
    reports = [report(tmp_path, each) for each in (ROWS, other, ROWS)]
    found, problems = wanted().resolve_files(reports, [0] * 3, ["0" * 64] * 3)
    assert problems == []
    assert found is not None
    assert [each.name for each in found.columns] == ["age", "income", "city"]
    assert found.columns[2].categories == ("a", "b", "c", "d", "new")
    assert (found.rows, found.validation, found.test, found.inputs) == (60, 20, 20, 7)


def test_every_place_of_an_upload_in_a_spec_is_known() -> None:
    """Whoever adds a field of this kind adds it to `PLACES`, which deletion, moving and fetching go by."""
    schema = Experiment.model_json_schema()

    def places(part: Any, path: tuple[str, ...], seen: frozenset[str]) -> set[tuple[str, ...]]:
        if isinstance(part, list):
            return set().union(*(places(each, path, seen) for each in part))
        if not isinstance(part, dict):
            return set()
        if (name := part.get("$ref")) is not None:
            return set() if name in seen else places(schema["$defs"][name.split("/")[-1]], path, seen | {name})
        found = {path} if part.get("pattern", "").startswith("^dat_") else set()
        for key, each in part.get("properties", {}).items():
            found |= places(each, (*path, key), seen)
        return found.union(
            *(places(part[word], path, seen) for word in ("anyOf", "oneOf", "allOf", "items") if word in part)
        )

    assert places(schema, (), frozenset()) == {*PLACES}
