"""A text in parts, and each part in pieces that are encoded on their own."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from service.ingest.formats import read_text

PIECE = 2**15  # characters, at least, but for the last piece of a part
# A line end between two words. GPT-2's words, which byte pairs stay within, are the same with a cut there as without.
LINE_END = re.compile(r"\S\n(?=\S)")


def part_pieces(contents: Sequence[Path], sizes: tuple[int, int, int], part: int) -> Iterator[str]:
    """Yield the pieces of one part of a text, whose parts have so many characters: in one file, or a file for each."""
    if len(contents) == 1:
        start, files = sum(sizes[:part]), contents
    else:
        start, files = 0, contents[part : part + 1]
    return cut(_slice(chain.from_iterable(map(read_text, files)), start, start + sizes[part]))


def _slice(texts: Iterable[str], start: int, stop: int) -> Iterator[str]:
    """Yield the characters from `start` up to `stop`."""
    at = 0
    for text in texts:
        yield text[max(start - at, 0) : max(stop - at, 0)]
        at += len(text)
        if at >= stop:
            return


def cut(texts: Iterable[str]) -> Iterator[str]:
    """Yield a text in pieces of `PIECE` characters and up to the next line end; of twice as many without one.

    The pieces depend on the text alone, not on how it arrives.
    """
    rest = ""
    for text in texts:
        rest += text
        begin = 0
        while len(rest) - begin > 2 * PIECE:
            found = LINE_END.search(rest, begin + PIECE - 2, begin + 2 * PIECE + 1)
            end = found.end() if found else begin + 2 * PIECE
            yield rest[begin:end]
            begin = end
        rest = rest[begin:]
    while rest:
        found = LINE_END.search(rest, PIECE - 2)
        end = found.end() if found else 2 * PIECE
        yield rest[:end]
        rest = rest[end:]
