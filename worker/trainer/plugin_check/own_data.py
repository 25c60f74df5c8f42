"""A team's own file as the data of the short trainings, read and split as an upload is."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from service.errors import Invalid
from service.ingest import inspect_file
from service.spec.component import Json
from service.spec.datasets.report import Report
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from worker.trainer.data.dataset_folders import DatasetFolders

ID = "dat_" + "0" * 26  # no server is asked
LOSSES = {"classification": "cross_entropy", "regression": "mse"}


@dataclass(frozen=True)
class OwnData:
    """A file, where a training finds it, and the column that is predicted."""

    files: DatasetFolders
    report: Report
    sha256: str
    predict: str

    @classmethod
    def of(cls, path: Path, predict: str | None, scratch: Path) -> "OwnData":
        """Read a file; raise `Invalid` or OSError where it cannot be read. `predict` None: its last column."""
        report = inspect_file(path, None)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        (scratch / sha256).mkdir(parents=True)
        shutil.copyfile(path, scratch / sha256 / "content")
        return cls(DatasetFolders(scratch), report, sha256, predict or report.columns[-1].name)

    def bases(self) -> list[Json]:
        """Return the parts of a spec that train on the file: to predict a class, then a number."""
        named = {"kind": "upload", "upload": ID, "predict": self.predict}
        return [{"dataset": named | {"task": task}, "loss": {"kind": loss}} for task, loss in LOSSES.items()]

    def resolve(self, spec: Experiment) -> Experiment:
        """Return the spec with what the file holds, as a server does; raise `Invalid` if it does not fit."""
        if not isinstance(spec.dataset, Upload):
            return spec
        resolved, problems = spec.dataset.resolve(self.report, self.sha256)
        if problems:
            raise Invalid.of([problem.under("/dataset") for problem in problems])
        return spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"resolved": resolved})})
