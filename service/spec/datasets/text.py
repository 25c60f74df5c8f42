"""Sequences of tokens: an uploaded text, and token files in the mounted folder."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Json
from service.spec.datasets.base import DatasetBase, Facts
from service.spec.datasets.mounted import FolderPath, MountedBase, Zero
from service.spec.datasets.named_columns import file_problems
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import PartFile, Resolved
from service.spec.datasets.splits import FileSplit, ShareSplit
from service.spec.datasets.tokens import MAX_TOKENS, BytePairs, Characters, Tokenized, TokenizerFile, Tokens
from service.spec.datasets.upload_base import MAX_VOCABULARY, UploadedBase

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
    and test, unless they have files of their own.
    """

    target = "worker.trainer.data.text:uploaded"

    kind: Literal["text"] = "text"
    tokens: Tokens = Field(Characters(), description="what the text is divided into")
    split: Annotated[ShareSplit | FileSplit, Field(discriminator="kind")] = Field(
        ShareSplit(), description="where validation and test are: at the end of the text, or in files of their own"
    )

    def kwargs(self) -> Json:
        """Return the loader's arguments: without the split, which comes after it."""
        return {name: value for name, value in super().kwargs().items() if name != "split"}

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
        """Parts of one file's characters share the one between them, which is the last target of the part before."""
        shared = 0 if self.found.tokenized or self.found.files else 1
        if self.found.tokenized:
            train, validation, test = self.found.tokenized.tokens
        else:  # of a file of its own, those of the part's rows and the one that follows them
            own = 1 - shared
            train, validation, test = (rows * self.context + min(rows, own) for rows in self.counts)
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

    def characters_of_parts(self, reports: Sequence[Report]) -> tuple[int, int, int]:
        """Return the characters of each part of a text with these reports, the training file first."""
        first, *others = (report.rows for report in reports)
        if others:
            return first, others[0], sum(others[1:])
        validation, test = round(first * self.validation), round(first * self.test)
        return first - validation - test, validation, test

    def inferred_defaults(self, counts: bool) -> Iterator[Default]:
        """Yield none for tokens, which were counted for the parts that the spec has, unless these are files."""
        if not self.tokenized or self.part_uploads:
            yield from super().inferred_defaults(counts)

    def problems(self) -> Iterator[Problem]:
        """Yield also what contradicts files of their own for the parts."""
        yield from super().problems()
        if self.part_uploads:
            yield from file_problems(self.upload, self.part_uploads, None)
            yield from self._share_problems("the files of /split are the parts")

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
            return None, [_too_many_characters("the text has")]
        if len(report.characters) == 1:
            return None, [Problem("/upload", "too_few_classes", "has one character only: nothing to tell apart.")]
        found = report.characters
        return Resolved(sha256=sha256, format="text", rows=rows, shape=(self.context,), characters=found), []

    def resolve_files(self, reports: Sequence[Report], hashes: Sequence[str]) -> tuple[Resolved | None, list[Problem]]:
        """Return what the spec stores about its files, the training file first, or why they cannot be trained on."""
        found, problems = self.resolve(reports[0], hashes[0])
        if found is None or not self.part_uploads:
            return found, problems
        pairs = zip(self.part_uploads, reports[1:], strict=True)
        if problems := [problem for part, report in pairs for problem in self._part_problems(part, report)]:
            return None, problems
        characters = "".join(sorted({*"".join(report.characters or "" for report in reports)}))
        if not self.tokenized and (len(characters) > MAX_VOCABULARY or not all(each.characters for each in reports)):
            return None, [_too_many_characters("the files have")]
        train, *others = rows_of(self.characters_of_parts(reports), self.context)
        named = zip(hashes[1:], others, strict=False)
        files = tuple(PartFile(sha256=sha256, format="text", rows=rows) for sha256, rows in named)
        counts = {"rows": train + sum(others), "validation": others[0], "test": others[1]}
        return found.model_copy(update={**counts, "characters": characters, "files": files}), []

    def _part_problems(self, part: str, report: Report) -> Iterator[Problem]:
        """Yield why the file of this part does not fit a text; pointers start at the dataset."""
        pointer = f"/split/{part}"
        if report.characters is None:
            yield Problem(pointer, "wrong_format", f"is {report.format}, and the training file a text.")
        elif report.rows <= self.context:
            yield _no_row(pointer, "file", f"{report.rows} characters", self.context)

    def resolve_tokens(self, found: Resolved, tokenized: Tokenized) -> tuple[Resolved | None, list[Problem]]:
        """Return the number of rows of tokens, or why they cannot be trained on."""
        rows = rows_of(tokenized.tokens, self.context)
        if sum(rows) < MIN_ROWS or rows[0] < 2:
            return None, [_too_few(f"{sum(tokenized.tokens)} tokens make {sum(rows)} rows", self.context)]
        own = self.part_uploads
        for name, count, tokens in zip(("validation", "test"), rows[1:], tokenized.tokens[1:], strict=True):
            if not count and name in own:
                return None, [_no_row(f"/split/{name}", "file", f"{tokens} tokens", self.context)]
            if not count and not own and getattr(self, name):
                return None, [_no_row(f"/{name}", "share", f"{tokens} tokens", self.context)]
        filled = {"rows": sum(rows), "characters": "", "tokenized": tokenized}
        if own:
            named = zip(found.files, rows[1:], strict=False)
            files = tuple(file.model_copy(update={"rows": count}) for file, count in named)
            filled |= {"validation": rows[1], "test": rows[2], "files": files}
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


def _no_row(pointer: str, what: str, has: str, context: int) -> Problem:
    detail = f"this {what} has {has}, too few for a row of {context} and the next one."
    return Problem(pointer, "split_too_small", detail)


def _too_many_characters(who: str) -> Problem:
    detail = f"{who} more than {MAX_VOCABULARY} different characters: take bpe, or a tokenizer of a file."
    return Problem("/tokens", "too_many_classes", detail, MAX_VOCABULARY)


def _too_few(what: str, context: int) -> Problem:
    detail = f"{what} of {context}; at least {MIN_ROWS}: a smaller context, or more text."
    return Problem("/context", "too_small", detail)
