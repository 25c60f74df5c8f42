"""The tokens of a stored text, counted by the process that reads uploads."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.ingest.text.pieces import part_pieces
from service.ingest.text.tokenizer import TokenIds, encode, identity, make_tokenizer
from service.ingest.tokenizer_files.read import vocabulary_of
from service.ingest.validation import invalid_file
from service.spec.datasets.tokens import BytePairs, Tokenized, TokenizerFile


def count_tokens(
    contents: Sequence[Path], document: dict[str, Any], sizes: tuple[int, int, int], file: Path | None = None
) -> Tokenized:
    """Count the bytes and tokens of each part, of so many characters, by a tokenizer of the first part or of a file.

    `contents` is the file of the text, or one for each part.
    """
    kind = TokenizerFile if file else BytePairs
    wanted: BytePairs | TokenizerFile = kind.model_validate(document)
    tokenizer = make_tokenizer(wanted, part_pieces(contents, sizes, 0), file)
    tokens, sizes_in_bytes, lossless = [0, 0, 0], [0, 0, 0], True
    for part in range(3):
        found = encode(tokenizer, part_pieces(contents, sizes, part))
        for piece in part_pieces(contents, sizes, part):
            ids = _next(found)
            sizes_in_bytes[part] += len(piece.encode())
            tokens[part] += len(ids)
            if file and lossless:
                lossless = tokenizer.decode(ids.tolist(), skip_special_tokens=False) == piece
    return Tokenized(
        sha256=identity(tokenizer, wanted),
        vocabulary=vocabulary_of(tokenizer),
        characters=sizes,
        bytes=(sizes_in_bytes[0], sizes_in_bytes[1], sizes_in_bytes[2]),
        tokens=(tokens[0], tokens[1], tokens[2]),
        lossless=lossless,
    )


def _next(found: Iterator[TokenIds]) -> TokenIds:
    """Return the tokens of the next piece; raise `Invalid` for a text that the tokenizer cannot encode."""
    try:
        return next(found)
    except Exception as error:
        raise invalid_file("not_encoded", f"the tokenizer cannot encode this text: {error}.") from error
