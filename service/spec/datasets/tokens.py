"""What a text is divided into: characters, or byte pairs learned from its training part."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Part

BYTES = 256  # the tokens that byte pairs start from
MAX_TOKENS = 65_536  # of a vocabulary, so that a token takes two bytes
Counts = Annotated[tuple[int, int, int], Field(description="of the training, the validation and the test part")]


class Characters(Part):
    """One token for each character."""

    kind: Literal["characters"] = "characters"


class BytePairs(Part):
    """Byte-pair encoding, learned from the training part as GPT-2's was: bytes, and merges of the most frequent pairs.

    Merges stay within words (with the blank before them), numbers and runs of other signs. No character is replaced or
    unknown, so the tokens give back the text.
    """

    kind: Literal["bpe"] = "bpe"
    vocabulary: Annotated[int, Field(ge=BYTES, le=MAX_TOKENS)] = Field(
        512, description="number of tokens: 256 bytes, then merges of pairs that occur at least twice"
    )


Tokens = Annotated[Characters | BytePairs, Field(discriminator="kind")]


class Tokenized(Part):
    """The tokens of a text whose parts are encoded apart: no token spans two parts."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="hash of the tokenizer's tokens and merges")]
    vocabulary: Annotated[int, Field(ge=2, le=MAX_TOKENS, description="number of tokens that the tokenizer has")]
    characters: Counts
    bytes: Counts
    tokens: Counts
