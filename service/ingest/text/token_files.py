"""Token files in the mounted folder, as nanoGPT's prepare.py writes them: tokens of two bytes, one after the other."""

from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest.fingerprint import fingerprint
from service.spec.datasets.mounted import FolderContents
from service.spec.datasets.text import MIN_ROWS, TokenFiles, rows_of

UINT16 = "<u2"
TOKEN_BYTES = 2
PARTS = ("train", "val", "test")


def token_files(root: Path, path: str) -> dict[str, Path]:
    """Return the files of a folder by part; raise `Invalid` if there is none to train on, or one is no token file."""
    found = {part: file for part in PARTS if (file := root / path / f"{part}.bin").is_file()}
    inside = all(file.resolve().is_relative_to(root.resolve()) for file in found.values())
    if "train" not in found or not inside:
        raise _invalid("not_found", f"the mounted folder has no {path}/train.bin.")
    for file in found.values():
        if not (size := file.stat().st_size) or size % TOKEN_BYTES:
            detail = f"{path}/{file.name} has {size} bytes, which are no tokens of {TOKEN_BYTES} bytes: copy it again."
            raise _invalid("wrong_format", detail)
    return found


def describe_tokens(root: Path, wanted: TokenFiles) -> FolderContents:
    """Return the rows of each part, by the sizes of the files, or raise `Invalid`."""
    found = token_files(root, wanted.path)
    train, validation, test = (found[part].stat().st_size // TOKEN_BYTES if part in found else 0 for part in PARTS)
    rows = rows_of((train, validation, test), wanted.context)
    if rows[0] < MIN_ROWS:
        detail = f"train.bin has {train} tokens, {rows[0]} rows of {wanted.context}; at least {MIN_ROWS}."
        raise Invalid.of([Problem("/dataset/context", "too_small", detail)])
    for part, tokens, count in (("val", validation, rows[1]), ("test", test, rows[2])):
        if part in found and not count:
            detail = f"{part}.bin has {tokens} tokens, too few for a row of {wanted.context} and the next one."
            raise Invalid.of([Problem("/dataset/context", "too_large", detail, max(tokens - 1, 1))])
    return FolderContents(
        fingerprint=fingerprint(root, found.values()),
        rows=sum(rows),
        validation=rows[1],
        test=rows[2],
        shape=(wanted.context,),
    )


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid.of([Problem("/dataset/path", code, detail)])
