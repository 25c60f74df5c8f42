"""Files of tokenizers (tokenizer.json of the library `tokenizers`): tables and rules, checked before the library reads.

The library runs no code from them. What a file can do is take memory and time: by its size, by tokens or patterns that
are huge, by rules that make a text longer, and by draws that differ from one encoding to the next.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.ingest.validation import invalid_file
from service.spec.datasets.report import Report
from service.spec.datasets.tokens import MAX_TOKENS

MARK = b'"added_tokens"'  # in the first bytes of every file that the library writes
MAX_BYTES = 2**26
MAX_TOKEN = 1_024  # characters of a token
MAX_TEXT = 4_096  # characters of a pattern or another text of a rule
MAX_CHARSMAP = 2**22  # characters of a table of normalised characters, in base64
MAX_RULES = 64
MAX_GROWTH = 64  # times that normalisation may make a text longer
MODELS = ("BPE", "Unigram", "WordPiece", "WordLevel")
RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
EXPECTED = "expected is tokenizer.json of the library tokenizers, as Tokenizer.save writes it"


def is_tokenizer(head: bytes) -> bool:
    """Whether a file begins as a tokenizer does."""
    return head.lstrip()[:1] == b"{" and MARK in head


def report_tokenizer(path: Path) -> Report:
    """Return what a tokenizer has; raise `Invalid` where it has too much, is broken, or encodes at random."""
    from service.ingest.tokenizer_files.read import read_tokenizer, vocabulary_of  # noqa: PLC0415  loads tokenizers

    if (size := path.stat().st_size) > MAX_BYTES:
        raise invalid_file("too_large", f"the tokenizer has {size} bytes; at most {MAX_BYTES}.", MAX_BYTES)
    document = _document(path)
    kind = document["model"].get("type")
    if kind not in MODELS:
        raise invalid_file("wrong_format", f"its model is none of {', '.join(MODELS)}: {EXPECTED}.")
    _check_model(document["model"])
    for name in RULES:
        _check_rules(name, [*_rules(document.get(name))])
    for token in document.get("added_tokens") or ():
        _check_token(token.get("content") if isinstance(token, dict) else None)
    try:
        tokenizer = read_tokenizer(path)
        tokenizer.encode("", add_special_tokens=False)
    except Exception as error:
        raise invalid_file("damaged", f"the library tokenizers cannot read the file ({error}).") from error
    vocabulary, tokens = vocabulary_of(tokenizer), tokenizer.get_vocab_size()
    if not 2 <= vocabulary <= MAX_TOKENS:
        detail = f"its largest token is {vocabulary - 1}; a vocabulary has 2 to {MAX_TOKENS} tokens, from 0 on."
        raise invalid_file("too_many_classes", detail, MAX_TOKENS)
    note = f"A tokenizer ({kind}) of {tokens} tokens, for the field tokens of the dataset kinds text and token_files."
    return Report(format="tokenizer", rows=0, vocabulary=vocabulary, notes=(note,))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise invalid_file("wrong_format", f"the file is no JSON: {EXPECTED}.") from error
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise invalid_file("wrong_format", f"the file has no model: {EXPECTED}.")
    return document


def _check_model(model: dict[str, Any]) -> None:
    """Raise `Invalid` for huge tokens or too many of them, and for a model that draws how it encodes."""
    if model.get("dropout"):
        detail = "its model drops merges at random (dropout), so a text has no one encoding: set dropout to null."
        raise invalid_file("not_deterministic", detail)
    vocabulary = model.get("vocab")
    tokens = [each[0] if isinstance(each, list) and each else each for each in vocabulary or ()]
    if len(tokens) > MAX_TOKENS:
        raise invalid_file("too_many_classes", f"it has {len(tokens)} tokens; at most {MAX_TOKENS}.", MAX_TOKENS)
    for token in tokens:
        _check_token(token)


def _check_token(token: Any) -> None:
    if not isinstance(token, str):
        raise invalid_file("damaged", f"a token is no text: {EXPECTED}.")
    if len(token) > MAX_TOKEN:
        detail = f"a token has {len(token)} characters; at most {MAX_TOKEN}."
        raise invalid_file("too_large", detail, MAX_TOKEN)


def _rules(part: Any) -> Iterator[dict[str, Any]]:
    """Yield a rule, and those that it consists of."""
    if isinstance(part, list):
        for each in part:
            yield from _rules(each)
    elif isinstance(part, dict):
        yield part
        for each in part.values():
            yield from _rules(each)


def _check_rules(name: str, rules: list[dict[str, Any]]) -> None:
    """Raise `Invalid` for many rules, for huge ones, and for normalisation that makes a text much longer."""
    steps = [rule for rule in rules if "type" in rule]
    if len(steps) > MAX_RULES:
        raise invalid_file("too_large", f"its {name} has {len(steps)} rules; at most {MAX_RULES}.", MAX_RULES)
    for rule in rules:
        for field, value in rule.items():
            most = MAX_CHARSMAP if field == "precompiled_charsmap" else MAX_TEXT
            if isinstance(value, str) and len(value) > most:
                detail = f"{field} of its {name} has {len(value)} characters; at most {most}."
                raise invalid_file("too_large", detail, most)
    added = (rule.get("content") for rule in steps if rule["type"] == "Replace")
    growth = math.prod(max(len(each), 1) for each in added if isinstance(each, str))
    if growth > MAX_GROWTH:
        detail = f"its {name} replaces texts by ones that are up to {growth} times as long; at most {MAX_GROWTH}."
        raise invalid_file("too_large", detail, MAX_GROWTH)
