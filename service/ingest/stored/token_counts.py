"""The tokens of a stored text, counted for a spec by the process that reads uploads, once for each choice."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest.reader import ReadLimits
from service.ingest.reader_process import SHARED
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.text import Text
from service.spec.datasets.tokens import BytePairs, Characters, Tokenized, TokenizerFile

LIMITS = ReadLimits()  # a request waits, with its connection


def resolve_tokens(
    contents: Sequence[Path], reports: Sequence[Report], hashes: Sequence[str], wanted: Text, tokenizer: Path | None
) -> tuple[Resolved | None, list[Problem]]:
    """Return what the spec stores about this text in tokens, or why it cannot be trained on."""
    found, problems = wanted.model_copy(update={"context": 1}).resolve_files(reports, hashes)
    if found is None:
        return None, problems
    assert not isinstance(wanted.tokens, Characters)
    tokenized = _count(tuple(contents), wanted.tokens, wanted.characters_of_parts(reports), tokenizer)
    return wanted.resolve_tokens(found.model_copy(update={"shape": (wanted.context,)}), tokenized)


@lru_cache(maxsize=1_000)
def _count(
    contents: tuple[Path, ...],
    wanted: BytePairs | TokenizerFile,
    sizes: tuple[int, int, int],
    tokenizer: Path | None,
) -> Tokenized:
    """Have another process train or read the tokenizer and count. Cached by paths, which contain the files' hashes."""
    path, *others = (str(content.resolve()) for content in contents)
    request = {"path": path, "others": others, "tokens": wanted.model_dump(), "sizes": sizes}
    if tokenizer is not None:
        request["tokenizer"] = str(tokenizer.resolve())
    try:
        return Tokenized.model_validate_json(SHARED.ask(request, LIMITS))
    except Invalid as error:
        at_field = (replace(problem, pointer=problem.pointer or "/dataset/tokens") for problem in error.problems)
        raise Invalid.of([*at_field]) from None
