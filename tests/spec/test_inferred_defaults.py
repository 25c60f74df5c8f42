"""A default never causes a refusal: omitted fields adapt to the rest, and a note says so."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from service.errors import Invalid, Problem
from service.spec.catalog import CATALOG
from service.spec.component import Component
from service.spec.effective import effective_settings
from service.spec.experiment import Experiment
from service.spec.parse.document import validate
from service.spec.parse.experiment import parse_experiment

UPLOAD = "dat_" + "0" * 26
IMAGES = {"fingerprint": "0" * 64, "rows": 300, "test": 50, "shape": [1, 28, 28], "classes": list("0123456789")}
REQUIRED: dict[str, dict[str, Any]] = {  # what a kind cannot do without, and what the server finds
    "upload": {"upload": UPLOAD, "predict": "y", "task": "classification"}
    | {"resolved": {"sha256": "0" * 64, "format": "csv", "rows": 30, "shape": [2], "classes": ["a", "b"]}},
    "text": {
        "upload": UPLOAD,
        "resolved": {"sha256": "0" * 64, "format": "text", "rows": 20, "shape": [64], "characters": "abc"},
    },
    "torchvision": {"name": "MNIST", "resolved": IMAGES},
    "images": {
        "upload": UPLOAD,
        "resolved": {"sha256": "0" * 64, "format": "images", "rows": 300, "shape": [3, 32, 32], "classes": ["a", "b"]},
    },
    "token_files": {
        "path": "a",
        "vocabulary": 50,
        "resolved": {"fingerprint": "0" * 64, "rows": 20, "validation": 4, "shape": [64]},
    },
    "image_folder": {"path": "a", "resolved": IMAGES | {"shape": [3, 32, 32]}},
    "huggingface": {
        "path": "a",
        "predict": "y",
        "task": "regression",
        "resolved": {"fingerprint": "0" * 64, "rows": 12, "shape": [2]},
    },
}
NAMED = {"torchvision": {"name": "resnet18"}, "timm": {"name": "resnet18"}}
LOSSES = {"regression": "mse", "objective": "objective"}
UNFIT = {"/model/kind", "/model"}  # the kind itself is not for such rows


def document(dataset: dict[str, Any], model: dict[str, Any], **more: Any) -> dict[str, Any]:
    """With the loss of the dataset's task."""
    made = {"dataset": dataset, "model": model, "optimizer": {"kind": "sgd"}, "steps": 1}
    return made | {"loss": {"kind": LOSSES.get(task_of(dataset["kind"]), "cross_entropy")}} | more


@cache
def task_of(kind: str) -> str:
    made = {"dataset": dataset_of(kind), "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 1}
    return validate(Experiment, made | {"optimizer": {"kind": "sgd"}}).dataset.facts.task


def dataset_of(kind: str) -> dict[str, Any]:
    return {"kind": kind} | REQUIRED.get(kind, {})


def parsed(**more: Any) -> tuple[Experiment, dict[str, str]]:
    """A spec of iris, and its notes by pointer."""
    loss, optimizer = {"kind": "cross_entropy"}, {"kind": "sgd"}
    plain = {"dataset": {"kind": "iris"}, "model": {"kind": "mlp"}, "loss": loss, "optimizer": optimizer, "steps": 40}
    spec, notes = parse_experiment(plain | more)
    assert {note.code for note in notes} <= {"filled"}
    return spec, {note.pointer: note.detail for note in notes}


def refused(made: dict[str, Any]) -> tuple[Experiment | None, Sequence[Problem]]:
    """The spec, or why there is none."""
    try:
        return parse_experiment(made).spec, ()
    except Invalid as error:
        return None, error.problems


@pytest.mark.parametrize("kind", CATALOG["datasets"])
def test_required_fields_are_enough_for_every_dataset_with_every_model(kind: str) -> None:
    fitting = 0
    for model in CATALOG["models"]:
        if model == "sequential":  # its one field, the layers, is required and says everything
            continue
        made, found = refused(document(dataset_of(kind), {"kind": model} | NAMED.get(model, {})))
        assert {problem.pointer for problem in found} <= UNFIT, (kind, model, found)
        if made is not None:
            fitting += 1
            assert parse_experiment(made.normalised()) == (made, [])
    assert fitting >= 4


def values(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Any]:
    """Some values of a field that its schema allows."""
    if "$ref" in schema:
        yield from values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for each in schema.get("anyOf", []):
        yield from values(each, definitions)
    yield from schema.get("enum", [])
    kind, low = schema.get("type"), schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 1000))
    if kind == "boolean":
        yield from (True, False)
    elif kind == "integer":
        yield from (n for n in (1, 3, 5, 12, 100, 1000) if low <= n <= high)
    elif kind == "number":
        yield from (low + (high - low) * share for share in (0.001, 0.5))
    elif kind == "array" and "items" in schema:
        for each in [*values(schema["items"], definitions)][:3]:
            yield from ([each] * max(n, schema.get("minItems", 0)) for n in (1, 3))


