"""A mounted folder: what its headers say, which file is expected where, and that no name leads out of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service.errors import Invalid
from service.ingest import mounted
from service.spec.datasets.mounted import HuggingFace, TorchvisionSet
from service.spec.experiment import Experiment
from service.spec.parse.document import validate
from tests.ingest.mounted_files import cifar, dictionary, mnist, parquet, save_to_disk, table


def images(name: str) -> Any:
    return TorchvisionSet.model_validate({"kind": "torchvision", "name": name})


def hugging(**fields: Any) -> Any:
    given = {"kind": "huggingface", "path": "set", "predict": "label", "task": "classification"}
    return validate(HuggingFace, given | fields)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_the_headers_of_idx_files_say_rows_and_shape(name: str, packed: bool, tmp_path: Path) -> None:
    mnist(tmp_path, name, packed=packed)
    found = mounted.describe(tmp_path, images(name))
    assert (found.rows, found.test, found.shape, len(found.classes)) == (80, 20, (1, 28, 28), 10)


@pytest.mark.parametrize(("name", "labels", "rows"), [("CIFAR10", 1, (120, 20)), ("CIFAR100", 2, (40, 20))])
def test_the_sizes_of_cifars_binary_files_say_the_rows(
    name: str, labels: int, rows: tuple[int, int], tmp_path: Path
) -> None:
    cifar(tmp_path, labels)
    found = mounted.describe(tmp_path, images(name))
    assert ((found.rows, found.test), found.shape) == (rows, (3, 32, 32))


def problem(root: Path, wanted: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        mounted.describe(root, wanted)
    (found,) = caught.value.problems
    return found


def test_an_absent_set_is_answered_with_the_file_that_is_expected(tmp_path: Path) -> None:
    found = problem(tmp_path, images("FashionMNIST"))
    assert (found.pointer, found.code) == ("/dataset/name", "not_found")
    assert "FashionMNIST/raw/train-images-idx3-ubyte" in found.detail
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert "cifar-10-batches-bin/data_batch_1.bin" in problem(tmp_path, images("CIFAR10")).detail
    assert "pickle" in problem(tmp_path, images("CIFAR10")).detail


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_kind(path: Path) -> None:
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])


@pytest.mark.parametrize(("damage", "said"), [(cut, "its header says"), (other_kind, "no IDX file of bytes")])
def test_a_damaged_file_is_said_by_its_name(damage: Any, said: str, tmp_path: Path) -> None:
    mnist(tmp_path)
    damage(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte")
    found = problem(tmp_path, images("MNIST"))
    assert said in found.detail
    assert "train-images-idx3-ubyte" in found.detail
    cifar(tmp_path)
    cut(tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin")
    assert "data_batch_3.bin" in problem(tmp_path, images("CIFAR10")).detail


LAYOUTS: dict[str, Any] = {"save_to_disk": dictionary, "parquet": parquet}


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_the_schema_says_shape_and_classes_of_a_split(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "set")
    found = mounted.describe(tmp_path, hugging(features=["pixels"], test_split="test"))
    assert (found.rows, found.test, found.shape, found.classes) == (42, 12, (4, 3), ("cat", "dog", "owl"))
    values = mounted.describe(tmp_path, hugging(features=["x", "z"], predict="word"))
    assert (values.rows, values.test, values.shape, values.classes) == (30, 0, (2,), ("no", "yes"))
    again = mounted.describe(tmp_path, hugging(features=["x"], predict="z", task="regression"))
    assert (again.shape, again.classes) == ((1,), ())


def test_a_dataset_without_splits_and_without_features_is_read_by_its_schema(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "set", table(features=False).select(["x", "z", "label"]))
    found = mounted.describe(tmp_path, hugging())
    assert (found.rows, found.shape, found.classes) == (30, (2,), ("0", "1", "2"))


def test_the_index_of_a_pandas_frame_is_no_feature_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    frame = pd.DataFrame({"x": np.arange(20.0), "label": np.arange(20) % 2}).sort_values("label")
    frame.to_parquet(tmp_path / "set" / "train.parquet")
    found = mounted.describe(tmp_path, hugging())
    assert (found.shape, found.aside) == ((1,), ("__index_level_0__",))
    assert [w.code for w in hugging(resolved=found.model_dump()).warnings()] == ["left_aside"]
    assert mounted.describe(tmp_path, hugging(features=("x", "__index_level_0__"))).shape == (2,)


@pytest.mark.parametrize(
    ("fields", "pointer", "said"),
    [
        ({"split": "trian"}, "/dataset/split", "no split trian"),
        ({"test_split": "validation"}, "/dataset/test_split", "no split validation"),
        ({"path": "other"}, "/dataset/path", "no folder other"),
        ({"predict": "lable", "features": ["x"]}, "/dataset/predict", "no such column"),
        ({"features": ["x", "photo"]}, "/dataset/features/1", "Image"),
        ({"features": ["word"]}, "/dataset/features/0", "only numbers"),
        ({"features": ["x", "pixels"]}, "/dataset/features/1", "several values"),
        ({"features": ["x"], "predict": "word", "task": "regression"}, "/dataset/predict", "no number"),
    ],
)
def test_what_the_folder_has_not_is_answered_at_its_field(
    fields: dict[str, Any], pointer: str, said: str, tmp_path: Path
) -> None:
    dictionary(tmp_path / "set")
    found = problem(tmp_path, hugging(**fields))
    assert found.pointer == pointer
    assert said in found.detail


def test_a_name_that_was_misspelt_is_guessed(tmp_path: Path) -> None:
    dictionary(tmp_path / "set")
    assert problem(tmp_path, hugging(split="trian")).did_you_mean == "train"


@pytest.mark.parametrize("path", ["../set", "/etc", "a/../../b", ".hidden", "a//b", "a\\b", "", "a/b/c/d/e/f"])
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(Invalid) as caught:
        hugging(path=path)
    assert caught.value.problems[0].pointer == "/path"


def test_a_link_out_of_the_folder_and_a_file_named_out_of_it_are_not_followed(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    dictionary(secret)
    (root / "set").symlink_to(secret)
    assert problem(root, hugging(features=["x"])).pointer == "/dataset/path"
    save_to_disk(root / "other", table(), 1)
    state = root / "other" / "state.json"
    outside = {"_data_files": [{"filename": "../../secret/train/data-00000-of-00002.arrow"}]}
    state.write_text(json.dumps(outside))
    assert problem(root, hugging(path="other", features=["x"])).pointer == "/dataset/path"


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    mnist(tmp_path)
    before = mounted.describe(tmp_path, images("MNIST"))
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert mounted.describe(tmp_path, images("MNIST")).fingerprint != before.fingerprint


DOCUMENT: dict[str, Any] = {
    "dataset": {"kind": "torchvision", "name": "MNIST"},
    "model": {"kind": "mlp"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 5,
}


def test_a_server_with_the_folder_writes_what_it_found_and_believes_nothing_else(tmp_path: Path) -> None:
    mnist(tmp_path)
    spec = mounted.resolve(tmp_path, validate(Experiment, DOCUMENT))
    assert spec.dataset.counts == (48, 12, 20)
    assert mounted.resolve(tmp_path, spec) == spec
    other = spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"resolved": OTHER})})
    with pytest.raises(Invalid) as caught:
        mounted.resolve(tmp_path, other)
    assert caught.value.problems[0].pointer == "/dataset/resolved"


OTHER = mounted.FolderContents(fingerprint="0" * 64, rows=99, shape=(1, 28, 28))


def test_a_server_without_the_folder_takes_what_the_command_printed_on_a_worker(tmp_path: Path) -> None:
    mnist(tmp_path)
    with pytest.raises(Invalid) as caught:
        mounted.resolve(None, validate(Experiment, DOCUMENT))
    assert "SADDLE_DATASET_FOLDER" in caught.value.problems[0].detail
    command = [sys.executable, "-m", "service.ingest", str(tmp_path), json.dumps(DOCUMENT["dataset"])]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    spec = mounted.resolve(
        None, validate(Experiment, DOCUMENT | {"dataset": DOCUMENT["dataset"] | {"resolved": printed}})
    )
    assert spec == mounted.resolve(tmp_path, validate(Experiment, DOCUMENT))
