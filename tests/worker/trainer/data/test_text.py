"""Texts: windows of characters or byte pairs, the same from memory and from disk, counted and measured exactly."""

import json
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from service.errors import Invalid, RunFailure
from service.ingest import inspect_file, resolve_tokens
from service.ingest.mounted import describe
from service.ingest.text import pieces
from service.ingest.text.count_tokens import count_tokens
from service.ingest.text.pieces import cut
from service.ingest.text.tokenizer import train_tokenizer
from service.spec.checks.experiment import find_problems
from service.spec.checks.metrics import measured_series
from service.spec.datasets.text import Text, TokenFiles
from service.spec.datasets.tokens import BytePairs, Tokenized
from service.spec.experiment import Experiment
from tests.harness.texts import ID, language_spec, store_text
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.language import split_language
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import Split
from worker.trainer.data.text import TOKENIZER
from worker.trainer.data.token_windows import MappedWindows, ResidentWindows, TokenArray
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
POEM = "the cat sat on the mat, and the rat sat on the cat. " * 40
VERSE = "Über den Wölfen 狼 schlief\nder Mönch, und das Meer 海 schlief.\n\n" * 60
BYTE_PAIRS = {"kind": "text", "context": 8, "tokens": {"kind": "bpe", "vocabulary": 300}, "test": 0.1}
Keep = Callable[..., Text]


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets")


@pytest.fixture
def keep(files: DatasetFolders) -> Keep:
    return lambda content, dataset: store_text(files, content, dataset)


def tokens_of(dataset: Text) -> Tokenized:
    assert dataset.found.tokenized is not None
    return dataset.found.tokenized


def read(rows: Split) -> tuple[torch.Tensor, torch.Tensor]:
    assert isinstance(rows.x, MappedRows)
    assert isinstance(rows.y, MappedRows)
    return rows.x.to(CPU)[:], rows.y.to(CPU)[:]


@pytest.mark.parametrize("resident_bytes", [2**30, 0])
def test_a_text_is_windows_of_characters_and_their_successors(
    resident_bytes: int, keep: Keep, files: DatasetFolders
) -> None:
    dataset = keep(POEM, {"kind": "text", "context": 16})
    parts = split_language(dataset, DatasetFolders(files.folder, resident_bytes))
    assert isinstance(parts.train.x, MappedWindows)
    assert parts.train.x.tokens.on_disk == (resident_bytes == 0)
    splits = (parts.train, parts.validation, parts.test)
    assert tuple(len(part.x) for part in splits) == dataset.counts
    x, y = (torch.cat(each) for each in zip(*map(read, splits), strict=True))
    assert dataset.resolved is not None
    characters = dataset.resolved.characters
    rows = (len(POEM) - 1) // 16
    assert x.shape == y.shape == (rows, 16) == (dataset.facts.rows, *dataset.facts.shape)
    assert "".join(characters[token] for token in x.flatten()) == POEM[: rows * 16]
    assert "".join(characters[token] for token in y.flatten()) == POEM[1 : rows * 16 + 1]


@pytest.mark.parametrize("resident_bytes", [2**30, 0])
def test_byte_pairs_give_back_each_part_of_the_text(resident_bytes: int, keep: Keep, files: DatasetFolders) -> None:
    dataset = keep(VERSE, BYTE_PAIRS)
    tokenized = tokens_of(dataset)
    assert sum(tokenized.characters) == len(VERSE)
    assert sum(tokenized.bytes) == len(VERSE.encode())
    parts = split_language(dataset, DatasetFolders(files.folder, resident_bytes))
    assert files.folder is not None
    (written,) = files.folder.glob(f"*/rows-*/{TOKENIZER}")
    tokenizer = Tokenizer.from_file(str(written))
    start = 0
    splits = parts.train, parts.validation, parts.test
    for split, characters, tokens, rows in zip(
        splits, tokenized.characters, tokenized.tokens, dataset.counts, strict=True
    ):
        own = VERSE[start : start + characters]
        start += characters
        x, y = read(split)
        assert rows == len(x) == (tokens - 1) // 8
        assert x.flatten()[1:].tolist() == y.flatten()[:-1].tolist()
        ids = tokenizer.encode(own).ids
        assert (len(ids), ids[: rows * 8]) == (tokens, x.flatten().tolist())
        assert tokenizer.decode(ids) == own
        # the targets of the windows: all tokens but the first and those after the last window
        whole = b"".join(_bytes_of(tokenizer, token) for token in ids)
        assert whole == own.encode()
        if split is not parts.train:
            assert split.bytes == sum(len(_bytes_of(tokenizer, token)) for token in ids[1 : rows * 8 + 1])


