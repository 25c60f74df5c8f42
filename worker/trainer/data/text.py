"""Texts as arrays of tokens, which are encoded once and kept beside the upload.

<sha256>/rows-<key>/tokens.npy       the tokens of all parts
<sha256>/rows-<key>/tokenizer.json   for byte pairs: the tokenizer, as the library `tokenizers` reads it
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, RunFailure
from service.ingest.formats import read_text
from service.ingest.text.token_files import PARTS, UINT16, token_files
from service.spec.datasets.mounted import FolderContents
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.tokens import BytePairs, Characters, Tokenized, Tokens
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.mounted import check_fingerprint, mounted_root
from worker.trainer.data.split import Arrays
from worker.trainer.data.text_codec import CharacterCodec, NumberCodec, TextCodec, TokenizerCodec
from worker.trainer.data.uploads import collect_blocks, verify_upload

TOKENS, TOKENIZER = "tokens.npy", "tokenizer.json"
CHARACTERS = Characters()


class TokenArrays(NamedTuple):
    """One array (n,) of the tokens of all parts, or one for each part; and the bytes that each token stands for."""

    arrays: tuple[npt.NDArray[Any], ...]
    bytes_of: npt.NDArray[np.int64] | float | None  # (vocabulary,), or the mean of all; None: unknown
    codec: TextCodec | None = None  # None: the tokens are numbers only


def uploaded(
    files: DatasetFolders, context: int = 64, tokens: Tokens = CHARACTERS, resolved: Resolved | None = None
) -> TokenArrays:
    """The tokens of an uploaded text."""
    assert resolved is not None, "the server resolves an upload before it is queued"
    content = verify_upload(files, resolved.sha256)
    if isinstance(tokens, BytePairs):
        assert resolved.tokenized is not None, "the server counts tokens before a run is queued"
        return _byte_pairs(content, tokens, resolved.tokenized)
    used = resolved.rows * context + 1
    key = json.dumps(["text", used, resolved.characters])
    blocks = _characters(content, resolved.characters, used)
    found, _ = collect_blocks(files, content, key, blocks, ((used,), (0,)))
    lengths = np.array([len(character.encode()) for character in resolved.characters])
    return TokenArrays((found,), lengths, CharacterCodec(resolved.characters))


def mounted(
    files: DatasetFolders,
    path: str,
    vocabulary: int,
    context: int = 64,
    bytes_per_token: float | None = None,
    resolved: FolderContents | None = None,
) -> TokenArrays:
    """The tokens of the files train.bin, val.bin and test.bin, mapped; of one that is missing, none."""
    root = mounted_root(files)
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    try:
        found = token_files(root, path)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error
    check_fingerprint(root, [*found.values()], resolved)
    empty = np.empty(0, UINT16)
    arrays = (np.memmap(found[part], UINT16, "r") if part in found else empty for part in PARTS)
    return TokenArrays(tuple(arrays), bytes_per_token, NumberCodec(vocabulary))


def _characters(content: Path, vocabulary: str, used: int) -> Iterator[Arrays]:
    """Yield token numbers of the first `used` characters."""
    known = np.array([ord(character) for character in vocabulary], np.uint32)  # in order, as the report lists them
    left = used
    for piece in read_text(content):
        points = np.frombuffer(piece[:left].encode("utf-32-le"), "<u4")
        left -= len(points)
        yield np.searchsorted(known, points).astype(np.uint16), np.empty(0, np.int64)
        if not left:
            return


def _byte_pairs(content: Path, wanted: BytePairs, resolved: Tokenized) -> TokenArrays:
    """Return the tokens of an earlier training, or train the tokenizer and encode the text."""
    from tokenizers import Tokenizer  # noqa: PLC0415  the other datasets do without

    from service.ingest.text.tokenizer import byte_lengths  # noqa: PLC0415

    key = json.dumps(["tokens", wanted.model_dump(), resolved.model_dump()])
    folder = content.parent / f"rows-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not folder.exists():
        _encode(folder, content, wanted, resolved)
    found = np.load(folder / TOKENS, mmap_mode="r", allow_pickle=False)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    return TokenArrays((found,), byte_lengths(tokenizer), TokenizerCodec(tokenizer))


def _encode(folder: Path, content: Path, wanted: BytePairs, resolved: Tokenized) -> None:
    """Write the tokens and the tokenizer; if another worker does so at the same time, one of the two stays."""
    from service.ingest.text.pieces import part_pieces  # noqa: PLC0415
    from service.ingest.text.tokenizer import encode, identity, train_tokenizer  # noqa: PLC0415

    tokenizer = train_tokenizer(wanted, part_pieces(content, resolved.characters, 0))
    if identity(tokenizer) != resolved.sha256:
        detail = "the tokenizer that this worker learns from the text differs from the server's"
        raise RunFailure("dataset_changed", f"{detail}: install the same version of the package tokenizers")
    partial = folder.with_name(f".{folder.name}.{uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        tokens = np.lib.format.open_memmap(partial / TOKENS, "w+", np.uint16, (sum(resolved.tokens),))
        at = 0
        for part in range(3):
            for ids in encode(tokenizer, part_pieces(content, resolved.characters, part)):
                tokens[at : at + len(ids)] = ids
                at += len(ids)
        if at != len(tokens):
            raise ValueError(f"the text has {at} tokens, not {len(tokens)} as the spec says")
        tokens.flush()
        tokenizer.save(str(partial / TOKENIZER), pretty=False)
        if not folder.exists():
            partial.rename(folder)
    except OSError as error:
        if not folder.exists():  # else another worker was first
            raise RunFailure("out_of_disk", f"the tokens could not be written ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
