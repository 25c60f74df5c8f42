"""Texts and token files by a tokenizer that is given as a file; the library `tokenizers` is the referee."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from service.errors import Invalid, RunFailure
from service.ingest import resolve_tokens
from service.ingest.mounted import describe
from service.ingest.text import pieces
from service.spec.checks.experiment import find_problems
from service.spec.datasets.text import Text, TokenFiles
from service.spec.experiment import Experiment
from tests.harness.texts import ID, language_spec, store_file, store_text, store_tokenizer
from tests.harness.tokenizers import END, byte_level, document_of, sentence_pieces, word_pieces
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.language import split_language
from worker.trainer.data.split import Split
from worker.trainer.data.text_codec import TokenizerCodec, continuation
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
POEM = "the cat sat on the mat, and the rat sat on the cat.\n" * 60
VERSE = "Über den Wölfen 狼 schlief\nder Mönch, und das Meer 海 schlief.\n\n" * 60
CONTEXT = 8
Keep = Callable[..., Text]


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets")


@pytest.fixture
def keep(files: DatasetFolders) -> Keep:
    def store(content: str, tokenizer: Tokenizer, **more: Any) -> Text:
        path, tokens = store_tokenizer(files, tokenizer.to_str())
        document = {"kind": "text", "context": CONTEXT, "test": 0.1, "tokens": tokens.model_dump()}
        return store_text(files, content, document | more, path)

    return store


def read(rows: Split) -> tuple[torch.Tensor, torch.Tensor]:
    return rows.x.to(CPU)[:], rows.y.to(CPU)[:]


def referee(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer as a person would use it on whole texts."""
    made = Tokenizer.from_str(tokenizer.to_str())
    made.no_truncation()
    made.no_padding()
    return made


