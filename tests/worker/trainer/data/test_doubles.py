"""Doubles that wait on the disk: what is trained on is what it is with all of them in memory, at half of the peak."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import RunFailure
from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.datasets.uploaded import Upload
from service.storage.uploads import FolderUploads
from tests.benchmarks.data import loading
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.doubles import column_file
from worker.trainer.data.doubles.column_file import ColumnFile
from worker.trainer.data.split import Splits, load, split_dataset

REGRESSION = {"kind": "upload", "upload": loading.UPLOAD, "predict": "y", "task": "regression", "test": 0.1}
LINEAR = {"model": {"kind": "linear"}, "loss": {"kind": "mse"}}
Store = Callable[..., tuple[Upload, DatasetFolders]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Store a file as the API does, and resolve a dataset on it as the server does."""

    def stored(write: Callable[[Path], None], **fields: Any) -> tuple[Upload, DatasetFolders]:
        write(tmp_path / "file")
        incoming = IncomingUpload(tmp_path / "datasets")
        incoming.write((tmp_path / "file").read_bytes())
        incoming.close()
        report = inspect_file(incoming.path)
        incoming.keep(FolderUploads(tmp_path / "datasets"))
        made = Upload.model_validate(REGRESSION | fields)
        resolved, problems = made.resolve(report, incoming.sha256)
        assert problems == []
        return made.model_copy(update={"resolved": resolved}), DatasetFolders(tmp_path / "datasets")

    return stored


def doubles(rows: int, *shape: int) -> Any:
    """Columns of several sizes, some far from 0 and one constant, in which float32 would lose digits."""
    draw = np.random.RandomState(0)
    x = draw.standard_normal((rows, *shape)) * 10 ** draw.uniform(-3, 3, shape) + 10 ** draw.uniform(-2, 9, shape)
    x.reshape(rows, -1)[:, -1] = 0.1
    return x


def both_ways(dataset: Upload, files: DatasetFolders, monkeypatch: pytest.MonkeyPatch) -> tuple[Splits, Splits]:
    """The splits with all doubles in memory, and those of doubles on the disk."""
    monkeypatch.setattr(column_file, "SPILLED_BYTES", 2**60)
    in_memory = split_dataset(dataset, files)
    monkeypatch.setattr(column_file, "SPILLED_BYTES", 0)
    assert isinstance(load(dataset, files)[0], ColumnFile)
    return in_memory, split_dataset(dataset, files)


def assert_equal(one: Splits, other: Splits) -> None:
    """To the last bit."""
    for part, again in zip(one[:3], other[:3], strict=True):
        assert (part.x.dtype, part.y.dtype) == (again.x.dtype, again.y.dtype) == (np.float32, np.float32)
        assert part.x.shape == again.x.shape
        assert part.x.tobytes() == again.x.tobytes()
        assert part.y.tobytes() == again.y.tobytes()
        assert np.array_equal(part.numbers, again.numbers)
    assert [*one.scales] == [*other.scales]
    for name, scale in one.scales.items():
        assert [each.tobytes() for each in scale] == [each.tobytes() for each in other.scales[name]]
        assert [each.shape for each in scale] == [each.shape for each in other.scales[name]]
    assert one.coarse == other.coarse
    assert (one.preparation is None) == (other.preparation is None)
    if one.preparation is not None and other.preparation is not None:
        assert one.preparation.as_json() == other.preparation.as_json()


