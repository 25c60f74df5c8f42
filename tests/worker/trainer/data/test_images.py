"""Images for a training: a textbook loader's bytes, decoded once; parts and classes as the files have them."""

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import RunFailure
from service.ingest import inspect_file, mounted
from service.spec.checks.experiment import find_problems
from service.spec.datasets.images import Images
from service.spec.experiment import Experiment
from tests.ingest.images.image_files import archive, class_files, encoded, hugging_face, picture
from worker.trainer.data import images as loader
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import load, split_dataset

PARTS = ("train/", "val/", "test/")
UPLOADS = ["dat_" + digit * 26 for digit in "01"]
REST = {
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 8,
    "steps": 3,
}


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets", mounted=tmp_path / "mounted")


def uploaded(files: DatasetFolders, path: Path, **fields: Any) -> Images:
    """A dataset on this file, stored as the API does and resolved as the server does."""
    assert files.folder is not None
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (files.folder / sha256).mkdir(parents=True, exist_ok=True)
    shutil.copy(path, files.folder / sha256 / "content")
    made = Images.model_validate({"kind": "images", "upload": "dat_" + "0" * 26, "size": 12, **fields})
    resolved, problems = made.resolve(inspect_file(path), sha256)
    assert problems == []
    return made.model_copy(update={"resolved": resolved})


