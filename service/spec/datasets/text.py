"""Sequences of tokens: an uploaded text, and token files in the mounted folder."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Json
from service.spec.datasets.base import DatasetBase, Facts
from service.spec.datasets.mounted import FolderPath, MountedBase, Zero
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.tokens import MAX_TOKENS, BytePairs, Characters, Tokenized, TokenizerFile, Tokens
from service.spec.datasets.uploaded import MAX_VOCABULARY, UploadedBase

MIN_ROWS = 10
Span = tuple[int, int]  # first token, and the one after the last
Context = Annotated[int, Field(ge=1, le=8192)]


class LanguageBase(DatasetBase):
    """A sequence of tokens. A row is `context` of them, to each of which the next one is predicted."""

    context: Context = Field(64, description="context length: tokens per row")
    windows: Literal["consecutive", "random"] = Field(
        "consecutive",
        description="training rows. consecutive: windows side by side, each once per epoch; random: windows that start "
        "anywhere, drawn independently for each update, as nanoGPT does",
    )

    @property
    def draws_rows(self) -> bool:
        """Whether training rows are drawn for each update, rather than taken in epochs."""
        return self.windows == "random"

    def kwargs(self) -> Json:
        """Return the loader's arguments: without how training rows are chosen, and which upload a tokenizer was."""
        return {name: value for name, value in super().kwargs().items() if name != "windows"}

    @property
    def spans(self) -> tuple[Span, Span, Span] | None:
        """The tokens of each part, within one array that has them all; None: each part has an array of its own."""
        raise NotImplementedError


class Text(LanguageBase, UploadedBase):
    """An uploaded text (POST /v1/datasets) for language modelling: predict the next character, or the next token.

    A row is `context` tokens; rows do not overlap. The beginning of the text is the training part, then come validation
    and test.
    """

    target = "worker.trainer.data.text:uploaded"

    kind: Literal["text"] = "text"
    tokens: Tokens = Field(Characters(), description="what the text is divided into")

    @property
    def facts(self) -> Facts:
        """Read from the upload's report; a row needs its next token, so the last ones may be dropped."""
        found, tokenized = self.found, self.found.tokenized
        unit, vocabulary = (
            ("character", len(found.characters)) if tokenized is None else ("token", tokenized.vocabulary)
        )
        return Facts(found.rows, (self.context,), "language", unit=unit, vocabulary=vocabulary)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows for training, validation and test."""
        tokenized = self.found.tokenized
        return super().counts if tokenized is None else rows_of(tokenized.tokens, self.context)

    @property
    def spans(self) -> tuple[Span, Span, Span]:
        """Parts of characters share the one between them, which is the last target of the part before."""
        train, validation, test = (
            self.found.tokenized.tokens if self.found.tokenized else (rows * self.context for rows in self.counts)
        )
        shared = 0 if self.found.tokenized else 1
        ends = train, train + validation, train + validation + test
        return (0, ends[0] + shared), (ends[0], ends[1] + shared), (ends[1], ends[2] + shared)

    @property
    def bytes_known(self) -> bool:
        """Characters and byte pairs stand for known bytes."""
        return True

    @property
    def tokenized(self) -> bool:
        """Whether tokens have to be counted in the text."""
        return not isinstance(self.tokens, Characters)

    def characters_of_parts(self, report: Report) -> tuple[int, int, int]:
        """Return the characters of each part of a text with this report."""
        validation, test = round(report.rows * self.validation), round(report.rows * self.test)
        return report.rows - validation - test, validation, test

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield none for tokens, which were counted for the parts that the spec has."""
        if not self.tokenized:
            yield from super().inferred_defaults(counts)

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """Return the vocabulary and the number of rows of characters, or why they cannot be trained on."""
        if report.format in ("tokenizer", "safetensors", "images"):
            return None, [Problem("/upload", "wrong_format", f"is {report.format}, no text: name the file of a text.")]
        if report.characters is None:
            return None, [Problem("/upload", "wrong_format", f"is a table ({report.format}): use the kind upload.")]
        rows = (report.rows - 1) // self.context
        if rows < MIN_ROWS:
            return None, [_too_few(f"{report.rows} characters make {max(rows, 0)} rows", self.context)]
        if not report.characters and not self.tokenized:
            detail = (
                f"the text has more than {MAX_VOCABULARY} different characters: take bpe, or a tokenizer of a file."
            )
            return None, [Problem("/tokens", "too_many_classes", detail, MAX_VOCABULARY)]
        if len(report.characters) == 1:
            return None, [Problem("/upload", "too_few_classes", "has one character only: nothing to tell apart.")]
        found = report.characters
        return Resolved(sha256=sha256, format="text", rows=rows, shape=(self.context,), characters=found), []

    def resolve_tokens(self, found: Resolved, tokenized: Tokenized) -> tuple[Resolved | None, list[Problem]]:
        """Return the number of rows of tokens, or why they cannot be trained on."""
        rows = rows_of(tokenized.tokens, self.context)
        if sum(rows) < MIN_ROWS or rows[0] < 2:
            return None, [_too_few(f"{sum(tokenized.tokens)} tokens make {sum(rows)} rows", self.context)]
        for name, count, tokens in zip(("validation", "test"), rows[1:], tokenized.tokens[1:], strict=True):
            if getattr(self, name) and not count:
                detail = f"this share has {tokens} tokens, too few for a row of {self.context} and the next one."
                return None, [Problem(f"/{name}", "split_too_small", detail)]
        filled = {"rows": sum(rows), "characters": "", "tokenized": tokenized}
        return found.model_copy(update=filled), []

    def warnings(self) -> Iterator[Problem]:
        """Yield a vocabulary that the training part is too small for."""
        yield from super().warnings()
        tokenized = self.found.tokenized
        if tokenized and isinstance(self.tokens, BytePairs) and tokenized.vocabulary < self.tokens.vocabulary:
            detail = f"only {tokenized.vocabulary} tokens: no further pair occurs twice in the training part."
            yield Problem("/tokens/vocabulary", "not_reached", detail, tokenized.vocabulary)
        if tokenized and not tokenized.lossless:
            detail = "decoding its tokens does not give back the text (case, blanks, or characters that it lacks), so "
            fix = "losses and bits per byte are of the decoded text, and compare with no other tokenizer's."
            yield Problem("/tokens", "loses_text", f"{detail}{fix}")


