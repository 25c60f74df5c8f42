"""The files of a checkpoint, its name in every kind of storage, its hash, and syncing it to disk."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

TENSORS, STATE = "tensors.safetensors", "state.json"
FILES = (STATE, TENSORS)
PREDICTIONS = "predictions.parquet"  # of the last checkpoint, where the spec asks; state.json has its hash
PIECE = 1 << 20  # bytes read at once
KEY = re.compile(r"run_[0-9a-z]{1,64}/a[0-9]+-[0-9a-f]{8}/step-[0-9]+(?:-[0-9]+)?")


def key_of(location: str) -> str | None:
    """<run>/a<attempt>-<lease>/step-<n>, which ends every location; None: the location is none of ours."""
    key = "/".join(location.rstrip("/").split("/")[-3:])
    return key if KEY.fullmatch(key) else None


def sha256(sizes: Callable[[str], int], pieces: Callable[[str], Iterable[bytes]]) -> str:
    """Over state.json and the tensors, each with its length in front so that nothing can move between them."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(f"{name} {sizes(name)}\n".encode())
        for piece in pieces(name):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """Of a checkpoint on this machine's disk; OSError where a file is missing or cannot be read."""
    return sha256(lambda name: (folder / name).stat().st_size, lambda name: pieces_of(folder / name))


def sha256_of_pieces(pieces: Iterable[bytes]) -> str:
    """Of one file."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def pieces_of(path: Path) -> Iterable[bytes]:
    """A file's bytes."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def sync_to_disk(path: Path) -> None:
    """Sync a file's contents, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
