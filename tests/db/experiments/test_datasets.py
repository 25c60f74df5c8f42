"""Uploaded datasets in the database: found in their own project alone, and written into the specs that use them."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import datasets, experiments
from service.db.session import transaction
from service.errors import Invalid, NotFound, QuotaExceeded
from service.spec.datasets.report import Column, Report
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment

REPORT = Report(
    format="csv",
    rows=100,
    columns=(
        Column(name="size", type="number", missing=0, min=0.0, max=2.0, mean=0.1, std=1.0),
        Column(name="word", type="text", missing=0, classes={"b": 60, "a": 40}),
    ),
)
SHA = "ab" * 32
FOLDER = Path("no file of these uploads is read")


def added(engine: Engine, principal: Principal, size_bytes: int = 10, name: str = "table.csv") -> str:
    with transaction(engine) as connection:
        return datasets.add(connection, principal, name, SHA, size_bytes, REPORT, project_bytes=100)


def spec(upload: str, **more: Any) -> Experiment:
    dataset = {"kind": "upload", "upload": upload, "predict": "word", "task": "classification"} | more
    model, loss, optimizer = {"kind": "linear"}, {"kind": "cross_entropy"}, {"kind": "sgd"}
    return Experiment.model_validate(
        {"dataset": dataset, "model": model, "loss": loss, "optimizer": optimizer, "epochs": 1}
    )


@pytest.fixture
def other(engine: Engine) -> Principal:
    with transaction(engine) as connection:
        found = find_principal(connection, new_key(connection, "elsewhere", "eve"))
    assert found is not None
    return found


def test_a_dataset_comes_back_with_its_report(engine: Engine, principal: Principal) -> None:
    dataset_id = added(engine, principal)
    with transaction(engine) as connection:
        stored = datasets.get(connection, principal, dataset_id)
        (listed,) = datasets.page(connection, principal, 10)
    assert stored == listed
    assert (stored.report, stored.sha256, stored.owner, stored.size_bytes) == (REPORT, SHA, "ada", 10)


def test_another_projects_dataset_is_not_there(engine: Engine, principal: Principal, other: Principal) -> None:
    dataset_id = added(engine, principal)
    with transaction(engine) as connection:
        assert datasets.page(connection, other, 10) == []
        with pytest.raises(NotFound):
            datasets.get(connection, other, dataset_id)
        with pytest.raises(Invalid) as caught:
            datasets.resolve(connection, other, FOLDER, spec(dataset_id))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/dataset/upload", "not_found")]


def test_a_project_has_room_for_so_many_bytes(engine: Engine, principal: Principal, other: Principal) -> None:
    added(engine, principal, 60)
    with pytest.raises(QuotaExceeded):
        added(engine, principal, 41)
    added(engine, principal, 40)
    added(engine, other, 100)


def test_a_spec_is_resolved_once_and_may_be_posted_again_as_it_is(engine: Engine, principal: Principal) -> None:
    dataset_id = added(engine, principal)
    with transaction(engine) as connection:
        resolved = datasets.resolve(connection, principal, FOLDER, spec(dataset_id))
        assert isinstance(resolved.dataset, Upload)
        assert resolved.dataset.facts.classes == 2
        assert resolved.outputs == 2
        assert datasets.resolve(connection, principal, FOLDER, resolved) == resolved
        assert datasets.resolve(connection, principal, FOLDER, resolved).hash == resolved.hash
        experiment_id = experiments.add(connection, principal, resolved, "cpu").id
        stored = experiments.get(connection, principal, experiment_id)
    assert stored.spec["dataset"]["resolved"]["sha256"] == SHA


def test_a_spec_cannot_say_itself_what_its_upload_holds(engine: Engine, principal: Principal) -> None:
    dataset_id = added(engine, principal)
    claimed = {"sha256": "cd" * 32, "format": "csv", "rows": 100, "shape": (1,), "classes": ("a", "b")}
    with transaction(engine) as connection, pytest.raises(Invalid) as caught:
        datasets.resolve(connection, principal, FOLDER, spec(dataset_id, resolved=claimed))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/dataset/resolved", "read_only")]


def test_two_uploads_with_other_content_give_other_hashes(engine: Engine, principal: Principal) -> None:
    with transaction(engine) as connection:
        first = datasets.add(connection, principal, "a", SHA, 1, REPORT, 100)
        second = datasets.add(connection, principal, "a", "cd" * 32, 1, REPORT, 100)
        hashes = {datasets.resolve(connection, principal, FOLDER, spec(each)).hash for each in (first, second)}
    assert len(hashes) == 2