@pytest.mark.parametrize("make", [byte_level, sentence_pieces, word_pieces])
@pytest.mark.parametrize("resident_bytes", [2**30, 0])
def test_each_part_has_the_tokens_that_the_library_finds(
    make: Any, resident_bytes: int, keep: Keep, files: DatasetFolders
) -> None:
    made = make(VERSE)
    dataset, tokenizer = keep(VERSE, made), referee(made)
    tokenized = dataset.found.tokenized
    assert tokenized is not None
    assert dataset.facts.vocabulary == tokenizer.get_vocab_size()
    parts = split_language(dataset, DatasetFolders(files.folder, resident_bytes))
    start = 0
    splits = (parts.train, parts.validation, parts.test)
    for split, characters, tokens, rows in zip(
        splits, tokenized.characters, tokenized.tokens, dataset.counts, strict=True
    ):
        own = VERSE[start : start + characters]
        start += characters
        ids = tokenizer.encode(own, add_special_tokens=False).ids
        x, y = read(split)
        assert (tokens, rows) == (len(ids), (len(ids) - 1) // CONTEXT)
        assert x.flatten().tolist() == ids[: rows * CONTEXT]
        assert y.flatten().tolist() == ids[1 : rows * CONTEXT + 1]
        if split is parts.train:
            continue
        whole = tokenizer.decode(ids[: rows * CONTEXT + 1], skip_special_tokens=False)
        first = tokenizer.decode(ids[:1], skip_special_tokens=False)
        if not whole.endswith("\ufffd"):
            assert split.bytes == len(whole.encode()) - len(first.encode())
        assert 0 < split.bytes <= len(own.encode())


@pytest.mark.parametrize(("make", "lossless"), [(byte_level, True), (sentence_pieces, True), (word_pieces, False)])
def test_a_tokenizer_that_loses_text_is_told(make: Any, lossless: bool, keep: Keep) -> None:
    dataset = keep(VERSE, make(VERSE))
    assert dataset.found.tokenized is not None
    assert dataset.found.tokenized.lossless == lossless
    told = [(each.pointer, each.code) for each in dataset.warnings()]
    assert told == ([] if lossless else [("/tokens", "loses_text")])


def test_the_bytes_of_long_texts_are_counted_in_chunks(
    keep: Keep, files: DatasetFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for make in (byte_level, sentence_pieces):
        dataset = keep(POEM, make(POEM))
        whole = split_language(dataset, files).validation.bytes
        monkeypatch.setattr("worker.trainer.data.language.CHUNK", 7)
        assert split_language(dataset, files).validation.bytes == whole


def test_a_token_between_texts_is_one_token(keep: Keep, files: DatasetFolders) -> None:
    text = (POEM[:500] + END) * 6
    made = byte_level(POEM)
    rows = split_language(keep(text, made), files).train
    assert int((rows.x.to(CPU)[:] == made.token_to_id(END)).sum()) > 1


def test_a_language_model_learns_the_tokens_and_takes_the_tokenizer_along(keep: Keep, files: DatasetFolders) -> None:
    made = byte_level(POEM)
    probe = {"kind": "samples", "length": 12, "prompt": "the cat"}
    spec = language_spec(keep(POEM, made, context=16), 60, probes=(probe,))
    training = prepare(spec, 0, CPU, files)
    last = [*train(training)][-1]
    assert last.loss.item() < 1.5
    rows, tokenizer = split_language(spec.dataset, files).validation, referee(made)
    x, y = read(rows)
    with torch.no_grad():
        logits = training.model.eval()(x)
    bits = -torch.distributions.Categorical(logits=logits.double()).log_prob(y).sum().item() / math.log(2)
    size = len(tokenizer.decode(y.flatten().tolist(), skip_special_tokens=False).encode())
    assert float((last.metrics or {})["val/bits_per_byte"]) == pytest.approx(bits / size, rel=1e-5)
    reading = training.probes.readings[-1].data
    assert reading["prompt"] == "the cat"
    assert reading["continuation"].isprintable()
    kept = Tokenizer.from_str(training.fitted["tokenizer"])
    assert kept.encode(POEM).ids == tokenizer.encode(POEM).ids  # neither cut nor filled


def test_the_hash_of_a_spec_is_that_of_the_file_and_not_of_its_upload(keep: Keep) -> None:
    spec = language_spec(keep(POEM, byte_level(POEM)))
    document = spec.normalised()
    document["dataset"]["tokens"]["upload"] = "dat_" + "1" * 26
    assert Experiment.model_validate_json(json.dumps(document)).hash == spec.hash
    assert language_spec(keep(POEM, byte_level(POEM, 265))).hash != spec.hash


def test_a_worker_refuses_another_file_or_a_library_that_encodes_otherwise(keep: Keep, files: DatasetFolders) -> None:
    dataset = keep(POEM, byte_level(POEM))
    assert files.folder is not None
    tokens = dataset.tokens
    content = files.folder / tokens.found.sha256 / "content"  # type: ignore[union-attr]
    original = content.read_bytes()
    content.write_bytes(original + b" ")
    with pytest.raises(RunFailure) as changed:
        split_language(dataset, files)
    assert changed.value.kind == "dataset_changed"
    content.unlink()
    with pytest.raises(RunFailure) as missing:
        split_language(dataset, files)
    assert missing.value.kind == "dataset_missing"


def test_a_text_without_a_token_is_refused_by_the_field(files: DatasetFolders) -> None:
    document = document_of(word_pieces(POEM))
    document["model"] = {"type": "WordLevel", "vocab": {"the": 0, "cat": 1}, "unk_token": "[none]"}
    path, tokens = store_tokenizer(files, json.dumps(document | {"added_tokens": [], "post_processor": None}))
    text, report, sha256 = store_file(files, POEM, "text")
    made = Text.model_validate({"kind": "text", "upload": ID, "tokens": tokens.model_dump()})
    with pytest.raises(Invalid) as refused:
        resolve_tokens([text], [report], [sha256], made, path)
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == ("/dataset/tokens", "not_encoded")


def test_pieces_are_cut_where_words_of_byte_pairs_end(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    made = byte_level(VERSE)
    whole = keep(VERSE, made).found.tokenized
    monkeypatch.setattr(pieces, "PIECE", 64)
    assert whole is not None
    cut = [each for piece in pieces.cut(iter([VERSE])) for each in referee(made).encode(piece).ids]
    assert cut == referee(made).encode(VERSE).ids


@pytest.mark.parametrize("make", [byte_level, sentence_pieces])
def test_samples_of_token_files_are_texts_with_their_tokenizer(
    make: Any, tmp_path: Path, files: DatasetFolders
) -> None:
    made = make(VERSE)
    tokenizer = referee(made)
    folder = tmp_path / "mounted"
    (folder / "verse").mkdir(parents=True)
    ids = np.array(tokenizer.encode(VERSE, add_special_tokens=False).ids, "<u2")
    parts = {"train": ids[:-300], "val": ids[-300:]}
    for name, values in parts.items():
        values.tofile(folder / "verse" / f"{name}.bin")
    _, tokens = store_tokenizer(files, made.to_str())
    fields = {"kind": "token_files", "path": "verse", "context": 8, "vocabulary": 400, "tokens": tokens.model_dump()}
    dataset = TokenFiles.model_validate(fields)
    dataset = dataset.model_copy(update={"resolved": describe(folder, dataset)})
    probe = {"kind": "samples", "length": 5, "prompt": "Mönch 狼"}
    spec = language_spec(dataset, 4, probes=(probe,))
    assert [each.pointer for each in find_problems(spec)] == []
    training = prepare(spec, 0, CPU, DatasetFolders(files.folder, mounted=folder))
    last = [*train(training)][-1]
    reading = training.probes.readings[-1].data
    assert reading["prompt"] == "Mönch 狼"
    rows = dataset.counts[1] * 8
    size = len(tokenizer.decode(parts["val"][: rows + 1].tolist()).encode())
    size -= len(tokenizer.decode(parts["val"][:1].tolist()).encode())
    loss = float((last.metrics or {})["val/loss"])
    measured = float((last.metrics or {})["val/bits_per_byte"])
    assert measured == pytest.approx(loss / math.log(2) * rows / size, rel=1e-5)
    small = spec.model_copy(update={"dataset": dataset.model_copy(update={"vocabulary": 100})})
    assert "/dataset/vocabulary" in [each.pointer for each in find_problems(small)]
    both = spec.model_copy(update={"dataset": dataset.model_copy(update={"bytes_per_token": 4.0})})
    assert [each.pointer for each in find_problems(both)] == ["/dataset/bytes_per_token"]


def test_a_prompt_of_numbers_is_checked_before_it_trains(tmp_path: Path) -> None:
    (tmp_path / "numbers").mkdir()
    np.arange(2000, dtype="<u2").__mod__(50).tofile(tmp_path / "numbers" / "train.bin")
    fields = {"kind": "token_files", "path": "numbers", "context": 8, "vocabulary": 50}
    dataset = TokenFiles.model_validate(fields)
    dataset = dataset.model_copy(update={"resolved": describe(tmp_path, dataset)})

    def problems(prompt: str) -> list[str]:
        return [
            each.pointer
            for each in find_problems(language_spec(dataset, probes=({"kind": "samples", "prompt": prompt},)))
        ]

    assert problems("1 49") == []
    assert problems("1 50") == problems("the cat") == ["/probes/0/prompt"]


def test_a_sample_keeps_the_blank_that_a_tokenizer_leaves_out_at_the_beginning_of_a_text() -> None:
    codec = TokenizerCodec(sentence_pieces(POEM))
    for given, follows in (("the cat", " sat on"), ("狼", " schlief"), ("the c", "at")):
        first = codec.encode(given)
        written = codec.encode(given + follows)[len(first) :]
        assert codec.decode(codec.encode(given + follows)) == given + follows
        if codec.encode(given + follows)[: len(first)] == first:
            assert continuation(codec, first, written) == follows
    cut = codec.encode("狼")[:-1]
    assert continuation(codec, cut, codec.encode("狼")[-1:]) == codec.decode(codec.encode("狼")[-1:])


def test_a_text_of_more_characters_than_can_be_predicted_one_by_one_is_trained_on_in_tokens(
    keep: Keep, files: DatasetFolders
) -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 5_000)))
    text = "\n".join(many[at : at + 40] for at in range(0, len(many), 40)) * 2
    _, report, sha256 = store_file(files, text, "text")
    assert (report.characters, report.rows) == ("", len(text))
    assert "5001 different characters" in report.notes[0]
    plain = Text.model_validate({"kind": "text", "upload": ID, "context": 8})
    found, problems = plain.resolve(report, sha256)
    assert found is None
    assert [(each.pointer, each.code) for each in problems] == [("/tokens", "too_many_classes")]
    pairs = store_text(files, text, {"kind": "text", "context": 8, "tokens": {"kind": "bpe", "vocabulary": 300}})
    assert len([*train(prepare(language_spec(pairs, 2), 0, CPU, files))]) == 2
    given = keep(text, byte_level(text[:3000]))
    assert given.found.tokenized is not None
    assert given.found.tokenized.lossless
    assert sum(given.found.tokenized.bytes) == len(text.encode())
