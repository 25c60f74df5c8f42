"""Texts as arrays of tokens, which are encoded once and kept beside the upload.

<sha256>/rows-<key>/tokens.npy       the tokens of all parts
<sha256>/rows-<key>/tokenizer.json   the tokenizer, learned or given, as the library `tokenizers` reads it
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
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
from service.spec.datasets.tokens import BytePairs, Characters, Tokenized, TokenizerFile, Tokens
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.mounted import check_fingerprint, mounted_root
from worker.trainer.data.split import Arrays
from worker.trainer.data.text_codec import CharacterCodec, NumberCodec, TextCodec, TokenizerCodec
from worker.trainer.data.uploads import collect_blocks, verify_upload

TOKENS, TOKENIZER = "tokens.npy", "tokenizer.json"
CHARACTERS = Characters()
# Of each token (vocabulary,), the mean of all, or of the text of tokens (n,) but for the first, which comes before it.
BytesOf = npt.NDArray[np.int64] | float | Callable[[npt.NDArray[Any]], int]


class TokenArrays(NamedTuple):
    """One array (n,) of the tokens of all parts, or one for each part; and the bytes that each token stands for."""

    arrays: tuple[npt.NDArray[Any], ...]
    bytes_of: BytesOf | None  # None: unknown
    codec: TextCodec | None = None  # None: the tokens are numbers only


def uploaded(
    files: DatasetFolders, context: int = 64, tokens: Tokens = CHARACTERS, resolved: Resolved | None = None
) -> TokenArrays:
    """The tokens of an uploaded text."""
    assert resolved is not None, "the server resolves an upload before it is queued"
    contents = [verify_upload(files, file.sha256) for file in resolved.every_file]
    if not isinstance(tokens, Characters):
        file = verify_upload(files, tokens.found.sha256) if isinstance(tokens, TokenizerFile) else None
        return _tokens(contents, tokens, resolved, file)
    train = resolved.rows - resolved.validation - resolved.test  # of the first file, all rows where it is the only one
    used = [rows * context + 1 for rows in (train, *(file.rows for file in resolved.files))]
    others = [file.sha256 for file in resolved.files]
    key = json.dumps(["text", sum(used), resolved.characters, *([used, others] if others else [])])
    pairs = zip(contents, used, strict=True)
    blocks = chain.from_iterable(_characters(content, resolved.characters, count) for content, count in pairs)
    found, _ = collect_blocks(files, contents[0], key, blocks, ((sum(used),), (0,)))
    lengths = np.array([len(character.encode()) for character in resolved.characters])
    return TokenArrays((found,), lengths, CharacterCodec(resolved.characters))


def mounted(
    files: DatasetFolders,
    path: str,
    vocabulary: int,
    context: int = 64,
    bytes_per_token: float | None = None,
    tokens: TokenizerFile | None = None,
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
    if tokens is None:
        return TokenArrays(tuple(arrays), bytes_per_token, NumberCodec(vocabulary))
    from service.ingest.tokenizer_files.read import read_tokenizer  # noqa: PLC0415  the other datasets do without

    tokenizer = read_tokenizer(verify_upload(files, tokens.found.sha256))
    return TokenArrays(tuple(arrays), _bytes_of(tokenizer), TokenizerCodec(tokenizer))


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


def _bytes_of(tokenizer: Any) -> BytesOf:
    """Return the bytes of each token, or where they are no bytes, what counts those of a text."""
    from service.ingest.text.tokenizer import byte_lengths, decoded_bytes  # noqa: PLC0415  loads tokenizers

    lengths = byte_lengths(tokenizer)
    return partial(decoded_bytes, tokenizer) if lengths is None else lengths


def _tokens(
    contents: Sequence[Path], wanted: BytePairs | TokenizerFile, resolved: Resolved, file: Path | None
) -> TokenArrays:
    """Return the tokens of an earlier training, or train or read the tokenizer and encode the text."""
    from service.ingest.tokenizer_files.read import read_tokenizer  # noqa: PLC0415  the other datasets do without

    tokenized = resolved.tokenized
    assert tokenized is not None, "the server counts tokens before a run is queued"
    others = [part.sha256 for part in resolved.files]
    known = ["tokens", wanted.model_dump(exclude={"upload"}), tokenized.model_dump(exclude={"lossless"}), *others]
    folder = contents[0].parent / f"rows-{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]}"
    if not folder.exists():
        _encode(folder, contents, wanted, tokenized, file)
    found = np.load(folder / TOKENS, mmap_mode="r", allow_pickle=False)
    tokenizer = read_tokenizer(folder / TOKENIZER)
    return TokenArrays((found,), _bytes_of(tokenizer), TokenizerCodec(tokenizer))


def _encode(
    folder: Path, contents: Sequence[Path], wanted: BytePairs | TokenizerFile, resolved: Tokenized, file: Path | None
) -> None:
    """Write the tokens and the tokenizer; if another worker does so at the same time, one of the two stays."""
    from service.ingest.text.pieces import part_pieces  # noqa: PLC0415
    from service.ingest.text.tokenizer import encode, identity, make_tokenizer  # noqa: PLC0415

    tokenizer = make_tokenizer(wanted, part_pieces(contents, resolved.characters, 0), file)
    if identity(tokenizer, wanted) != resolved.sha256:
        detail = "the tokenizer that this worker learns from the text differs from the server's"
        raise RunFailure("dataset_changed", f"{detail}: install the same version of the package tokenizers")
    partial = folder.with_name(f".{folder.name}.{uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        tokens = np.lib.format.open_memmap(partial / TOKENS, "w+", np.uint16, (sum(resolved.tokens),))
        at = 0
        for part in range(3):
            for ids in encode(tokenizer, part_pieces(contents, resolved.characters, part)):
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