def _bytes_of(tokenizer: Tokenizer, token: int) -> bytes:
    """By GPT-2's table: printable bytes stand for themselves, the others for the characters from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in shown]
    table = {chr(value): value for value in shown} | {chr(256 + at): value for at, value in enumerate(others)}
    return bytes(table[character] for character in tokenizer.id_to_token(token))


def test_a_tokenizer_is_learned_from_the_training_part_alone(keep: Keep) -> None:
    text = "abababab " * 200 + "xyxyxyxy " * 100
    dataset = keep(text, {**BYTE_PAIRS, "validation": 0.25, "test": 0.1})
    tokenized = tokens_of(dataset)
    assert tokenized.vocabulary < 300
    assert [problem.pointer for problem in dataset.warnings()] == ["/tokens/vocabulary"]
    train_text = text[: tokenized.characters[0]]
    assert "x" in text[len(train_text) :]
    learned = train_tokenizer(BytePairs(vocabulary=300), iter([train_text]))
    assert learned.get_vocab_size() == tokenized.vocabulary
    assert "xyxyxyxy" not in train_tokenizer(BytePairs(vocabulary=300), iter(["abababab " * 200])).get_vocab()


def test_a_worker_refuses_a_tokenizer_that_differs_from_the_servers(keep: Keep, files: DatasetFolders) -> None:
    dataset = keep(VERSE, BYTE_PAIRS)
    tokenized = tokens_of(dataset)
    other = tokenized.model_copy(update={"sha256": "0" * 64})
    changed = dataset.found.model_copy(update={"tokenized": other})
    with pytest.raises(RunFailure, match="same version of the package tokenizers") as refused:
        split_language(dataset.model_copy(update={"resolved": changed}), files)
    assert refused.value.kind == "dataset_changed"


def test_few_tokens_are_refused_by_the_field_that_would_help(tmp_path: Path) -> None:
    (path := tmp_path / "content").write_text(POEM)
    report = inspect_file(path, "text")
    refusals = []
    for changes in ({"context": 500}, {"context": 100, "validation": 0.02}, {"context": 100, "test": 0.01}):
        made = Text.model_validate(BYTE_PAIRS | {"tokens": {"kind": "bpe", "vocabulary": 256}, "upload": ID} | changes)
        resolved, problems = resolve_tokens([path], [report], ["0" * 64], made)
        assert resolved is None
        refusals += [problem.pointer for problem in problems]
    assert refusals == ["/context", "/validation", "/test"]


def test_characters_keep_the_hash_of_a_spec_and_byte_pairs_have_their_own(keep: Keep) -> None:
    characters = language_spec(keep(POEM, {"kind": "text", "context": 8}))
    document = characters.normalised()
    assert document["dataset"].pop("tokens") == {"kind": "characters"}
    assert document["dataset"]["resolved"].pop("tokenized") is None
    assert Experiment.model_validate_json(json.dumps(document)).hash == characters.hash
    assert language_spec(keep(POEM, BYTE_PAIRS | {"test": 0.0})).hash != characters.hash


@settings(max_examples=50)
@given(st.lists(st.text(alphabet="ab \n\té", max_size=40), max_size=30))
def test_pieces_depend_on_the_text_and_not_on_how_it_arrives(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 16)
        whole = "".join(texts)
        found = [*cut(iter(texts))]
        assert found == [*cut(iter([whole]))] == [*cut(iter(whole))]
        assert "".join(found) == whole
        assert all(16 <= len(piece) <= 32 for piece in found[:-1])


SNIPPETS = ["\n", "\n\n", " ", "the", "cat's", " sat", "12", "!?", "\t", "狼", " \n"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), max_size=200))
def test_cutting_at_line_ends_changes_no_token(words: list[str]) -> None:
    text = "word\nnext ".join(words)
    tokenizer = train_tokenizer(BytePairs(vocabulary=270), iter([VERSE + POEM]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 64)
        found = [token for piece in cut(iter([text])) for token in tokenizer.encode(piece).ids]
    assert found == tokenizer.encode(text).ids


def test_the_reader_and_a_worker_count_the_same(keep: Keep, tmp_path: Path) -> None:
    dataset = keep(VERSE, BYTE_PAIRS)
    tokenized = tokens_of(dataset)
    (path := tmp_path / "content").write_text(VERSE)
    assert count_tokens([path], dataset.tokens.model_dump(), tokenized.characters) == tokenized


def test_a_token_out_of_range_is_refused_in_memory_and_on_disk(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"there is a token 5, and the 5 tokens are 0\.\.4: .* must be 6 at least"):
        TokenArray(np.array([0, 1, 5], np.uint16), 5, 2**30)
    np.save(tmp_path / "tokens.npy", np.array([0, 1, 2, 5], np.uint16))
    tokens = TokenArray(np.load(tmp_path / "tokens.npy", mmap_mode="r"), 5, 0)
    windows = MappedWindows(tokens, 2, 2, 0)
    assert windows.read(slice(0, 1)).tolist() == [[0, 1]]
    with pytest.raises(RunFailure, match="there is a token 5"):
        windows.read(slice(1, 2))


@pytest.mark.parametrize(("kind", "tokens"), [("transformer", "characters"), ("gru", "characters"), ("gru", "bpe")])
def test_a_language_model_learns_a_text_and_is_measured_at_every_position(
    kind: str, tokens: str, keep: Keep, files: DatasetFolders
) -> None:
    dataset = keep(POEM, {"kind": "text", "context": 16, "tokens": {"kind": tokens}})
    vocabulary = dataset.facts.vocabulary
    more = {} if kind == "transformer" else {"model": {"kind": kind, "vocabulary": vocabulary, "outputs_at": "every"}}
    spec = language_spec(dataset, **more)
    assert spec.outputs == vocabulary
    training = prepare(spec, 0, CPU, files)
    steps = list(train(training))
    assert steps[0].loss.item() == pytest.approx(math.log(vocabulary), rel=0.25)
    readings = steps[-1].metrics or {}
    assert steps[-1].loss.item() < 1.0
    assert float(readings["val/accuracy"]) > 0.6
    rows = split_language(spec.dataset, files).validation
    x, y = read(rows)
    logits = training.model.eval()(x)  # (B, T, V)
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), y)  # torch's own layout: (B, V, T)
    assert float(readings["val/loss"]) == pytest.approx(loss.item(), rel=1e-5)
    assert float(readings["val/accuracy"]) == pytest.approx((logits.argmax(2) == y).float().mean().item())
    bits = -torch.distributions.Categorical(logits=logits.double()).log_prob(y).sum().item() / math.log(2)
    assert float(readings["val/bits_per_byte"]) == pytest.approx(bits / rows.bytes, rel=1e-5)
    assert set(measured_series(spec)) == {name for name in readings if name.startswith("val/")}
    if tokens == "characters":
        assert rows.bytes == y.numel()  # one byte each
    on_disk = list(train(prepare(spec, 0, CPU, DatasetFolders(files.folder, 0))))
    assert [step.loss.item() for step in on_disk] == [step.loss.item() for step in steps]


@pytest.mark.parametrize("loss", [{"label_smoothing": 0.1}, {"ignore_index": 1}])
def test_a_loss_that_is_no_likelihood_of_all_targets_has_no_bits_per_byte(
    loss: dict[str, Any], keep: Keep, files: DatasetFolders
) -> None:
    spec = language_spec(keep(POEM, BYTE_PAIRS), 1, loss={"kind": "cross_entropy"} | loss)
    (step,) = train(prepare(spec, 0, CPU, files))
    assert step.metrics is not None
    assert "val/loss" in step.metrics
    assert "val/bits_per_byte" not in step.metrics
    assert "val/bits_per_byte" not in measured_series(spec)


def test_a_resumed_run_on_byte_pairs_is_bit_identical(keep: Keep, files: DatasetFolders) -> None:
    spec = language_spec(keep(VERSE, BYTE_PAIRS), 12)

    def losses(training: Training, count: int) -> list[float]:
        return [step.loss.item() for step in islice(train(training), count)]

    whole = losses(prepare(spec, 3, CPU, files), 12)
    first = prepare(spec, 3, CPU, files)
    before = losses(first, 5)
    second = prepare(spec, 3, CPU, files)
    second.load(first.state())
    assert before + losses(second, 12) == whole


def batches_of(spec: Experiment, files: DatasetFolders, seed: int = 0) -> Batches:
    return prepare(spec, seed, CPU, files).batches


@pytest.mark.parametrize("tokens", ["characters", "bpe"])
def test_random_windows_begin_anywhere_the_same_from_memory_and_disk(
    tokens: str, keep: Keep, files: DatasetFolders
) -> None:
    dataset = keep(VERSE, {"kind": "text", "context": 8, "windows": "random", "tokens": {"kind": tokens}})
    spec = language_spec(dataset, 1000)
    memory, disk = (batches_of(spec, each) for each in (files, DatasetFolders(files.folder, 0)))
    assert (memory.on_disk, disk.on_disk) == (False, True)
    side_by_side = dataset.model_copy(update={"windows": "consecutive"})
    whole = batches_of(spec.model_copy(update={"dataset": side_by_side}), files)
    part = [*whole.x[:].flatten().tolist(), int(whole.y[:][-1, -1])]  # the tokens that windows side by side show
    seen = set()
    for step in range(1, 400):
        x, y = memory.batch(step)
        assert all(torch.equal(*pair) for pair in zip((x, y), disk.batch(step), strict=True))
        for first, inputs, targets in zip(memory.row_numbers(step).tolist(), x.tolist(), y.tolist(), strict=True):
            seen.add(first)
            if first + 9 <= len(part):
                assert (inputs, targets) == (part[first : first + 8], part[first + 1 : first + 9])
    assert isinstance(memory.x, ResidentWindows)
    assert seen <= set(range(memory.x.choices))
    assert len(seen) > 0.85 * memory.x.choices  # 1 - exp(-6384 / 2961) = 0.88
    assert torch.equal(memory.row_numbers(7), memory.copy().row_numbers(7))
    assert not torch.equal(memory.row_numbers(7), batches_of(spec, files, 1).row_numbers(7))


def test_a_run_on_random_windows_resumes_bit_for_bit_and_reads_ahead_without_effect(
    keep: Keep, files: DatasetFolders
) -> None:
    dataset = keep(VERSE, BYTE_PAIRS | {"windows": "random"})
    spec = language_spec(dataset, 12)
    assert (spec.rows_per_epoch % 16, spec.smallest_batch) == (0, 16)
    whole = [step.loss.item() for step in train(prepare(spec, 3, CPU, files))]
    on_disk = DatasetFolders(files.folder, 0)
    first, second = (prepare(spec, 3, CPU, on_disk) for _ in range(2))
    before = [step.loss.item() for step in islice(train(first), 5)]
    second.load(first.state())
    assert before + [step.loss.item() for step in train(second)] == whole


def test_drawn_windows_leave_no_full_batch_order_or_last_batch(keep: Keep) -> None:
    dataset = keep(POEM, {"kind": "text", "context": 8, "windows": "random"})
    spec = language_spec(dataset, 5, batch_size="full", shuffle=False, drop_last=True)
    assert [problem.pointer for problem in find_problems(spec)] == ["/batch_size", "/shuffle", "/drop_last"]
    assert find_problems(language_spec(dataset, 5)) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as nanoGPT's prepare.py writes it."""
    draw = np.random.RandomState(0)
    (made := tmp_path / "mounted" / "shakespeare").mkdir(parents=True)
    for name, count in (("train", 1001), ("val", 205)):
        draw.randint(0, 50, count).astype(np.uint16).tofile(made / f"{name}.bin")
    return tmp_path / "mounted"


