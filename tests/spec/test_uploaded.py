"""What a spec may ask of an upload, judged from its report alone."""

from typing import Any

import pytest

from service.errors import Invalid
from service.spec.datasets.identity import data_identity
from service.spec.datasets.report import Column, Report
from service.spec.datasets.text import Text
from service.spec.datasets.uploaded import Upload

ID = "dat_" + "0" * 26
SHA = "ab" * 32
REPORT = Report(
    format="csv",
    rows=100,
    columns=(
        Column(name="size", type="number", missing=0, min=0.0, max=2.0),
        Column(name="count", type="integer", missing=0, min=0.0, max=9.0, classes={"10": 50, "9": 50}),
        Column(name="gappy", type="number", missing=3, min=0.0, max=2.0),
        Column(name="far", type="number", missing=0, infinite=1, min=0.0, max=2.0),
        Column(name="huge", type="number", missing=0, min=0.0, max=1e300),
        Column(name="word", type="text", missing=0, classes={"b": 60, "a": 40}),
        Column(name="rare", type="text", missing=0, classes={"b": 98, "a": 2}),
        Column(name="one", type="text", missing=0, constant=True, classes={"b": 100}),
        Column(name="image", type="number", shape=(1, 8, 8), missing=0, min=0.0, max=1.0),
    ),
)


def upload(**fields: Any) -> Upload:
    return Upload.model_validate({"upload": ID, "predict": "word", "task": "classification"} | fields)


def told(**fields: Any) -> list[tuple[str, str]]:
    resolved, problems = upload(**fields).resolve(REPORT, SHA)
    assert (resolved is None) == bool(problems)
    return [(problem.pointer, problem.code) for problem in problems]


def test_facts_follow_from_what_was_found() -> None:
    dataset = upload(features=("size", "count"))
    resolved, _ = dataset.resolve(REPORT, SHA)
    facts = dataset.model_copy(update={"resolved": resolved}).facts
    assert (facts.rows, facts.shape, facts.task, facts.classes) == (100, (2,), "classification", 2)
    assert resolved is not None
    assert (resolved.classes, resolved.sha256) == (("a", "b"), SHA)


def test_number_classes_are_sorted_by_size_and_an_array_keeps_its_shape() -> None:
    resolved, _ = upload(predict="count", features=("image",)).resolve(REPORT, SHA)
    assert resolved is not None
    assert (resolved.classes, resolved.shape) == (("9", "10"), (1, 8, 8))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"predict": "wrod", "features": ("size",)}, [("/predict", "no_such_column")]),
        ({"features": ("size", "siz")}, [("/features/1", "no_such_column")]),
        ({"features": ("size", "size")}, [("/features/1", "repeated")]),
        ({"features": ("size", "word")}, [("/features/1", "contradiction")]),
        ({"features": ("size", "gappy")}, [("/features/1", "missing_values")]),
        ({"features": ("far",)}, [("/features/0", "missing_values")]),
        ({"features": ("huge",)}, [("/features/0", "too_large")]),
        ({"features": ("rare",)}, [("/features/0", "not_a_number")]),
        ({"features": ("size", "image")}, [("/features", "wrong_shape")]),
        ({"features": ("size",), "predict": "rare", "test": 0.1}, [("/predict", "class_too_small")]),
        ({"features": ("size",), "predict": "one"}, [("/predict", "too_few_classes")]),
        ({"features": ("count",), "predict": "size"}, [("/predict", "too_many_classes")]),
        ({"features": ("size",), "predict": "image"}, [("/predict", "wrong_shape")]),
        ({"features": ("size",), "task": "regression"}, [("/predict", "not_a_number")]),
        ({"features": ("size",), "predict": "gappy", "task": "regression"}, [("/predict", "missing_values")]),
    ],
)
def test_what_does_not_fit_is_named_by_field(fields: Any, expected: list[tuple[str, str]]) -> None:
    assert told(**fields) == expected


def test_without_chosen_features_every_unusable_column_is_told() -> None:
    codes = [code for _, code in told()]
    assert codes == ["missing_values", "missing_values", "too_large", "not_a_number", "not_a_number", "wrong_shape"]


