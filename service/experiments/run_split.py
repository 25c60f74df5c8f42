"""Which rows of an uploaded table a run trains on, validates on and tests on."""

from contextlib import ExitStack

from service.db.experiments import experiments
from service.db.runs import runs
from service.errors import Conflict, Unavailable
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.ingest import list_split
from service.schemas.run_split import SplitView
from service.spec.datasets.uploaded import Upload
from service.storage.factory import open_uploads


def run_split(context: Context, run_id: str) -> SplitView:
    """Return the rows of each part; raise `Conflict` for a run on anything but an uploaded table."""
    run = runs.get(context.connection, context.principal, run_id)
    spec = parsed_spec(experiments.get(context.connection, context.principal, run.experiment_id))
    dataset = spec.dataset
    if not isinstance(dataset, Upload):
        raise Conflict(f"The run trains on {dataset.kind}: only the rows of an uploaded table are listed.")
    fold = run.seed % spec.folds
    files = {"train": dataset.upload} | dataset.part_uploads
    try:
        with ExitStack() as stack:
            uploads = open_uploads(context.settings)
            hashes = [each.sha256 for each in dataset.found.every_file]
            contents = [stack.enter_context(uploads.opened(sha256)) for sha256 in hashes]
            found = list_split(contents, dataset, fold)
    except FileNotFoundError:
        raise Conflict("The file of the upload is missing from the storage: send it again.") from None
    except OSError as error:
        raise Unavailable("The storage of uploads does not answer.") from error
    return SplitView(fold=fold if spec.folds > 1 else None, files=files if len(files) > 1 else None, **found)