def token_files(folder: Path, **fields: Any) -> TokenFiles:
    made = TokenFiles.model_validate({"path": "shakespeare", "vocabulary": 50, "context": 8} | fields)
    return made.model_copy(update={"resolved": describe(folder, made)})


def test_token_files_are_mapped_and_each_is_a_part(folder: Path) -> None:
    dataset = token_files(folder, bytes_per_token=4.5, windows="random")
    spec = language_spec(dataset, 3)
    assert find_problems(spec) == []
    assert (dataset.counts, dataset.validated) == ((125, 25, 0), True)
    files = DatasetFolders(mounted=folder)
    parts = split_language(dataset, files)
    for split, name in ((parts.train, "train"), (parts.validation, "val")):
        values = np.fromfile(folder / "shakespeare" / f"{name}.bin", np.uint16).astype(np.int64)
        x, y = read(split)
        assert isinstance(split.x, MappedWindows)
        assert isinstance(split.x.source, np.memmap)
        assert split.x.tokens.on_disk
        assert x.flatten().tolist() == values[: x.numel()].tolist()
        assert y.flatten().tolist() == values[1 : y.numel() + 1].tolist()
    assert parts.validation.bytes == 200 * 4.5
    steps = list(train(prepare(spec, 0, CPU, files)))
    measured = steps[-1].metrics or {}
    bits = float(measured["val/loss"]) / math.log(2) / 4.5
    assert float(measured["val/bits_per_byte"]) == pytest.approx(bits, rel=1e-6)
    (folder / "shakespeare" / "val.bin").write_bytes(bytes(410))
    with pytest.raises(RunFailure) as changed:
        split_language(dataset, files)
    assert changed.value.kind == "dataset_changed"


