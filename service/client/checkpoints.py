"""Downloading a checkpoint or a model: all of its files, complete and checked, or no folder at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.client.errors import Unreachable, Unusable
from service.client.http import Http, Query
from service.storage.files import FILES, sha256_of_folder

if TYPE_CHECKING:
    from service.schemas.checkpoints import CheckpointView


def download(http: Http, run_id: str, listed: Sequence[CheckpointView], step: int, folder: Path) -> Path:
    """Save the checkpoint of `step` as a new folder."""
    chosen = next((each for each in listed if each.step == step and each.kept), None)
    if chosen is None:
        kept = ", ".join(str(each.step) for each in listed if each.kept) or "none"
        raise Unusable(f"no checkpoint of step {step} is kept; kept are: {kept}")
    with _new_folder(folder) as made:
        for name in FILES:
            _fetch(http, f"/v1/runs/{run_id}/checkpoints/{step}/{name}", made / name)
        if sha256_of_folder(made) != chosen.sha256:
            raise Unreachable("what arrived is not what the server stored: try again")
    return folder


def download_model(http: Http, path: str, query: Query, folder: Path) -> Path:
    """Save the files of a model's archive, which is at `path`, as a new folder."""
    with _new_folder(folder) as made:
        archive = made / ".zip"
        _fetch(http, path, archive, query)
        try:
            with zipfile.ZipFile(archive) as opened:  # its writer names five files without folders
                opened.extractall(made)
        except zipfile.BadZipFile:
            raise Unreachable("the archive did not arrive whole: try again") from None
        archive.unlink()
    return folder


def download_file(http: Http, path: str, target: Path) -> Path:
    """Save what is at `path` as a new file, which is whole or does not exist."""
    if target.exists():
        raise Unusable(f"{target} is there already; choose another one")
    partial = target.with_name(f".{target.name}.partial")
    try:
        try:
            _fetch(http, path, partial)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Unusable(f"{target} cannot be written ({error.strerror})") from None
    return target


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` if all goes well."""
    if folder.exists():
        raise Unusable(f"{folder} is there already; choose another one")
    try:
        made = Path(tempfile.mkdtemp(prefix=".saddle-", dir=folder.parent))
        try:
            yield made
            made.chmod(0o755)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise Unusable(f"{folder} cannot be written ({error.strerror})") from None


def _fetch(http: Http, path: str, target: Path, query: Query | None = None) -> None:
    with http.stream(path, query) as answer, target.open("wb") as file:
        for piece in answer.iter_bytes():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
