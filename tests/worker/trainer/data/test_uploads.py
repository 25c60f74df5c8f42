"""Uploaded rows: what a worker trains on is what was uploaded, from memory and from disk alike, or it says why not."""

import io
import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import RunFailure
from service.ingest import csv, inspect_file
from service.ingest.splits.random_rows import stratified_indices
from service.ingest.upload_files import IncomingUpload
from service.lifecycle import PERMANENT
from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.storage.uploads import FolderUploads
from worker.protocol import Ended, Frame, Stop, TrainRequest
from worker.trainer.checkpoints import checkpoint
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.scaling import Scale, apply_scale, fit_scale, releasable
from worker.trainer.data.split import load, split_dataset
from worker.trainer.failures import REUSABLE_AFTER
from worker.trainer.loop import prepare, train
from worker.trainer.requests import run_request

ID = "dat_" + "0" * 26
CPU = torch.device("cpu")
Keep = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets")


@pytest.fixture
def keep(files: DatasetFolders) -> Keep:
    """Store a file as the API does, and resolve a dataset on it as the server does."""

    def kept(content: bytes, dataset: dict[str, Any], declared: Any = None) -> Any:
        assert files.folder is not None
        incoming = IncomingUpload(files.folder)
        incoming.write(content)
        incoming.close()
        report = inspect_file(incoming.path, declared)
        incoming.keep(FolderUploads(files.folder))
        made = Upload.model_validate(dataset | {"upload": ID})
        resolved, problems = made.resolve(report, incoming.sha256)
        assert problems == []
        return made.model_copy(update={"resolved": resolved})

    return kept


def numbers(rows: int = 200, columns: int = 5) -> Any:
    """A table of doubles whose float32 text is exact, and a class and a value to predict."""
    draw = np.random.RandomState(0)
    x = (draw.standard_normal((rows, columns)) * np.arange(1, columns + 1)).astype(np.float32)
    return x, np.array(["no", "yes", "maybe"])[draw.randint(3, size=rows)], x.sum(axis=1)


def as_csv(x: Any, word: Any, value: Any) -> bytes:
    lines = [",".join([*(f"x{i}" for i in range(x.shape[1])), "word", "value"])]
    for row, label, total in zip(x, word, value, strict=True):
        lines.append(",".join([*(repr(float(v)) for v in row), str(label), repr(float(total))]))
    return "\n".join(lines).encode()


def as_parquet(x: Any, word: Any, value: Any) -> bytes:
    sink = pa.BufferOutputStream()
    columns = {f"x{i}": x[:, i] for i in range(x.shape[1])} | {"word": word, "value": value}
    pq.write_table(pa.table(columns), sink, row_group_size=50)
    found: bytes = sink.getvalue().to_pybytes()
    return found


FEATURES = tuple(f"x{i}" for i in range(5))
CLASSES = {"kind": "upload", "predict": "word", "features": FEATURES, "task": "classification"}
VALUES = {"kind": "upload", "predict": "value", "features": FEATURES, "task": "regression"}


@pytest.mark.parametrize("write", [as_csv, as_parquet])
def test_a_table_comes_back_to_the_last_bit(write: Any, keep: Keep, files: DatasetFolders) -> None:
    x, word, value = numbers()
    classified, regressed = keep(write(x, word, value), CLASSES), keep(write(x, word, value), VALUES)
    found, labels = load(classified, files)
    assert (found == x).all()
    assert labels.dtype == np.int64
    assert [classified.resolved.classes[label] for label in labels] == word.tolist()
    assert classified.facts.classes == 3
    assert (load(regressed, files)[1] == value).all()


TIMES = 1_700_000_000 + np.arange(60)  # float32 has one number every 128 there
OF_TIMES: dict[str, Callable[[Any, Any], bytes]] = {
    "csv": lambda t, y: ("t,y\n" + "".join(f"{a},{b}\n" for a, b in zip(t, y, strict=True))).encode(),
    "jsonl": lambda t, y: "".join(f'{{"t": {a}, "y": {b}}}\n' for a, b in zip(t, y, strict=True)).encode(),
    "int64": lambda t, y: parquet_of(pa.table({"t": t, "y": y})),
    "decimal": lambda t, y: parquet_of(pa.table({"t": pa.array(t).cast(pa.decimal128(21, 2)), "y": y})),
    "npz": lambda t, y: npz_of(t=t.astype(np.float64), y=y),
}