def textbook(content: bytes) -> Any:
    """Resize(12) and CenterCrop(12), written out; the pictures are 14 high and wider."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width = 12 * image.width // image.height
    left = round((width - 12) / 2)
    small = image.resize((width, 12), Image.Resampling.BILINEAR).crop((left, 0, left + 12, 12))
    return np.asarray(small).transpose(2, 0, 1)


def in_folder(root: Path, content: dict[str, bytes]) -> None:
    for name, each in content.items():
        path = root / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each)


def in_table(root: Path, content: dict[str, bytes]) -> None:
    for part in PARTS:
        own = {name: each for name, each in content.items() if name.startswith(part)}
        hugging_face(root / "pets" / f"{part[:-1]}-00000-of-00001.parquet", own)


def test_an_archive_gives_a_textbook_loaders_bytes_in_its_own_parts(files: DatasetFolders, tmp_path: Path) -> None:
    content = class_files(6, PARTS)
    dataset = uploaded(files, archive(tmp_path / "pets.zip", content), validation=0.0)
    x, y = load(dataset, files)
    assert (x == np.stack([textbook(each) for each in content.values()])).all()
    assert y.tolist() == ([0] * 6 + [1] * 6) * 3
    parts = split_dataset(dataset, files)
    assert [len(part.y) for part in parts[:3]] == [12, 12, 12]
    assert isinstance(parts.validation.x, MappedRows)
    assert (parts.validation.x.raw(slice(None)) == x[12:24]).all()
    mean = x[:12].mean(axis=(0, 2, 3), keepdims=True)
    expected = (x[24:] - mean) / x[:12].std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(parts.test.x[:].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_table_gives_the_same_rows_as_an_archive(files: DatasetFolders, tmp_path: Path) -> None:
    content = class_files(12)
    of_archive = load(uploaded(files, archive(tmp_path / "pets.zip", content)), files)
    of_table = load(uploaded(files, hugging_face(tmp_path / "pets.parquet", content)), files)
    for one, other in zip(of_archive, of_table, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("write", [in_folder, in_table])
def test_a_mounted_folder_gives_the_same_rows(write: Callable[..., None], files: DatasetFolders) -> None:
    assert files.mounted is not None
    content = class_files(6, PARTS)
    write(files.mounted, content)
    data = {"kind": "image_folder", "path": "pets", "size": 12, "validation": 0.0}
    spec = mounted.resolve(files.mounted, Experiment.model_validate({"dataset": data, **REST}))
    assert find_problems(spec) == []
    assert spec.dataset.counts == (12, 12, 12)
    x, y = load(spec.dataset, files)
    assert (x == np.stack([textbook(each) for each in content.values()])).all()
    assert y.tolist() == ([0] * 6 + [1] * 6) * 3
    file = next(path for path in files.mounted.rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:40] + b"?" + file.read_bytes()[41:])
    with pytest.raises(RunFailure, match="changed"):
        load(spec.dataset, files)


def test_images_are_decoded_once(files: DatasetFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = uploaded(files, archive(tmp_path / "pets.zip", class_files(6)))
    first = load(dataset, files)
    monkeypatch.setattr(loader, "decode_image", None)
    again = load(dataset, DatasetFolders(files.folder, resident_bytes=0))
    assert isinstance(again[0], np.memmap)
    for one, other in zip(first, again, strict=True):
        assert (one == other).all()


def test_a_damaged_image_of_a_folder_is_named(files: DatasetFolders) -> None:
    assert files.mounted is not None
    content = class_files(6)
    content["dog/02.png"] = content["dog/02.png"][:-100]
    in_folder(files.mounted, content)
    data = {"kind": "image_folder", "path": "pets", "size": 12}
    spec = mounted.resolve(files.mounted, Experiment.model_validate({"dataset": data, **REST}))
    with pytest.raises(RunFailure, match=r"dog/02.png is damaged"):
        load(spec.dataset, files)


def test_given_means_and_deviations_scale_as_torchvisions_normalise(files: DatasetFolders, tmp_path: Path) -> None:
    given = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
    dataset = uploaded(files, archive(tmp_path / "pets.zip", class_files(6)), **given)
    part = split_dataset(dataset, files).train.x
    assert isinstance(part, MappedRows)
    mean, std = (np.array(each).reshape(-1, 1, 1) for each in given.values())
    np.testing.assert_allclose(part[:].numpy(), (part.raw(slice(None)) / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    assert [problem.pointer for problem in Images.problems(dataset.model_copy(update={"std": None}))] == ["/mean"]


@pytest.mark.parametrize("form", ["zip", "parquet"])
def test_files_of_their_own_are_the_parts_whatever_their_format_and_however_few_classes_they_have(
    form: str, files: DatasetFolders, tmp_path: Path
) -> None:
    content = class_files()
    ants = {f"ant/{row}.png": encoded(picture(row)) for row in range(5)}
    train = archive(tmp_path / "a.zip", content | ants)
    held_out = {name: each for name, each in content.items() if name.endswith(("1.png", "2.png"))}
    validation = (archive if form == "zip" else hugging_face)(tmp_path / f"b.{form}", held_out)
    if form == "parquet":  # its ClassLabel has the numbers of all classes
        train = archive(tmp_path / "a.zip", content)
    made = Images.model_validate(
        {"kind": "images", "upload": UPLOADS[0], "size": 12, "split": {"kind": "files", "validation": UPLOADS[1]}}
    )
    reports, hashes = (
        [inspect_file(path) for path in (train, validation)],
        [stored(files, p) for p in (train, validation)],
    )
    resolved, problems = made.resolve_files(reports, hashes)
    assert problems == []
    dataset = made.model_copy(update={"resolved": resolved, "validation": 0.0})
    assert [*dataset.problems()] == []
    assert dataset.counts == (29 if form == "zip" else 24, len(held_out), 0)
    splits = split_dataset(dataset, files)
    assert {*splits.validation.y.tolist()} == ({1, 2} if form == "zip" else {0, 1})  # by name: there is no ant
    images = {each.tobytes(): int(label) for each, label in zip(raw(splits.train), splits.train.y, strict=True)}
    for each, label in zip(raw(splits.validation), splits.validation.y, strict=True):
        assert images[each.tobytes()] == label
    assert splits.validation.numbers is not None
    assert splits.validation.numbers.tolist() == list(range(len(held_out)))


def raw(part: Any) -> Any:
    return part.x.raw(slice(None))


def stored(files: DatasetFolders, path: Path) -> str:
    assert files.folder is not None
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (files.folder / sha256).mkdir(parents=True, exist_ok=True)
    shutil.copy(path, files.folder / sha256 / "content")
    return sha256
