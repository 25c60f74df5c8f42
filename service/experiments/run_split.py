"""Which rows a run trains on, validates on and tests on."""

from contextlib import ExitStack
from typing import Any

from service.db.experiments import experiments
from service.db.runs import probe_results, runs
from service.db.runs.runs import StoredRun
from service.errors import Conflict, Unavailable
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.ingest import list_reported, list_split, list_unstratified
from service.lifecycle import Relation
from service.schemas.run_split import SplitView
from service.spec.datasets.base import DatasetBase, TableBase
from service.spec.datasets.images import Images
from service.spec.datasets.reported_split import SPLIT, splits_in_worker
from service.spec.datasets.uploaded import Upload
from service.storage.factory import open_uploads

MAX_ROWS = 10**6  # in an answer
SAME_SPLIT = (Relation.RETRY, Relation.REPLAY, Relation.PROBE)  # relations to a run that has the same rows in each part


def run_split(context: Context, run_id: str) -> SplitView:
    """Return the rows of each part; raise `Conflict` where they are not known here, or too many."""
    run = runs.get(context.connection, context.principal, run_id)
    dataset = parsed_spec(experiments.get(context.connection, context.principal, run.experiment_id)).dataset
    _check_listable(dataset)
    fold, files = run.fold or 0, None
    if isinstance(dataset, Upload | Images):
        if dataset.part_uploads:
            files = {"train": dataset.upload} | dataset.part_uploads
        found = _of_files(context, dataset, fold)
    elif splits_in_worker(dataset):
        found = _reported(context, run)
    else:
        assert isinstance(dataset, TableBase)
        found = list_unstratified(dataset, fold)
    return SplitView(fold=run.fold, files=files, **found)


def _check_listable(dataset: DatasetBase) -> None:
    if not isinstance(dataset, TableBase):
        raise Conflict(f"The run trains on {dataset.kind}, which is not split by rows.")
    if dataset.facts.rows > MAX_ROWS:
        raise Conflict(f"The dataset has {dataset.facts.rows} rows, and at most {MAX_ROWS} are listed.")


def _reported(context: Context, run: StoredRun) -> dict[str, Any]:
    """Return what the worker reported that split the data: of this run, or of the one that it tries again."""
    at, seen = run, {run.id}
    while True:
        found = probe_results.of_run(context.connection, context.principal, at.id, SPLIT, 0, 1)
        if found:
            return list_reported(found[0].data["parts"])
        if at.relation not in SAME_SPLIT or at.parent_run_id is None or at.parent_run_id in seen:
            break
        seen.add(at.parent_run_id)
        at = runs.get(context.connection, context.principal, at.parent_run_id)
    raise Conflict(
        "The split is stratified by classes that a worker reads, which reports it at the first step: the run has not "
        "come so far, or an earlier release trained it."
    )


def _of_files(context: Context, dataset: Upload | Images, fold: int) -> dict[str, Any]:
    try:
        with ExitStack() as stack:
            uploads = open_uploads(context.settings)
            hashes = [each.sha256 for each in dataset.found.every_file]
            contents = [stack.enter_context(uploads.opened(sha256)) for sha256 in hashes]
            return list_split(contents, dataset, fold)
    except FileNotFoundError:
        raise Conflict("The file of the upload is missing from the storage: send it again.") from None
    except OSError as error:
        raise Unavailable("The storage of uploads does not answer.") from error
