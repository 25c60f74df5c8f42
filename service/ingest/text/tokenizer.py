"""Tokenizers of the library `tokenizers`: learned from a text or read from a file, and how they encode."""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from service.ingest.tokenizer_files.read import read_tokenizer, tokens_of
from service.spec.datasets.tokens import MAX_TOKENS, BytePairs, TokenizerFile

TokenIds = npt.NDArray[np.uint16]
BATCH = 32  # pieces that are encoded together


def make_tokenizer(wanted: BytePairs | TokenizerFile, pieces: Iterator[str], file: Path | None) -> Tokenizer:
    """Learn a tokenizer from the pieces of a text, or read it from its file."""
    if isinstance(wanted, BytePairs):
        return train_tokenizer(wanted, pieces)
    assert file is not None, "who asks for a tokenizer of a file has opened it"
    return read_tokenizer(file)


def train_tokenizer(wanted: BytePairs, pieces: Iterator[str]) -> Tokenizer:
    """Learn byte pairs from the pieces of a text; the same on every machine with the same version of the library."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=wanted.vocabulary,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, pieces: Iterator[str]) -> Iterator[TokenIds]:
    """Yield the tokens of the pieces, in order, without the special tokens that the tokenizer may add."""
    while batch := list(islice(pieces, BATCH)):
        for found in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array(found.ids, np.uint16)


def identity(tokenizer: Tokenizer, wanted: BytePairs | TokenizerFile) -> str:
    """Return a hash of the tokens in the order of their numbers, and of the merges; or that of the file."""
    if isinstance(wanted, TokenizerFile):
        return wanted.found.sha256
    merges = json.loads(tokenizer.to_str())["model"].get("merges", [])
    return hashlib.sha256(json.dumps([[*tokens_of(tokenizer).values()], merges]).encode()).hexdigest()


def byte_lengths(tokenizer: Tokenizer) -> npt.NDArray[np.int64] | None:
    """Return the number of bytes of each token (65536,); None where tokens are not written as bytes.

    Byte pairs write each byte as one character; what has other characters, as a token that was added may, is a text.
    """
    if type(tokenizer.decoder) is not decoders.ByteLevel:
        return None
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    lengths = np.zeros(MAX_TOKENS, np.int64)  # of tokens of two bytes; 0 for those that the tokenizer lacks
    for number, token in tokens_of(tokenizer).items():
        lengths[number] = len(token) if alphabet.issuperset(token) else len(token.encode())
    return lengths


def decoded_bytes(tokenizer: Tokenizer, tokens: npt.NDArray[Any]) -> int:
    """Return the bytes of UTF-8 of the text of all tokens but the first, which what it begins with may depend on."""
    first, whole = (tokenizer.decode(each.tolist(), skip_special_tokens=False) for each in (tokens[:1], tokens))
    return len(whole.encode()) - len(first.encode())
