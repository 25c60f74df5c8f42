"""Augmented batches: torchvision's transforms, drawn for each image, from (seed, step) alone."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch.nn import functional

from service.ingest import mounted
from service.spec.augmentations import Augmentations
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from tests.ingest.mounted_files import cifar
from worker.trainer.augment.augment import Augment
from worker.trainer.augment.preview import augmented_samples
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import Training, prepare, train
from worker.trainer.optional_imports import import_optional
from worker.trainer.probes.inline import sanity_checks

CPU = torch.device("cpu")
IMAGES = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (32, 3, 12, 12)).astype(np.uint8))
LABELS = torch.arange(32) % 10
CROP = {"kind": "crop", "padding": 2}
FLIP = {"kind": "horizontal_flip"}
MIXUP = {"kind": "mixup"}
SINGLE: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "resized_crop": ({}, "RandomResizedCrop", {"size": (12, 12)}),
    "rotation": ({"degrees": 20.0}, "RandomRotation", {"degrees": 20.0}),
    "affine": ({"degrees": 5.0, "shear": 8.0}, "RandomAffine", {"degrees": 5.0, "shear": 8.0}),
    "color_jitter": ({"hue": 0.2}, "ColorJitter", {"hue": 0.2}),
    "gaussian_blur": ({"kernel_size": 3}, "GaussianBlur", {"kernel_size": 3}),
    "erasing": ({}, "RandomErasing", {}),
    "rand_augment": ({}, "RandAugment", {}),
    "trivial_augment": ({}, "TrivialAugmentWide", {}),
}


def spec_of(root: Path, *augment: dict[str, Any], **more: Any) -> Experiment:
    document = {
        "dataset": {"kind": "torchvision", "name": "CIFAR10"},
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "batch_size": 16,
        "steps": 8,
        "augment": augment,
    }
    spec = mounted.resolve(root, Experiment.model_validate(document | more))
    return spec


def augmentation(*parts: dict[str, Any]) -> Augment:
    return Augment(TypeAdapter(Augmentations).validate_python(parts), 10, (12, 12), None, seed=3)


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    files = DatasetFolders(tmp_path / "datasets", mounted=tmp_path / "mounted")
    cifar(tmp_path / "mounted", 1, 20)
    return files


@pytest.mark.parametrize("kind", SINGLE)
def test_torchvisions_transforms_are_applied_image_by_image(kind: str) -> None:
    fields, name, arguments = SINGLE[kind]
    augment = augmentation({"kind": kind, **fields})
    found, _ = augment.bytes_of(5, IMAGES, LABELS)
    theirs = getattr(import_optional("torchvision.transforms.v2", "vision"), name)(**arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(3, 5))
        expected = torch.stack([theirs(image) for image in IMAGES])
    assert found.dtype == torch.uint8
    assert (found == expected).all()
    assert (found != IMAGES).any()


def _seed(seed: int, step: int) -> int:

    return int.from_bytes(hashlib.sha256(f"augment:{seed}:{step}".encode()).digest()[:8], "big") >> 1


@pytest.mark.parametrize(("kind", "dim"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_each_image_is_flipped_or_not(kind: str, dim: int) -> None:
    found, _ = augmentation({"kind": kind}).bytes_of(1, IMAGES, LABELS)
    flipped = [bool((one == image.flip(dim)).all()) for one, image in zip(found, IMAGES, strict=True)]
    kept = [bool((one == image).all()) for one, image in zip(found, IMAGES, strict=True)]
    assert [a != b for a, b in zip(flipped, kept, strict=True)] == [True] * 32
    assert 4 < sum(flipped) < 28


def test_each_crop_is_a_window_of_the_padded_image() -> None:
    found, _ = augmentation(CROP).bytes_of(1, IMAGES, LABELS)
    padded, places = functional.pad(IMAGES, (2,) * 4), set()
    for image, one in zip(padded, found, strict=True):
        at = [(t, s) for t in range(5) for s in range(5) if (image[:, t : t + 12, s : s + 12] == one).all()]
        assert len(at) == 1
        places |= {*at}
    assert len(places) > 10
    assert {place[0] for place in places} == {place[1] for place in places} == set(range(5))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_classes_are_the_share_of_each_image(kind: str) -> None:
    labels = torch.arange(2)
    images = torch.stack([torch.full((3, 12, 12), value, dtype=torch.uint8) for value in (0, 200)])
    seen = set()
    for step in range(1, 40):
        found, y = augmentation({"kind": kind}).bytes_of(step, images, labels)
        assert torch.allclose(y.sum(1), torch.ones(2))
        share = found.float().mean(dim=(1, 2, 3)) / 200
        assert torch.allclose(share, y[:, 1], atol=0.004)
        seen.add(round(float(share[0]), 2))
    assert len(seen) > 3


def test_the_trainings_own_random_numbers_and_its_bytes_are_untouched(files: DatasetFolders) -> None:
    assert files.mounted is not None
    training = prepare(spec_of(files.mounted, FLIP, MIXUP), 0, CPU, files)
    state = torch.get_rng_state()
    training.batches.batch(3)
    assert (torch.get_rng_state() == state).all()
    raw = split_dataset(training.spec.dataset, files).train.x
    stored, _ = training.batches.stored(torch.arange(len(raw)))
    assert (stored.numpy() == raw.raw(slice(None))).all()  # type: ignore[union-attr]


def test_images_to_validate_on_stay_bytes_beside_augmented_ones_and_measure_the_same(files: DatasetFolders) -> None:
    assert files.mounted is not None
    plain, augmented = (prepare(spec_of(files.mounted, *each), 0, CPU, files) for each in ((), (FLIP,)))
    assert plain.validation is not None
    assert augmented.validation is not None
    assert isinstance(augmented.validation.x, MappedRows)
    assert augmented.validation.x.source.dtype == np.uint8
    found, expected = (each.validation.measure(each.model, each.criterion) for each in (augmented, plain))  # type: ignore[union-attr]
    assert {name: float(value) for name, value in found.items()} == {n: float(value) for n, value in expected.items()}


def test_images_in_two_parts_are_counted_where_they_are_augmented_too(files: DatasetFolders) -> None:
    assert files.mounted is not None
    for path in files.mounted.rglob("*.bin"):  # one image of each class
        rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 1 + 3 * 32 * 32).copy()
        rows[:, 1:] = rows[:, :1]
        path.write_bytes(rows.tobytes())
    for augment in ((), (FLIP,)):
        training = prepare(spec_of(files.mounted, *augment), 0, CPU, files)
        counted = sanity_checks.equal_rows(training)
        assert counted["equal_validation_rows"] == counted["validation_rows"] > 0
        assert counted["equal_test_rows"] == counted["test_rows"] > 0


def losses(training: Training, last: int) -> list[float]:
    found = []
    for step in train(training):
        found.append(float(step.loss))
        if step.step == last:
            break
    return found


def test_a_resumed_run_sees_the_same_images(files: DatasetFolders) -> None:
    assert files.mounted is not None
    spec = spec_of(files.mounted, CROP, FLIP, {"kind": "color_jitter", "hue": 0.1}, MIXUP, {"kind": "cutmix"})
    assert find_problems(spec) == []
    whole = losses(prepare(spec, 0, CPU, files), 8)
    first = prepare(spec, 0, CPU, files)
    begun, state = losses(first, 4), first.state()
    torch.rand(100)
    other = prepare(spec, 0, CPU, files)
    other.load(state)
    assert begun + losses(other, 8) == whole
    assert losses(prepare(spec_of(files.mounted), 0, CPU, files), 8) != whole


def test_a_plain_loop_with_the_same_batches_has_the_same_losses(files: DatasetFolders) -> None:
    assert files.mounted is not None
    spec = spec_of(files.mounted, CROP, FLIP)
    found = losses(prepare(spec, 0, CPU, files), 8)
    training = prepare(spec, 0, CPU, files)
    model, expected = training.model, []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(1, 9):
        x, y = training.batches.batch(step)
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        expected.append(float(loss.detach()))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "augment", "pointer"),
    [
        ({"dataset": {"kind": "digits"}}, FLIP, "/augment/0"),
        ({"loss": {"kind": "softmax_mse"}}, MIXUP, "/augment/0"),
        ({}, {"kind": "crop", "padding": 40}, "/augment/0/padding"),
        ({}, {"kind": "resized_crop", "scale": (0.9, 0.1)}, "/augment/0/scale"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, Any], augment: dict[str, Any], pointer: str, files: DatasetFolders
) -> None:
    assert files.mounted is not None
    found = find_problems(spec_of(files.mounted, augment, **changes))
    assert [problem.pointer for problem in found] == [pointer]


def test_a_preview_shows_the_images_as_they_are_and_as_drawn(files: DatasetFolders) -> None:
    assert files.mounted is not None
    training = prepare(spec_of(files.mounted, FLIP), 0, CPU, files)
    assert training.augment is not None
    found = augmented_samples(training.batches, training.augment)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["png"]))))
    assert picture.shape == (4 * 32, 8 * 32, 3)
    images, _ = training.batches.stored(training.batches.row_numbers(1)[:8])
    assert (picture[:32] == torch.cat(list(images), dim=-1).permute(1, 2, 0).numpy()).all()
    assert len(found["png"]) < 250_000
    drawn = picture[32:64].reshape(32, 8, 32, 3).transpose(1, 0, 2, 3)
    for one, image in zip(drawn, images.permute(0, 2, 3, 1).numpy(), strict=True):
        assert (one == image).all() or (one == image[:, ::-1]).all()