@pytest.mark.parametrize("scaling", ["standardise", "minmax", "none"])
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (33,), (97,), (2, 3, 4)], ids=str)
def test_rows_and_scales_are_those_of_doubles_in_memory(
    shape: tuple[int, ...], scaling: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = doubles(3_000, *shape)
    target = np.random.RandomState(1).standard_normal(3_000) + 1e6
    dataset, files = store(lambda path: loading.npz(path, x, target), scaling=scaling, target_scaling=scaling)
    in_memory, on_disk = both_ways(dataset, files, monkeypatch)
    assert_equal(in_memory, on_disk)
    assert bool(on_disk.coarse.get("features")) == (scaling == "none" and shape != (1,))  # that one is constant


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_sums_of_several_blocks_of_rows_are_equal_too(
    columns: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = doubles(160_000, columns)
    x[:, 0] += np.random.RandomState(2).standard_normal(len(x))
    dataset, files = store(lambda path: loading.npz(path, x, np.arange(len(x)) / 7), folds=3)
    assert_equal(*both_ways(dataset, files, monkeypatch))


@pytest.mark.parametrize("scaling", ["standardise", "none"])
def test_prepared_rows_are_those_of_doubles_in_memory(
    scaling: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path) -> None:
        x = np.random.RandomState(0).standard_normal((2_000, 37)) ** 3
        names = ",".join(["city", *(f"c{at}" for at in range(x.shape[1])), "y"])
        rows = (
            f"{'Oslo' if at % 3 else 'Rome'},{','.join('' if at % 11 == 5 else repr(float(v)) for v in row)},{at / 7}"
            for at, row in enumerate(x)
        )
        path.write_text("\n".join([names, *rows]))

    steps = (
        {"kind": "impute", "strategy": "median", "indicator": True},
        {"kind": "power", "method": "yeo_johnson"},
        {"kind": "one_hot"},
    )
    dataset, files = store(write, scaling=scaling, prepare=steps)
    in_memory, on_disk = both_ways(dataset, files, monkeypatch)
    assert_equal(in_memory, on_disk)
    assert on_disk.train.x.shape[1] == 2 * 37 + 2


def test_a_full_disk_ends_the_run_for_good(tmp_path: Path) -> None:
    file = ColumnFile(tmp_path, (4, 2))
    with Path("/dev/full").open("r+b", buffering=0) as full:
        file._file = full
        with pytest.raises(RunFailure, match="No space left") as failure:
            file[0:4] = np.zeros((4, 2))
    assert failure.value.kind == "out_of_disk"


def test_small_arrays_and_those_without_room_on_the_disk_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ColumnFile.where_it_fits(tmp_path, (1_000, 2)) is None
    assert ColumnFile.where_it_fits(tmp_path, (2**40, 2)) is None
    assert ColumnFile.where_it_fits(None, (2**22, 2)) is None
    assert ColumnFile.where_it_fits(tmp_path, (2**22, 2)) is not None
    assert [*tmp_path.iterdir()] == []  # the file has no name


def peak_of(path: Path, dataset: Any, rest: Any) -> tuple[int, int, int]:
    """The values and rows of a file, and the bytes that loading it takes at most."""
    document = loading.in_process(loading.load, path, dataset, rest, path.parent / "store")
    values, rows, _, peak = loading.in_process(loading.peak, document, path.parent / "store")
    return values, rows, peak


PEAK = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of the resident memory")


@PEAK
@pytest.mark.parametrize(
    ("kind", "dataset"),
    [(np.float64, loading.REGRESSION), (np.float64, loading.PREPARED), (np.float32, loading.PREPARED)],
    ids=["doubles", "doubles, prepared", "float32, prepared"],
)
def test_the_peak_of_loading_is_one_and_a_half_of_what_is_trained_on(kind: Any, dataset: Any, tmp_path: Path) -> None:
    x = np.random.RandomState(0).standard_normal((32_000, 512)).astype(kind)
    loading.npz(tmp_path / "file.npz", x, x[:, 0])
    values, rows, peak = peak_of(tmp_path / "file.npz", dataset, LINEAR)
    assert (values, rows) == (x.size, len(x))
    assert peak < 1.5 * 4 * (values + rows)


@PEAK
def test_the_peak_of_images_to_augment_is_one_and_a_half_of_their_bytes(tmp_path: Path) -> None:
    x = np.random.RandomState(0).randint(0, 256, (40_000, 3, 32, 32)).astype(np.uint8)
    loading.npz(tmp_path / "file.npz", x, np.arange(len(x)) % 10)
    classes = loading.REGRESSION | {"task": "classification"}
    cropped = LINEAR | {"loss": {"kind": "cross_entropy"}, "augment": ({"kind": "crop", "padding": 4},)}
    values, _, peak = peak_of(tmp_path / "file.npz", classes, cropped)
    assert values == x.size
    assert peak < 1.5 * x.nbytes
