"""Files of tokenizers: known by their content, reported, and refused where they have too much or are broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import Invalid
from service.ingest import inspect_file
from service.spec.datasets.tokens import TokenizerFile
from tests.harness.tokenizers import byte_level, document_of, sentence_pieces, word_pieces

TEXT = "the cat sat on the mat, and the rat sat on the cat. " * 40


def written(folder: Path, document: Any) -> Path:
    path = folder / "content"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("make", [byte_level, sentence_pieces, word_pieces])
def test_a_tokenizer_is_known_by_its_content_and_reported(make: Any, tmp_path: Path) -> None:
    tokenizer = make(TEXT)
    for text in (tokenizer.to_str(), tokenizer.to_str(pretty=True), "\ufeff" + tokenizer.to_str()):
        report = inspect_file(written(tmp_path, text), None, "anything")
        assert (report.format, report.rows, report.vocabulary) == ("tokenizer", 0, tokenizer.get_vocab_size())
        assert f"of {tokenizer.get_vocab_size()} tokens" in report.notes[0]


def test_a_vocabulary_reaches_to_its_largest_token(tmp_path: Path) -> None:
    document = document_of(word_pieces(TEXT))
    document["model"]["vocab"]["##further"] = 500
    assert inspect_file(written(tmp_path, document)).vocabulary == 501


def changed(**parts: Any) -> dict[str, Any]:
    return document_of(byte_level(TEXT)) | parts


def model(**fields: Any) -> dict[str, Any]:
    document = changed()
    document["model"] |= fields
    return document


SPLIT = {"type": "Split", "pattern": {"Regex": "a" * 5_000}, "behavior": "Isolated", "invert": False}
LONGER = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 12}
HOSTILE: dict[str, tuple[Any, str]] = {
    "random": (lambda: model(dropout=0.1), "not_deterministic"),
    "many tokens": (lambda: model(vocab={f"t{at}": at for at in range(70_000)}), "too_many_classes"),
    "a large number": (lambda: model(vocab=changed()["model"]["vocab"] | {"zz": 65_536}), "too_many_classes"),
    "a huge token": (lambda: model(vocab={"a" * 2_000: 0, "b": 1}), "too_large"),
    "a huge added token": (lambda: changed(added_tokens=[{"id": 0, "content": "a" * 2_000}]), "too_large"),
    "a token that is no text": (lambda: model(vocab=[[1, 0.5]]), "damaged"),
    "a huge pattern": (lambda: changed(pre_tokenizer=SPLIT), "too_large"),
    "longer and longer": (
        lambda: changed(normalizer={"type": "Sequence", "normalizers": [LONGER] * 2}),
        "too_large",
    ),
    "many rules": (
        lambda: changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 70}),
        "too_large",
    ),
    "an unknown model": (lambda: model(type="Neural"), "wrong_format"),
    "an unknown rule": (lambda: changed(pre_tokenizer={"type": "Python", "code": "1"}), "damaged"),
    "merges of nothing": (lambda: model(merges=[["qq", "zz"]]), "damaged"),
    "no model": (lambda: changed(model=None), "wrong_format"),
    "no json": (lambda: '{"added_tokens": [', "wrong_format"),
    "deep": (lambda: '{"added_tokens": [], "model": ' + "[" * 100_000, "wrong_format"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tokenizer_that_is_broken_or_takes_too_much_is_refused(name: str, tmp_path: Path) -> None:
    make, code = HOSTILE[name]
    with pytest.raises(Invalid) as refused:
        inspect_file(written(tmp_path, make()))
    assert [problem.code for problem in refused.value.problems] == [code], refused.value.problems


def test_rows_that_have_a_column_of_this_name_can_be_read_as_rows(tmp_path: Path) -> None:
    path = written(tmp_path, '{"added_tokens": 1, "b": 2}\n{"added_tokens": 3, "b": 4}\n')
    assert inspect_file(path, "jsonl").rows == 2
    with pytest.raises(Invalid) as refused:
        inspect_file(path)
    assert "is no JSON" in refused.value.problems[0].detail


def test_another_file_is_no_tokenizer(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, "a,b\n1,2\n3,4\n"))
    tokens = TokenizerFile(upload="dat_" + "0" * 26)
    found, problems = tokens.resolve(report, "0" * 64)
    assert found is None
    assert [(each.pointer, each.code) for each in problems] == [("/upload", "wrong_format")]