def parquet_of(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def npz_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("resident_bytes", [2**30, 0])
@pytest.mark.parametrize("write", OF_TIMES.values(), ids=OF_TIMES)
def test_features_and_targets_far_from_zero_lose_no_digit(
    write: Any, resident_bytes: int, keep: Keep, files: DatasetFolders
) -> None:
    dataset = keep(write(TIMES, TIMES[::-1]), {"kind": "upload", "predict": "y", "task": "regression"})
    train = split_dataset(dataset, DatasetFolders(files.folder, resident_bytes)).train
    x = train.x[:] if isinstance(train.x, MappedRows) else torch.from_numpy(train.x)
    assert x.dtype == torch.float32
    assert len(x[:, 0].unique()) == len(x)
    assert np.abs(x[:, 0].numpy() + train.y).max() < 1e-6  # standardised, one is the other's negative
    assert x[:, 0].double().std(correction=0) == pytest.approx(1.0, abs=1e-6)


def test_the_start_reading_counts_unscaled_columns_that_lose_digits(keep: Keep, files: DatasetFolders) -> None:
    data = {"kind": "upload", "predict": "y", "task": "regression", "scaling": "none", "target_scaling": "none"}
    dataset = keep(OF_TIMES["int64"](TIMES, np.arange(60)), data)
    assert dataset.resolved.coarse == ("t",)
    document = {"dataset": dataset.model_dump(), "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 1}
    spec = Experiment.model_validate(document | {"optimizer": {"kind": "sgd"}, "probes": ({"kind": "start"},)})
    assert spec.hash == spec.model_copy(update={"dataset": without_remarks(dataset)}).hash
    training = prepare(spec, 0, CPU, files)
    next(iter(train(training)))
    (told,) = training.probes.readings
    assert (told.data["coarse_features"], told.data["coarse_target"]) == (1, 0)


def without_remarks(dataset: Any) -> Any:
    return dataset.model_copy(update={"resolved": dataset.resolved.model_copy(update={"coarse": ()})})


def test_classes_that_are_numbers_are_in_order_however_they_are_spelt(keep: Keep, files: DatasetFolders) -> None:
    cells = ["10", "2", "2.0", "10.00", " 1", "1e0", "2e0"] * 3
    dataset = keep(
        ("a,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))).encode(),
        {"kind": "upload", "predict": "y", "task": "classification"},
    )
    assert dataset.resolved.classes == ("1", "2", "10")
    assert load(dataset, files)[1].tolist() == [2, 1, 1, 2, 0, 0, 1] * 3


def test_booleans_are_features_and_classes(keep: Keep, files: DatasetFolders) -> None:
    rows = "".join(f'{{"yes": {str(i % 3 == 0).lower()}, "x": {i}}}\n' for i in range(12)).encode()
    dataset = keep(rows, {"kind": "upload", "predict": "yes", "task": "classification"})
    assert dataset.resolved.classes == ("false", "true")
    assert load(dataset, files)[1].tolist() == [1, 0, 0] * 4
    other = keep(rows, {"kind": "upload", "predict": "x", "task": "regression"})
    assert load(other, files)[0][:4, 0].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_an_array_of_images_keeps_its_shape(keep: Keep, files: DatasetFolders, tmp_path: Path) -> None:
    x = np.random.RandomState(0).standard_normal((30, 1, 4, 4)).astype(np.float32)
    path = tmp_path / "images.npz"
    np.savez(path, x=x, y=np.arange(30) % 3)
    dataset = keep(path.read_bytes(), {"kind": "upload", "predict": "y", "task": "classification"})
    assert dataset.facts.shape == (1, 4, 4)
    assert (load(dataset, files)[0] == x).all()


@pytest.mark.parametrize("scaling", ["standardise", "none"])
def test_loading_an_upload_peaks_at_its_own_size_and_a_half_at_most(
    scaling: str, keep: Keep, files: DatasetFolders
) -> None:
    x = np.random.RandomState(0).standard_normal((16_000, 1024)).astype(np.float32)
    classes = {"kind": "upload", "predict": "y", "task": "classification", "scaling": scaling, "test": 0.1}
    dataset = keep(npz_of(x=x, y=np.arange(16_000) % 3), classes)
    tracemalloc.start()
    try:
        splits = split_dataset(dataset, files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * x.nbytes
    assert sum(part.x.nbytes for part in splits[:3]) == x.nbytes
    labels = load(dataset, files)[1]
    chosen = stratified_indices(labels, dataset.counts, dataset.split_seed, 3)
    scale = splits.scales.get("features")
    for part, rows in zip(splits[:3], chosen, strict=True):
        assert np.array_equal(part.x, x[rows] if scale is None else scale.apply(x[rows]))
        assert np.array_equal(part.y, labels[rows])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
def test_doubles_are_given_back_while_they_are_narrowed() -> None:
    doubles = releasable((8_000, 1024), np.dtype(np.float64))
    doubles[:] = np.arange(8_000)[:, None]
    before = resident_bytes()
    scale = Scale(np.zeros(1024), np.full(1024, 2.0))
    parts = [apply_scale(scale, part) for part in (doubles[:6_001], doubles[6_001:])]
    assert resident_bytes() - before < -0.9 * sum(part.nbytes for part in parts)  # 65 MB gone, 33 MB made
    assert np.array_equal(np.concatenate(parts)[:, 7], np.arange(8_000, dtype=np.float32) / 2)


def table_with(cells: dict[int, str], rows: int = 40_000) -> bytes:
    """A CSV file of several small blocks: numbers, a text and a class; some cells of the column x are as given."""
    lines = (
        f"{cells.get(row, f'{row}.25')},{-row}.5,{'red' if row % 3 else 'blue'},{row % 2:02},{row * 3}"
        for row in range(rows)
    )
    return ("x,z,colour,code,value\n" + "\n".join(lines)).encode()


@pytest.mark.parametrize(
    ("cells", "plain"),
    [
        ({}, True),
        ({7: "NA", 39_000: ""}, True),  # missing words are known to the reader
        ({39_000: '"1e3"', 3: " 5 "}, True),
        ({39_999: '"NA"'}, False),
        ({39_999: '"' + " " * 2**21 + '1"'}, False),  # a row that is longer than a small block
    ],
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_small_blocks_of_a_csv_give_the_rows_that_large_ones_give(
    cells: dict[int, str], plain: bool, task: str, keep: Keep, files: DatasetFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"kind": "upload", "predict": "code" if task == "classification" else "value", "task": task}
    dataset = keep(table_with(cells), chosen | {"prepare": ({"kind": "impute"}, {"kind": "one_hot"})})
    refused: list[bool] = []
    read = csv.read_plain_batches

    def watched(*arguments: Any) -> Any:
        try:
            yield from read(*arguments)
        except csv.NotPlainError:
            refused.append(True)
            raise

    monkeypatch.setattr("service.ingest.rows.read_plain_batches", watched)
    x, y = load(dataset, files)
    assert bool(refused) is not plain
    monkeypatch.setattr("service.ingest.rows.read_plain_batches", always_refuse)
    whole_x, whole_y = load(dataset, files)
    assert np.array_equal(x, whole_x, equal_nan=True)
    assert np.array_equal(y, whole_y)
    assert x.dtype == whole_x.dtype


def always_refuse(*_: Any) -> Any:
    raise csv.NotPlainError


def test_thousands_separators_are_read_by_the_whole_column(keep: Keep, files: DatasetFolders) -> None:
    cells = dict.fromkeys(range(40000), "2.000") | {39_999: '"1.234,56"'}
    dataset = keep(
        table_with(cells), {"kind": "upload", "predict": "value", "task": "regression", "features": ("x", "z")}
    )
    assert load(dataset, files)[0][0, 0] == 2000


def test_a_mean_over_pieces_is_numpys_over_the_whole_block_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.trainer.data.scaling.PIECE_BYTES", 1000)
    x = (np.random.RandomState(1).standard_normal((999, 2, 5)) * 1e3).astype(np.float32)
    scale = fit_scale("standardise", x.__getitem__, len(x))
    assert scale is not None
    wide = x.astype(np.float64)
    mean = wide.sum(axis=0) / len(x)
    assert np.array_equal(scale.shift, mean)
    assert np.array_equal(scale.divisor, np.sqrt(np.square(wide - mean).sum(axis=0) / len(x)))


@pytest.mark.parametrize("scaling", ["standardise", "minmax", "none"])
@pytest.mark.parametrize("write", [as_csv, as_parquet])
def test_rows_on_disk_train_to_the_same_bits_as_rows_in_memory(
    write: Any, scaling: str, keep: Keep, files: DatasetFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.trainer.data.scaling.BLOCK_ROWS", 37)  # several blocks, for both
    dataset = keep(write(*numbers()), VALUES | {"scaling": scaling, "test": 0.1})
    model = {"kind": "mlp", "hidden": (8,), "dropout": 0.2, "norm": "batch"}
    spec = Experiment.model_validate(
        {"dataset": dataset.model_dump(), "model": model, "loss": {"kind": "mse"}, "optimizer": {"kind": "adam"}}
        | {"steps": 30}
    )
    on_disk = DatasetFolders(files.folder, resident_bytes=100)
    assert isinstance(split_dataset(spec.dataset, on_disk).train.x, MappedRows)
    resident = prepare(spec, 3, CPU, files)
    in_memory = list(train(resident))
    mapped = prepare(spec, 3, CPU, on_disk)  # only now: both draw their dropout from the one generator
    assert resident.scales == mapped.scales
    for ours, theirs in zip(in_memory, train(mapped), strict=True):
        assert torch.equal(ours.loss, theirs.loss)
        assert {k: float(v) for k, v in (ours.metrics or {}).items()} == {
            k: float(v) for k, v in (theirs.metrics or {}).items()
        }
    for name, parameter in resident.model.state_dict().items():
        assert torch.equal(parameter, mapped.model.state_dict()[name])


def test_a_full_batch_of_rows_on_disk_is_all_of_them(keep: Keep, files: DatasetFolders) -> None:
    dataset = keep(as_csv(*numbers()), VALUES)
    document = {"dataset": dataset.model_dump(), "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 3}
    spec = Experiment.model_validate(document | {"optimizer": {"kind": "sgd"}, "batch_size": "full"})
    runs = [train(prepare(spec, 0, CPU, each)) for each in (files, DatasetFolders(files.folder, 0))]
    assert [s.loss.item() for s in runs[0]] == [s.loss.item() for s in runs[1]]


def test_the_unpacked_rows_are_written_once_and_leave_nothing_half_done(keep: Keep, files: DatasetFolders) -> None:
    dataset, on_disk = keep(as_csv(*numbers()), VALUES), DatasetFolders(files.folder, 0)
    load(dataset, on_disk)
    (folder,) = (files.folder / dataset.resolved.sha256).glob("rows-*")  # type: ignore[operator]
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.name for path in written} == {"x.npy", "y.npy"}
    load(dataset, on_disk)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written
    assert not list(folder.parent.glob(".rows-*"))


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("scaling", ["standardise", "minmax"])
def test_scaling_knows_the_training_rows_alone(scaling: Any, data: Any) -> None:
    rows = data.draw(st.integers(2, 40))
    finite = st.floats(-1e6, 1e6, width=32)
    train_x = np.array(data.draw(st.lists(finite, min_size=rows, max_size=rows)), np.float32)[:, None]
    scale = fit_scale(scaling, train_x.__getitem__, rows)
    assert scale is not None
    scaled = scale.apply(train_x)
    if scaling == "minmax":
        assert (scaled >= 0).all()
        assert (scaled <= 1).all()
    wide = train_x.astype(np.float64)
    centre = wide.mean() if scaling == "standardise" else wide.min()
    spread = wide.std() if scaling == "standardise" else np.ptp(wide)
    expected = (wide - centre) / (spread if np.ptp(wide) else 1.0)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)


def test_other_rows_than_the_training_ones_do_not_change_the_scale(keep: Keep, files: DatasetFolders) -> None:
    x, word, value = numbers()
    plain = keep(as_csv(x, word, value), VALUES | {"test": 0.2})
    held_out = np.setdiff1d(np.arange(200), split_rows(plain, files))
    x[held_out] *= 1000
    changed = keep(as_csv(x, word, value), VALUES | {"test": 0.2})
    before, after = split_dataset(plain, files).scales["features"], split_dataset(changed, files).scales["features"]
    assert before.as_json() == after.as_json()


def split_rows(dataset: Any, files: DatasetFolders) -> Any:
    """Which rows train, found again by their values."""
    raw = split_dataset(dataset.model_copy(update={"scaling": "none", "target_scaling": "none"}), files).train.y
    return np.flatnonzero(np.isin(load(dataset, files)[1], raw))


def test_the_scales_are_kept_with_the_checkpoint(keep: Keep, files: DatasetFolders, tmp_path: Path) -> None:
    dataset = keep(as_csv(*numbers()), VALUES)
    document = {"dataset": dataset.model_dump(), "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 1}
    training = prepare(Experiment.model_validate(document | {"optimizer": {"kind": "sgd"}}), 0, CPU, files)
    saved = checkpoint.save(tmp_path / "run", training, {"environment": {}, "scales": training.scales})
    found = checkpoint.load(saved.folder, saved.sha256, training)
    parts = split_dataset(dataset, files)
    assert found["scales"] == {name: scale.as_json() for name, scale in parts.scales.items()}
    assert set(found["scales"]) == {"features", "target"}


def test_a_file_that_is_gone_or_changed_is_a_failure_of_its_own(keep: Keep, files: DatasetFolders) -> None:
    dataset = keep(as_csv(*numbers()), VALUES)
    assert files.folder is not None
    content = files.folder / dataset.resolved.sha256 / "content"
    content.write_bytes(content.read_bytes() + b"\n")
    with pytest.raises(RunFailure) as changed:
        load(dataset, files)
    content.unlink()
    with pytest.raises(RunFailure) as gone:
        load(dataset, files)
    with pytest.raises(RunFailure) as nowhere:
        load(dataset, DatasetFolders())
    assert [error.value.kind for error in (changed, gone, nowhere)] == ["dataset_changed", *["dataset_missing"] * 2]


class Listening:
    """The other side of a session: keeps what it is told."""

    stop: Stop | None = None

    def __init__(self) -> None:
        self.received: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.received.append(frame)


def test_a_session_finds_uploads_where_its_request_says_and_fails_for_good_without(
    keep: Keep, files: DatasetFolders, tmp_path: Path
) -> None:
    dataset = keep(as_csv(*numbers()), CLASSES)
    document = {"dataset": dataset.model_dump(mode="json"), "model": {"kind": "linear"}, "steps": 4}
    loss, optimizer = {"kind": "cross_entropy"}, {"kind": "sgd", "lr": 0.1}
    spec = document | {"loss": loss, "optimizer": optimizer}
    order: dict[str, Any] = {
        "spec": spec,
        "seed": 0,
        "threads": 1,
        "flush_s": 1.0,
        "checkpoint_s": 60.0,
        "folder": str(tmp_path / "run"),
    }
    found, lost = order | {"datasets": str(files.folder)}, order | {"datasets": str(tmp_path / "elsewhere")}
    for resident_bytes in (2**30, 0):
        listening = Listening()
        run_request(TrainRequest(**found, resident_bytes=resident_bytes), CPU, listening)
        assert isinstance(listening.received[-1], Ended)
        assert listening.received[-1].outcome == "succeeded"
    with pytest.raises(RunFailure) as failed:
        run_request(TrainRequest(**lost, resident_bytes=0), CPU, Listening())
    assert failed.value.kind == "dataset_missing"
    assert {"dataset_missing", "dataset_changed"} <= PERMANENT & REUSABLE_AFTER


@pytest.mark.parametrize("resident", [10**9, 0], ids=["in memory", "on disk"])
@pytest.mark.parametrize("scaling", ["standardise", "none"])
def test_fp64_keeps_every_digit_of_the_rows(
    scaling: str, resident: int, keep: Keep, files: DatasetFolders, experiment: Any
) -> None:
    """A column that varies by one part in 10^9 of its size, which float32 cannot resolve."""
    t = 1e9 + np.arange(40.0)
    table = "t,y\n" + "".join(f"{value:.1f},{value % 7}\n" for value in t)
    dataset = keep(table.encode(), {"kind": "upload", "predict": "y", "task": "regression", "scaling": scaling})
    spec = experiment(dataset=dataset, loss={"kind": "mse"}, precision="fp64", steps=2)
    training = prepare(spec, 0, CPU, DatasetFolders(files.folder, resident))
    x = training.batches.x[:]
    assert x.dtype == torch.float64
    plain = np.sort(x.numpy().ravel())
    assert np.diff(plain).min() > 0
    if scaling == "none":
        assert set(plain) <= set(t)
    assert [each.code for each in find_warnings(spec)].count("loses_digits") == 0
    single = find_warnings(spec.model_copy(update={"precision": "fp32"}))
    assert [each.code for each in single].count("loses_digits") == (scaling == "none")
    losses = [step.loss for step in train(training)]
    assert {loss.dtype for loss in losses} == {torch.float64}


XOR = b"a,b,word\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n"
TWO = b"a,b,value\n0,1,1\n1,0,3\n"


@pytest.mark.parametrize(
    ("content", "dataset", "loss"),
    [
        (XOR, CLASSES | {"features": ("a", "b"), "validation": 0.0}, "cross_entropy"),
        (XOR, CLASSES | {"features": ("a", "b"), "validation": 0.5}, "cross_entropy"),
        (TWO, VALUES | {"features": ("a", "b")}, "mse"),
    ],
    ids=["four rows", "four rows in two parts", "two rows"],
)
def test_a_table_of_a_few_rows_trains(
    content: bytes, dataset: Any, loss: str, keep: Keep, files: DatasetFolders
) -> None:
    spec = Experiment.model_validate(
        {
            "dataset": keep(content, dataset),
            "model": {"kind": "mlp", "hidden": (4,)},
            "loss": {"kind": loss},
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "batch_size": "full",
            "steps": 20,
        }
    )
    assert find_problems(spec) == []
    losses = [float(step.loss) for step in train(prepare(spec, 0, CPU, files))]
    assert losses[-1] < losses[0]
