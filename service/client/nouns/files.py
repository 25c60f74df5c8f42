"""The methods of `Client` for files: uploads in; checkpoints, models and predictions out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from service.client import answers, checkpoints, files
from service.client.nouns.base import NounClient
from service.client.paths import part

if TYPE_CHECKING:
    from service.schemas.checkpoints import CheckpointView
    from service.schemas.datasets import DatasetView
    from service.schemas.run_split import SplitView


class FileClient(NounClient):
    """The part of `Client` for files."""

    def upload(
        self, file: str | Path, name: str | None = None, format: str | None = None, header: bool | None = None
    ) -> DatasetView:
        """Store a CSV, JSON, Parquet, NPZ or text file; a spec trains on it by the id in the answer.

        `-` is standard input. The name is that of the file, with a mark for what no name can hold. `header`: whether
        the first line of a CSV names its columns; None: the server finds out.
        """
        path = Path(file)
        query = {"name": name or files.label(path), "format": format, "header": header}
        with files.open_upload(path) as content:
            return answers.dataset(self.http.put_file("/v1/datasets", content, query))

    def datasets(self, limit: int = 50) -> Iterator[DatasetView]:
        """Yield the newest uploads."""
        return map(answers.dataset, self.http.pages("/v1/datasets", limit))

    def checkpoints(self, run_id: str) -> list[CheckpointView]:
        """Return the checkpoints of a run, newest first."""
        return [answers.checkpoint(each) for each in self._items(f"/v1/runs/{part(run_id)}/checkpoints")]

    def download(self, run_id: str, step: int, target: str | Path) -> Path:
        """Save one checkpoint as a new folder (tensors.safetensors, state.json), checked against its hash."""
        return checkpoints.download(self.http, part(run_id), self.checkpoints(run_id), step, Path(target))

    def model(
        self, run_id: str, target: str | Path, step: int | None = None, weights: Literal["model", "average"] = "model"
    ) -> Path:
        """Save a trained model as a new folder: weights, spec, card, and load.py, which needs no Saddle."""
        query = {"weights": weights, "step": step}
        return checkpoints.download_model(self.http, f"/v1/runs/{part(run_id)}/model", query, Path(target))

    def predictions(self, run_id: str, target: str | Path) -> Path:
        """Save the predictions on the validation part, of a run whose spec has `predictions`, as a new Parquet file."""
        return checkpoints.download_file(self.http, f"/v1/runs/{part(run_id)}/predictions", Path(target))

    def split(self, run_id: str) -> SplitView:
        """Return which rows of its uploaded table a run trains on, validates on and tests on."""
        return answers.split(self.http.get(f"/v1/runs/{part(run_id)}/split"))

    def model_card(self, run_id: str) -> str:
        """Return the model card: data, settings, results with intervals over the seeds, diagnosis; as markdown."""
        return self.http.text(f"/v1/runs/{part(run_id)}/card.md")