def test_an_unscaled_column_whose_digits_float32_loses_is_a_warning() -> None:
    def warned(**fields: Any) -> list[tuple[str, str]]:
        dataset = upload(features=("time",), predict="size", task="regression", **fields)
        resolved, _ = dataset.resolve(report, SHA)
        assert resolved is not None
        found = dataset.model_copy(update={"resolved": resolved}).warnings()
        return [(problem.pointer, problem.detail.partition(" varies")[0]) for problem in found]

    size = Column(name="size", type="number", missing=0, min=1e9, max=1e9 + 9, std=3.0)
    report = REPORT.model_copy(update={"columns": (size, size.model_copy(update={"name": "time"}))})
    assert warned() == []
    assert warned(scaling="none") == [("/scaling", "the column time")]
    assert warned(target_scaling="none") == [("/target_scaling", "the column size")]


def test_a_close_name_is_suggested() -> None:
    _, (problem,) = upload(predict="wrod", features=("size",)).resolve(REPORT, SHA)
    assert problem.did_you_mean == "word"


def test_nothing_is_known_of_an_upload_that_nobody_looked_up() -> None:
    with pytest.raises(Invalid) as caught:
        _ = upload().facts
    assert caught.value.problems[0].pointer == "/dataset/upload"


def test_a_text_and_a_table_are_not_taken_for_each_other() -> None:
    text = Text.model_validate({"upload": ID, "context": 8})
    report = Report(format="text", rows=101, characters="ab")
    resolved, _ = text.resolve(report, SHA)
    facts = text.model_copy(update={"resolved": resolved}).facts
    assert (facts.rows, facts.shape, facts.task, facts.vocabulary, facts.classes) == (12, (8,), "language", 2, 0)
    assert text.resolve(REPORT, SHA)[1][0].code == "wrong_format"
    assert upload().resolve(report, SHA)[1][0].code == "wrong_format"
    assert Text.model_validate({"upload": ID, "context": 64}).resolve(report, SHA)[1][0].pointer == "/context"


PREPARED = ("size", "gappy", "tags")
TAGS = Column(name="tags", type="text", missing=2, classes={"a": 50, "b": 48})
MANY = Column(name="many", type="text", missing=0, classes=None)
LOW = Column(name="low", type="number", missing=0, min=-1.0, max=2.0)
WITH_TAGS = REPORT.model_copy(update={"columns": (*REPORT.columns, TAGS, MANY, LOW)})
MEAN, MODE, HOT = {"kind": "impute"}, {"kind": "impute", "strategy": "most_frequent"}, {"kind": "one_hot"}
LOG = {"kind": "log1p"}
NUMBERED = {"kind": "ordinal", "columns": ("tags",)}


def prepared(*steps: Any, **fields: Any) -> tuple[Upload, list[tuple[str, str]]]:
    dataset = upload(**{"features": PREPARED, "prepare": steps} | fields)
    resolved, problems = dataset.resolve(WITH_TAGS, SHA)
    return dataset.model_copy(update={"resolved": resolved}), [(each.pointer, each.code) for each in problems]


def test_the_shape_after_a_preparation_is_known_from_the_report() -> None:
    dataset, problems = prepared(MEAN | {"indicator": True}, MODE, HOT)
    assert problems == []
    assert (dataset.stored_shape, dataset.facts.shape) == ((3,), (5,))
    names = [feature.name for feature in dataset.planned[-1].after]
    assert names == ["size", "gappy", "tags=a", "tags=b", "gappy missing"]
    again = Upload.model_validate_json(dataset.model_dump_json())
    assert again.facts == dataset.facts


