"""Texts as the API stores and resolves them, and language models on them."""

from pathlib import Path
from typing import Any

from service.ingest import inspect_file, resolve_tokens
from service.ingest.upload_files import IncomingUpload
from service.spec.datasets.report import Format, Report
from service.spec.datasets.text import LanguageBase, Text
from service.spec.datasets.tokens import TokenizerFile
from service.spec.experiment import Experiment
from service.storage.uploads import FolderUploads
from worker.trainer.data.dataset_folders import DatasetFolders

ID = "dat_" + "0" * 26


def store_file(files: DatasetFolders, content: str, declared: Format) -> tuple[Path, Report, str]:
    """Store a file as the API does, and return it, its report and its hash."""
    assert files.folder is not None
    incoming = IncomingUpload(files.folder)
    incoming.write(content.encode())
    incoming.close()
    report = inspect_file(incoming.path, declared)
    incoming.keep(FolderUploads(files.folder))
    return files.folder / incoming.sha256 / "content", report, incoming.sha256


def store_tokenizer(files: DatasetFolders, document: str) -> tuple[Path, TokenizerFile]:
    """Store a tokenizer, and return its file and how a spec names it."""
    path, report, sha256 = store_file(files, document, "tokenizer")
    made = TokenizerFile(upload=ID)
    found, problems = made.resolve(report, sha256)
    assert problems == []
    return path, made.model_copy(update={"resolved": found})


def store_text(files: DatasetFolders, content: str, dataset: dict[str, Any], tokenizer: Path | None = None) -> Text:
    """Store a text as the API does, and resolve a dataset on it as the server does."""
    path, report, sha256 = store_file(files, content, "text")
    made = Text.model_validate(dataset | {"upload": ID})
    if made.tokenized:
        resolved, problems = resolve_tokens([path], [report], [sha256], made, tokenizer)
    else:
        resolved, problems = made.resolve(report, sha256)
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