@cache
def schema_of(component: type[Component]) -> dict[str, Any]:
    return component.model_json_schema()


def variants() -> Iterator[tuple[str, str, str, Any]]:
    """(family, kind, field, value) of every optional field of datasets, models and schedules."""
    for family in ("datasets", "models", "schedules"):
        for kind, component in CATALOG[family].items():
            schema = schema_of(component)
            for field in set(schema["properties"]) - set(schema.get("required", [])) - {"kind", "resolved", "init"}:
                for value in values(schema["properties"][field], schema.get("$defs", {})):
                    yield family, kind, field, value


ROWS = ("iris", "digits", "linnerud", "text", "none")


def whole(family: str, kind: str, field: str, value: Any) -> Iterator[dict[str, Any]]:
    """Documents in which a component has this field beside what it cannot do without."""
    component = CATALOG[family][kind]
    definitions = schema_of(component)
    own: dict[str, Any] = {"kind": kind, field: value}
    if family == "datasets":
        own = dataset_of(kind) | own
        yield document(own, {"kind": "linear"})
        return
    for name in definitions.get("required", []):
        found = [*values(definitions["properties"][name], definitions.get("$defs", {}))]
        own.setdefault(name, found[0] if found else "resnet18")
    for dataset in ROWS if kind != "sequential" and kind not in NAMED else ():
        plain = {"none": "rosenbrock", "text": "gru"}.get(dataset, "linear")
        if family == "models":
            yield document(dataset_of(dataset), own)
        elif own["kind"] not in ("chained", "sequential", "warmup") and dataset in ("iris", "none"):
            yield document(dataset_of(dataset), {"kind": plain}, schedule=own)


def has(document: Any, pointer: str) -> bool:
    """Whether the document has a value there."""
    for part in pointer.split("/")[1:]:
        if isinstance(document, list):
            document = dict(zip(map(str, range(len(document))), document, strict=True))
        if not isinstance(document, dict) or part not in document:
            return False
        document = document[part]
    return True


def test_a_refusal_points_at_what_was_given_whatever_one_field_is_set_to() -> None:
    tried = 0
    for variant in variants():
        for made in whole(*variant):
            tried += 1
            wrong = [each for each in refused(made)[1] if not has(made, each.pointer)]
            assert not wrong, (variant, made["dataset"]["kind"], wrong)
    assert tried > 1000


def test_the_batch_is_all_rows_where_there_are_fewer_than_32() -> None:
    spec, notes = parsed(dataset={"kind": "linnerud"}, loss={"kind": "mse"})
    assert (spec.batch_size, spec.rows_per_step) == ("full", 16)
    assert notes == {"/batch_size": '"full": the training part of /dataset has 16 rows.'}
    spec, notes = parsed(dataset={"kind": "none"}, model={"kind": "rosenbrock"}, loss={"kind": "objective"})
    assert notes == {"/batch_size": '"full": the training part of /dataset has 1 row.'}
    assert parsed() == (validate(Experiment, spec_without_batch()), {})
    with pytest.raises(Invalid, match="1 problem"):
        parsed(dataset={"kind": "linnerud"}, loss={"kind": "mse"}, batch_size=32)


def spec_without_batch() -> dict[str, Any]:
    return document({"kind": "iris"}, {"kind": "mlp"}, steps=40)


@pytest.mark.parametrize(
    ("train", "more", "batch"),
    [
        (33, {}, 31),  # 32 would leave one row
        (33, {"drop_last": True}, 32),
        (33, {"steps": 1}, 32),  # the run does not get there
        (64, {}, 32),
        (97, {}, 31),
        (240, {"accumulate": 40}, 80),
        (90, {"accumulate": 40}, "full"),
        (10, {}, "full"),
    ],
)
def test_the_batch_leaves_enough_rows_for_a_batch_normalisation(train: int, more: dict[str, Any], batch: Any) -> None:
    model = {"kind": "mlp", "norm": "batch"}
    dataset = {"kind": "moons", "rows": train, "validation": 0.0}
    assert parsed(dataset=dataset, model=model, **({"steps": 100} | more))[0].batch_size == batch