@pytest.mark.parametrize(
    ("steps", "fields", "expected"),
    [
        ((MEAN, HOT), {}, [("/features/2", "missing_values")]),
        ((MEAN, MODE), {}, [("/features/2", "not_a_number")]),
        ((MEAN, HOT, MODE), {}, [("/prepare", "not_encoded")]),
        ((MODE, HOT), {"features": ("size", "many")}, [("/prepare", "too_many_categories")]),
        ((HOT,), {"features": ("size", "image")}, [("/features", "wrong_shape")]),
        ((MEAN, MODE, HOT | {"columns": ("tag",)}), {}, [("/prepare/2/columns/0", "no_such_column")]),
        ((MEAN | {"columns": ("tags",)}, MODE, HOT), {}, [("/prepare/0/columns/0", "unsuitable_column")]),
        (
            (MODE, HOT | {"columns": ("tags",)}, {"kind": "ordinal", "columns": ("tags",)}),
            {},
            [("/prepare/2/columns/0", "contradiction")],
        ),
        ((MEAN | {"strategy": "constant"}, MODE, HOT), {}, [("/prepare/0/value", "contradiction")]),
        ((MEAN, MODE, {"kind": "ordinal", "order": ("b",)}), {}, [("/prepare/2/order", "incomplete")]),
        ((LOG, MEAN, MODE, HOT), {"features": ("low", "tags")}, [("/prepare/0", "out_of_range")]),
        ((LOG | {"columns": ("tags",)}, MEAN, MODE, HOT), {}, [("/prepare/0/columns/0", "unsuitable_column")]),
        (({"kind": "power", "method": "box_cox"}, MEAN, MODE, HOT), {}, [("/prepare/0", "out_of_range")]),
        ((MEAN, MODE, HOT | {"columns": ("tags", "tags")}), {}, [("/prepare/2/columns/1", "repeated")]),
    ],
)
def test_a_preparation_that_does_not_fit_is_named_by_step(steps: Any, fields: Any, expected: Any) -> None:
    _, problems = prepared(*steps, **fields)
    assert problems[: len(expected)] == expected


def test_what_to_add_is_named() -> None:
    _, problems = upload(features=PREPARED).resolve(WITH_TAGS, SHA)
    assert '{"kind": "impute", "columns": ["tags"], "strategy": "most_frequent"}' in problems[1].detail
    _, (problem,) = upload(features=("size", "many")).resolve(WITH_TAGS, SHA)
    assert '{"kind": "one_hot", "columns": ["many"]}' in problem.detail
    _, (problem,) = upload(features=("size",), prepare=(HOT | {"columns": ("sice",)},)).resolve(WITH_TAGS, SHA)
    assert problem.did_you_mean == "size"


def test_a_column_that_a_logarithm_cannot_take_is_named_with_its_smallest_value() -> None:
    _, (problem,) = upload(features=("size", "low"), prepare=(LOG,)).resolve(WITH_TAGS, SHA)
    assert "the smallest of the column low is -1: " in problem.detail


def test_several_targets_are_several_outputs() -> None:
    dataset = upload(predict=("size", "count"), task="regression", features=("low",))
    resolved, problems = dataset.resolve(WITH_TAGS, SHA)
    assert problems == []
    assert dataset.model_copy(update={"resolved": resolved}).facts.targets == 2
    wrong = upload(predict=("gappy", "word", "image"), task="regression", features=("low",)).resolve(WITH_TAGS, SHA)[1]
    found = [(each.pointer, each.code) for each in wrong]
    assert found == [
        ("/predict/0", "missing_values"),
        ("/predict/1", "not_a_number"),
        ("/predict/2", "wrong_shape"),
    ]
    assert upload(predict=("size", "count"), features=("low",)).resolve(WITH_TAGS, SHA)[1][0].code == "wrong_shape"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"predict": "low", "task": "regression"}, "out_of_range"), ({}, "contradiction")],
)
def test_a_target_that_cannot_be_transformed_is_refused(fields: Any, code: str) -> None:
    _, (problem,) = upload(**{"features": ("size",), "prepare_target": "log1p"} | fields).resolve(WITH_TAGS, SHA)
    assert (problem.pointer, problem.code) == ("/prepare_target", code)


def test_a_step_without_columns_to_take_is_a_warning() -> None:
    dataset, problems = prepared(MEAN, MODE, HOT, {"kind": "ordinal"})
    assert problems == []
    assert [(each.pointer, each.code) for each in dataset.warnings()] == [("/prepare/3", "no_effect")]


def test_a_dataset_without_steps_keeps_its_identity() -> None:
    dataset, _ = prepared(features=("size",))
    identity = data_identity(dataset.model_dump(mode="json"))
    assert not {"prepare"} & {*identity}
    assert not {"columns", "inputs"} & {*identity["resolved"]}


def test_folds_by_time_are_refused_with_the_reason_and_what_to_do() -> None:
    asked = upload(split={"kind": "time", "column": "size"}, folds=5, features=("count",))
    _, problems = asked.resolve(REPORT, SHA)
    (problem,) = [each for each in problems if each.pointer == "/folds"]
    assert "windows that expand train on more and more rows" in problem.detail
    assert "compare settings within a window" in problem.detail
