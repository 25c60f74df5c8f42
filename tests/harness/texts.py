"""Texts as the API stores and resolves them, and language models on them."""

from typing import Any

from service.ingest import inspect_file, resolve_tokens
from service.ingest.upload_files import IncomingUpload
from service.spec.datasets.text import LanguageBase, Text
from service.spec.experiment import Experiment
from service.storage.uploads import FolderUploads
from worker.trainer.data.dataset_folders import DatasetFolders

ID = "dat_" + "0" * 26


def store_text(files: DatasetFolders, content: str, dataset: dict[str, Any]) -> Text:
    """Store a text as the API does, and resolve a dataset on it as the server does."""
    assert files.folder is not None
    incoming = IncomingUpload(files.folder)
    incoming.write(content.encode())
    incoming.close()
    report = inspect_file(incoming.path, "text")
    incoming.keep(FolderUploads(files.folder))
    made = Text.model_validate(dataset | {"upload": ID})
    path = files.folder / incoming.sha256 / "content"
    if made.tokenized:
        resolved, problems = resolve_tokens(path, report, incoming.sha256, made)
    else:
        resolved, problems = made.resolve(report, incoming.sha256)
    assert problems == []
    return made.model_copy(update={"resolved": resolved})


def language_spec(dataset: LanguageBase, steps: int = 120, **more: Any) -> Experiment:
    """A small transformer on a text."""
    model = {"kind": "transformer", "causal": True, "width": 32, "layers": 1, "heads": 2, "outputs_at": "every"}
    return Experiment.model_validate(
        {
            "dataset": dataset.model_dump(),
            "model": model | {"vocabulary": dataset.facts.vocabulary},
            "loss": {"kind": "cross_entropy"},
            "optimizer": {"kind": "adam", "lr": 0.01},
            "batch_size": 16,
            "steps": steps,
        }
        | more
    )