def test_token_files_that_cannot_be_trained_on_are_refused_by_field(folder: Path) -> None:
    def refused(**fields: Any) -> str:
        with pytest.raises(Invalid) as found:
            token_files(folder, **fields)
        return found.value.problems[0].pointer

    assert refused(path="nowhere") == "/dataset/path"
    assert refused(context=200) == "/dataset/context"
    with (folder / "shakespeare" / "val.bin").open("ab") as file:
        file.write(b"x")
    assert refused() == "/dataset/path"
    (folder / "shakespeare" / "val.bin").unlink()
    assert token_files(folder).counts == (125, 0, 0)
    training = prepare(language_spec(token_files(folder, vocabulary=40), 3), 0, CPU, DatasetFolders(mounted=folder))
    with pytest.raises(RunFailure, match="there is a token") as failed:
        list(train(training))
    assert failed.value.kind == "spec_cannot_build"  # a crash would be tried again


def test_tokens_of_files_are_written_as_their_numbers(folder: Path) -> None:
    probe = {"kind": "samples", "length": 3, "prompt": "7 1 2", "every_steps": 1}
    spec = language_spec(token_files(folder), steps=2, probes=(probe,), evaluate={"every_steps": 2})
    training = prepare(spec, 0, CPU, DatasetFolders(mounted=folder))
    list(train(training))
    (reading,) = training.probes.readings
    assert reading.data["prompt"] == "7 1 2 "
    words = reading.data["continuation"].split()
    assert len(words) == 3
    assert all(0 <= int(word) < spec.dataset.facts.vocabulary for word in words)
    assert training.codec is not None
    for text in ("the", "-1", str(spec.dataset.facts.vocabulary), "٣"):
        with pytest.raises(ValueError, match="is no token"):
            training.codec.encode(text)
