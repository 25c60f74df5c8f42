"""The part of each row as a short text, for splits that only a worker can make: it reports them with the run."""

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.spec.datasets.splits import PARTS

MAX_ROWS = 10**6  # whose parts are told: at most 250 KB
NONE = len(PARTS)  # the code of a row that is in no part; a code has two bits
SHIFTS = np.arange(0, 8, 2, dtype=np.uint8)


def encode_parts(rows: int, parts: Sequence[npt.NDArray[np.integer]]) -> str:
    """Return two bits for each of the rows, the position of its part, compressed and in base85."""
    codes = np.full(-(-rows // 4) * 4, NONE, np.uint8)
    for code, numbers in enumerate(parts):
        codes[numbers] = code
    octets = np.bitwise_or.reduce(codes.reshape(-1, 4) << SHIFTS, axis=1)
    return base64.b85encode(zlib.compress(octets.astype(np.uint8).tobytes())).decode()


def decode_parts(text: str) -> dict[str, list[int]]:
    """Return the rows of each part, from 0."""
    octets = np.frombuffer(zlib.decompressobj().decompress(base64.b85decode(text), MAX_ROWS), np.uint8)
    codes = (octets[:, None] >> SHIFTS & 3).reshape(-1)
    return {name: np.flatnonzero(codes == code).tolist() for code, name in enumerate(PARTS)}
