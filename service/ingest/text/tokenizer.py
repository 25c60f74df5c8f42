"""Byte-pair tokenizers by the library `tokenizers`: training, identity, and the bytes of each token."""

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from service.spec.datasets.tokens import BytePairs

TokenIds = npt.NDArray[np.uint16]
BATCH = 32  # pieces that are encoded together


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


def identity(tokenizer: Tokenizer) -> str:
    """Return a hash of the tokens in the order of their numbers, and of the merges."""
    merges = json.loads(tokenizer.to_str())["model"].get("merges", [])
    return hashlib.sha256(json.dumps([_tokens(tokenizer), merges]).encode()).hexdigest()


def byte_lengths(tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """Return the number of bytes of each token; byte pairs write each byte as one character."""
    return np.array([len(token) for token in _tokens(tokenizer)], np.int64)


def _tokens(tokenizer: Tokenizer) -> list[str]:
    known: dict[str, Any] = tokenizer.get_vocab()
    return sorted(known, key=known.__getitem__)
