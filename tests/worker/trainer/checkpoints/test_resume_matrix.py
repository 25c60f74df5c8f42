"""The resume matrix's first cases, of which every model and every family of optimizers is one, and its control."""

from pathlib import Path
from typing import get_args

import pytest

from service.spec import optimizers
from service.spec.models import Model
from service.spec.models.library import LibraryBase
from tests.worker.trainer.checkpoints.resume_matrix import (
    LEFT_OUT,
    MECHANICS,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    cases,
    difference,
    noticed,
)

IN_CI = 30  # 200 by `python -m tests.worker.trainer.checkpoints.resume_matrix --cases 200`


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def test_the_first_cases_have_every_model_and_every_family_of_optimizers(files: Path) -> None:
    chosen = cases(IN_CI, files)
    models = {m.model_fields["kind"].default for m in get_args(get_args(Model)[0]) if not issubclass(m, LibraryBase)}
    assert {case.spec.model.kind for case in chosen} == models
    kinds = {m.model_fields["kind"].default for m in get_args(get_args(optimizers.Optimizer)[0])}
    rules = {rule.optimizer.kind for case in chosen for rule in case.spec.groups if rule.optimizer}
    assert {case.spec.optimizer.kind for case in chosen} | rules == kinds
    assert {case.spec.schedule.kind for case in chosen} >= {schedule["kind"] for schedule in SCHEDULES}
    assert {case.names["mechanics"] for case in chosen} >= {"+".join(each) or "plain" for each in MECHANICS}


@pytest.mark.parametrize("number", range(IN_CI))
def test_a_run_that_is_cut_is_identical(number: int, files: Path, tmp_path: Path) -> None:
    case = cases(number + 1, files)[number]
    assert difference(case, files, tmp_path) is None, str(case)


@pytest.mark.parametrize("part", LEFT_OUT)
def test_what_is_left_out_of_a_checkpoint_is_noticed(part: str, files: Path, tmp_path: Path) -> None:
    assert noticed(part, files, tmp_path) is not None


@pytest.mark.parametrize("names", [("sum_of_units", "soap"), ("cnn1d", "splus")])
def test_state_that_lies_column_by_column_comes_back_so(names: tuple[str, str], files: Path, tmp_path: Path) -> None:
    """A product with it sums in the order of memory: these differed in the last bit while that was not kept."""
    every = cases(len(MODELS) * len(OPTIMIZERS), files)  # each model with each optimizer
    found = [case for case in every if (case.names["model"], case.names["optimizer"]) == names]
    assert found
    assert [difference(case, files, tmp_path / str(at)) for at, case in enumerate(found)] == [None] * len(found)
