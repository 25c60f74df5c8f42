"""Start weights in the mounted folder: a safetensors file, found without leaving the folder, and its hash."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest.weights.report import is_weights, report_weights
from service.spec.layout import Parameter
from service.spec.start_weights import FoundWeights, StartWeights
from service.spec.validation_errors import closest

SUFFIX = ".safetensors"
HEAD_BYTES = 16


def weights_file(root: Path, path: str) -> Path:
    """Return a file of the folder; raise `Invalid` if there is none, or it leads out of the folder."""
    file = root / path
    if not (file.is_file() and file.resolve().is_relative_to(root.resolve())):
        names = sorted(each.name for each in file.parent.glob(f"*{SUFFIX}")) if file.parent.is_dir() else []
        close = closest(file.name, names)
        meant = f"{path.rpartition('/')[0]}/{close}".lstrip("/") if close else None
        detail = f"the mounted folder has no file {path}."
        raise Invalid.of([Problem("/start/mounted", "not_found", detail, did_you_mean=meant)])
    return file


def describe_weights(root: Path, wanted: StartWeights, layout: Sequence[Parameter] | None) -> FoundWeights:
    """Return what the spec stores about the file; raise `Invalid` where a model with this layout cannot start there."""
    assert wanted.mounted is not None
    file = weights_file(root, wanted.mounted)
    with file.open("rb") as opened:
        if not is_weights(opened.read(HEAD_BYTES)):
            raise Invalid.of([Problem("/start/mounted", "wrong_format", "start weights are a safetensors file.")])
    facts = file.stat()
    try:
        report = report_weights(file)
    except Invalid as error:
        raise Invalid.of([Problem("/start/mounted", each.code, each.detail) for each in error.problems]) from error
    sha256 = _sha256(file, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    found, problems = wanted.resolve(report, sha256, layout)
    if problems or found is None:
        raise Invalid.of([problem.under("/start") for problem in problems])
    return found


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed_ns: int, inode: int) -> str:
    """Return the hash of a file that is in this state; a page asks again with every change of a spec."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
