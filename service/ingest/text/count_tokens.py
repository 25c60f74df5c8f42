"""The tokens of a stored text, counted by the process that reads uploads."""

from pathlib import Path
from typing import Any

from service.ingest.text.pieces import part_pieces
from service.ingest.text.tokenizer import encode, identity, train_tokenizer
from service.spec.datasets.tokens import BytePairs, Tokenized


def count_tokens(content: Path, document: dict[str, Any], sizes: tuple[int, int, int]) -> Tokenized:
    """Train the tokenizer on the first part and count the bytes and tokens of each part, of so many characters."""
    tokenizer = train_tokenizer(BytePairs.model_validate(document), part_pieces(content, sizes, 0))
    tokens, sizes_in_bytes = [0, 0, 0], [0, 0, 0]
    for part in range(3):
        sizes_in_bytes[part] = sum(len(piece.encode()) for piece in part_pieces(content, sizes, part))
        tokens[part] = sum(len(ids) for ids in encode(tokenizer, part_pieces(content, sizes, part)))
    return Tokenized(
        sha256=identity(tokenizer),
        vocabulary=tokenizer.get_vocab_size(),
        characters=sizes,
        bytes=(sizes_in_bytes[0], sizes_in_bytes[1], sizes_in_bytes[2]),
        tokens=(tokens[0], tokens[1], tokens[2]),
    )