def test_an_epoch_without_its_last_batch_is_shorter_everywhere() -> None:
    short = parsed(batch_size=16, steps=None, epochs=3, drop_last=True)[0]  # 120 = 7 x 16 + 8
    assert (short.rows_per_epoch, short.steps_per_epoch, short.total_steps, short.smallest_batch) == (112, 7, 21, 16)
    assert (short.evaluation_every, effective_settings(short)["rows"]["last_update_of_epoch"]) == (7, 16)
    full = parsed(batch_size=16, steps=None, epochs=3)[0]
    assert (full.rows_per_epoch, full.steps_per_epoch, full.total_steps, full.smallest_batch) == (120, 8, 24, 8)
    assert full.hash != short.hash
    (warning,) = parse_experiment(short.normalised() | {"shuffle": False}).warnings
    assert (warning.pointer, warning.code) == ("/drop_last", "never_seen")
    assert "8 training rows" in warning.detail


TEXT = {"kind": "text"} | REQUIRED["text"]
MOONS, DIGITS = {"kind": "moons"}, {"kind": "digits"}
NONE = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}}
COUNTED = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "poisson_nll"}}
FITTED = [
    ({"dataset": TEXT, "model": {"kind": "gru"}}, "/model/outputs_at", "every"),
    ({"dataset": TEXT, "model": {"kind": "transformer"}}, "/model/causal", True),
    ({"dataset": TEXT, "model": {"kind": "transformer"}}, "/model/vocabulary", 3),
    ({"model": {"kind": "transformer", "width": 30}}, "/model/heads", 2),
    ({"dataset": DIGITS, "model": {"kind": "resnet", "norm": "group", "width": 6}}, "/model/groups", 2),
    ({"dataset": DIGITS, "model": {"kind": "cnn", "norm": "group", "channels": [6, 9]}}, "/model/groups", 1),
    ({"dataset": MOONS, "model": {"kind": "cnn1d"}}, "/model/pool", 1),
    ({"dataset": DIGITS, "model": {"kind": "cnn", "pool": 5}}, "/model/channels", (16,)),
    ({"dataset": {"kind": "blobs", "rows": 30, "classes": 8}}, "/dataset/validation", 8 / 30),
    ({"dataset": {"kind": "blobs", "classes": 500}}, "/dataset/rows", 1500),
    ({"dataset": {"kind": "classification", "informative": 30}}, "/dataset/features", 32),
    ({"dataset": {"kind": "classification", "classes": 30}}, "/dataset/informative", 6),
    (COUNTED, "/dataset/target_scaling", "none"),
    (NONE | {"model": {"kind": "quadratic", "start": [1, 2, 3]}}, "/model/eigenvalues", (1, 10**0.5, 10)),
    (NONE | {"model": {"kind": "quadratic", "eigenvalues": [1]}}, "/model/start", (1,)),
    (NONE | {"model": {"kind": "beale"}, "stop": {"patience": {"evaluations": 9}}}, "/stop/patience/series", "loss"),
    ({"schedule": {"kind": "one_cycle", "max_momentum": 0.5}}, "/schedule/base_momentum", 0.5),
]


@pytest.mark.parametrize(("more", "pointer", "value"), FITTED, ids=[pointer for _, pointer, _ in FITTED])
def test_a_default_becomes_what_fits_and_a_note_says_so(more: dict[str, Any], pointer: str, value: Any) -> None:
    spec, notes = parsed(**more)
    assert pointer in notes
    found: Any = spec
    for name in pointer.split("/")[1:]:
        found = getattr(found, name)
    assert found == value


def test_the_adapted_validation_part_has_a_row_of_each_class() -> None:
    assert parsed(dataset={"kind": "blobs", "rows": 30, "classes": 8})[0].dataset.counts == (22, 8, 0)
    with pytest.raises(Invalid) as caught:
        parsed(dataset={"kind": "blobs", "rows": 30, "classes": 8, "test": 0.1})
    assert [problem.pointer for problem in caught.value.problems] == ["/dataset/test"]


@pytest.mark.parametrize("model", [kind for kind in CATALOG["models"] if kind != "sequential"])
def test_a_model_that_needs_rows_is_refused_without_them_and_never_breaks(model: str) -> None:
    spec, found = refused(document({"kind": "none"}, {"kind": model} | NAMED.get(model, {})))
    objective = CATALOG["models"][model].target.startswith("worker.trainer.models.objectives:")
    assert [problem.pointer for problem in found] == ([] if objective else ["/model/kind"])
    assert (spec is not None) is objective