class TokenFiles(LanguageBase, MountedBase):
    """Token files as nanoGPT writes them: a mounted folder with train.bin, and val.bin and test.bin where it has them.

    A file is a sequence of tokens of two bytes (uint16, little-endian), which is mapped and never read whole.
    """

    target = "worker.trainer.data.text:mounted"

    kind: Literal["token_files"] = "token_files"
    path: FolderPath = Field(description="path of the folder within the mounted folder")
    vocabulary: Annotated[int, Field(ge=2, le=MAX_TOKENS)] = Field(
        description="number of tokens of the tokenizer; 50257 for GPT-2's, which 50304 rounds up"
    )
    bytes_per_token: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        None, description="bytes of text for each token on average, for bits per byte; null: unknown, or by /tokens"
    )
    tokens: TokenizerFile | None = Field(
        None,
        description="the tokenizer that wrote the files, so that samples are texts and bits per byte is known; "
        "null: tokens are numbers",
    )
    validation: Zero = Field(0.0, description="0: val.bin is the validation part")
    test: Zero = Field(0.0, description="0: test.bin is the test part")

    @property
    def facts(self) -> Facts:
        """Read from the sizes of the files."""
        return Facts(self.found.rows, (self.context,), "language", unit="token", vocabulary=self.vocabulary)

    @property
    def bytes_known(self) -> bool:
        """Only where the spec names the tokenizer, or says how many bytes a token has."""
        return self.tokens is not None or self.bytes_per_token is not None

    @property
    def reserved_validation_rows(self) -> int:
        """The rows of val.bin."""
        return self.found.validation

    def problems(self) -> Iterator[Problem]:
        """Yield a tokenizer that has tokens beyond the vocabulary, or is beside a number of bytes."""
        yield from super().problems()
        if self.tokens is None:
            return
        if (least := self.tokens.found.vocabulary) > self.vocabulary:
            detail = f"the tokenizer of /dataset/tokens has {least} tokens: at least that many."
            yield Problem("/vocabulary", "too_small", detail, least)
        if self.bytes_per_token is not None:
            detail = "/dataset/tokens says how many bytes each token has: leave this out."
            yield Problem("/bytes_per_token", "contradiction", detail)

    @property
    def spans(self) -> None:
        """None: each part is a file."""
        return


def rows_of(tokens: tuple[int, int, int], context: int) -> tuple[int, int, int]:
    """Return the rows of each part: windows that do not overlap, each with the token that follows."""
    train, validation, test = (max(count - 1, 0) // context for count in tokens)
    return train, validation, test


def _too_few(what: str, context: int) -> Problem:
    detail = f"{what} of {context}; at least {MIN_ROWS}: a smaller context, or more text."
    return Problem("/context", "too_small", detail)
