"""Reading a tokenizer with the library `tokenizers`."""

from pathlib import Path

from tokenizers import Tokenizer


def read_tokenizer(file: Path) -> Tokenizer:
    """Read a file, and encode whole texts with it: neither cut to a length nor filled up to one."""
    tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8-sig"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> int:
    """Return the largest token, + 1; numbers may be left out below it."""
    return max(tokens_of(tokenizer), default=-1) + 1


def tokens_of(tokenizer: Tokenizer) -> dict[int, str]:
    """Return the tokens by number, in order."""
    known: dict[str, int] = tokenizer.get_vocab()
    return {number: token for token, number in sorted(known.items(), key=lambda item: item[1])}
