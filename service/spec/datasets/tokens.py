"""What a text is divided into: characters, byte pairs learned from its training part, or a given tokenizer's tokens."""

from typing import Annotated, Literal

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Part
from service.spec.datasets.report import Report
from service.spec.datasets.upload_references import UploadId

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


class FoundTokenizer(Part):
    """The contents of the file: what a worker needs to find and check it."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    vocabulary: Annotated[int, Field(ge=2, le=MAX_TOKENS, description="its largest token + 1")]


class TokenizerFile(Part):
    """A tokenizer of the library `tokenizers`: an uploaded tokenizer.json, as models on Hugging Face have it.

    Tokens that it would put around a text, such as [CLS], are left out.
    """

    kind: Literal["file"] = "file"
    upload: UploadId
    resolved: FoundTokenizer | None = Field(
        None,
        description="set by the server; omit it in requests, or repeat it unchanged",
        json_schema_extra={"readOnly": True},
    )

    @property
    def found(self) -> FoundTokenizer:
        """The contents of the file; raises `Invalid` if it was not looked up."""
        if self.resolved is None:
            detail = "the file was not looked up: only a server that has it can say what is in it."
            raise Invalid.of([Problem("/dataset/tokens/upload", "not_resolved", detail)])
        return self.resolved

    def resolve(self, report: Report, sha256: str) -> tuple[FoundTokenizer | None, list[Problem]]:
        """Return what the spec stores about the file, or why it is no tokenizer."""
        if report.vocabulary is None:
            detail = f"is {report.format}, and a tokenizer is a file tokenizer.json of the library tokenizers."
            return None, [Problem("/upload", "wrong_format", detail)]
        return FoundTokenizer(sha256=sha256, vocabulary=report.vocabulary), []


Tokens = Annotated[Characters | BytePairs | TokenizerFile, Field(discriminator="kind")]


class Tokenized(Part):
    """The tokens of a text whose parts are encoded apart: no token spans two parts."""

    sha256: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="hash of the tokenizer: of its tokens and merges, or its file")
    ]
    vocabulary: Annotated[int, Field(ge=2, le=MAX_TOKENS, description="number of tokens that the tokenizer has")]
    characters: Counts
    bytes: Counts
    tokens: Counts
    lossless: bool = Field(True, description="whether decoding the tokens gives back the text")
