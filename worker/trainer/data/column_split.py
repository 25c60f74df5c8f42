"""The parts of an upload's rows where one of its columns decides them."""

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, RunFailure
from service.spec.datasets.uploaded import Upload
from worker.trainer.data.dataset_folders import DatasetFolders


def split_parts(files: DatasetFolders, dataset: Upload, fold: int) -> npt.NDArray[np.int8]:
    """Return the part of each row, (N,), as a column decides it; a permanent `RunFailure` where it was another."""
    from service.ingest.splits.assignment import parts_of_fold  # noqa: PLC0415  likewise
    from service.ingest.splits.counting import SplitRequest, digest  # noqa: PLC0415  loads pyarrow

    assert files.folder is not None
    try:
        parts = SplitRequest.of(dataset).assign(files.folder / dataset.found.sha256 / "content")
    except Invalid as error:
        raise ValueError(f"the file cannot be split as it was: {error.problems[0].detail}") from error
    if dataset.found.split is None or digest(parts) != dataset.found.split.sha256:
        detail = "this worker splits the rows otherwise than the server did: their versions differ"
        raise RunFailure("dataset_changed", detail)
    return parts_of_fold(parts, fold)
