"""The splits of a language dataset: windows of its tokens, and the bytes that their targets stand for."""

from typing import Any

import numpy.typing as npt

from service.spec.datasets import DatasetBase
from service.spec.datasets.text import LanguageBase
from worker.trainer.build import build
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Split, Splits
from worker.trainer.data.text import BytesOf, TokenArrays
from worker.trainer.data.token_windows import MappedWindows, TokenArray

CHUNK = 2**20  # tokens whose bytes are counted together


def split_language(dataset: DatasetBase, files: DatasetFolders) -> Splits:
    """Return the windows of each part, in order: the text's beginning is trained on, its end kept for the test."""
    assert isinstance(dataset, LanguageBase)
    found: TokenArrays = build(dataset, files)
    arrays, vocabulary, context = found.arrays, dataset.facts.vocabulary, dataset.context
    resident_bytes = 0 if dataset.spans is None else files.resident_bytes  # files of tokens are never read whole
    if dataset.spans is not None:
        (whole,) = arrays
        arrays = tuple(whole[start:stop] for start, stop in dataset.spans)
    splits: list[Split] = []
    for values, rows in zip(arrays, dataset.counts, strict=True):
        tokens = TokenArray(values, vocabulary, resident_bytes)
        x, y = (MappedWindows(tokens, rows, context, shift) for shift in (0, 1))
        measured = len(splits) > 0  # the training part is not evaluated
        splits.append(Split(x, y, _bytes(values[: rows * context + 1], found.bytes_of) if measured else 0))
    return Splits(splits[0], splits[1], splits[2], {}, {}, codec=found.codec)


def _bytes(tokens: npt.NDArray[Any], bytes_of: BytesOf | None) -> float:
    """Return the bytes that these tokens, but for the first, stand for; 0: unknown."""
    last = max(len(tokens) - 1, 0)
    if bytes_of is None or isinstance(bytes_of, float):
        return last * (bytes_of or 0.0)
    chunks = (tokens[at : at + CHUNK + 1] for at in range(0, last, CHUNK))
    return sum(bytes_of(each) if callable(bytes_of) else int(bytes_of[each[1:]].sum()) for each in chunks)
