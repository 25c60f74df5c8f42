"""Small files in the true formats of mounted datasets: IDX, CIFAR's binary version, Arrow streams, Parquet."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def idx(values: Any) -> bytes:
    """LeCun's format."""
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


def mnist(root: Path, name: str = "MNIST", train: int = 60, test: int = 20, packed: bool = False) -> tuple[Any, Any]:
    """The four files, and what is in them."""
    draw = np.random.RandomState(0)
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    x, y = draw.randint(256, size=(train + test, 28, 28)), np.arange(train + test) % 10
    for prefix, rows in (("train", slice(0, train)), ("t10k", slice(train, None))):
        for middle, values in (("images-idx3", x[rows]), ("labels-idx1", y[rows])):
            path = folder / f"{prefix}-{middle}-ubyte"
            if packed:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(values)))
            else:
                path.write_bytes(idx(values))
    return x, y


def cifar(root: Path, labels: int = 1, each: int = 20) -> tuple[Any, Any]:
    """The binary version: 10 classes in six files, or 100 in two."""
    draw = np.random.RandomState(0)
    names = (
        [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"] if labels == 1 else ["train.bin", "test.bin"]
    )
    folder = root / ("cifar-10-batches-bin" if labels == 1 else "cifar-100-binary")
    folder.mkdir(parents=True)
    x, y = draw.randint(256, size=(each * len(names), 3072)), np.arange(each * len(names)) % 10
    rows = np.concatenate([np.zeros((len(x), labels - 1)), y[:, None], x], axis=1).astype(np.uint8)
    for at, name in enumerate(names):
        (folder / name).write_bytes(rows[at * each : (at + 1) * each].tobytes())
    return x.reshape(-1, 3, 32, 32), y


FEATURES = {
    "pixels": {"shape": [4, 3], "dtype": "float32", "_type": "Array2D"},
    "x": {"dtype": "float32", "_type": "Value"},
    "z": {"dtype": "float64", "_type": "Value"},
    "label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"},
    "word": {"dtype": "string", "_type": "Value"},
    "photo": {"_type": "Image"},
}


def table(rows: int = 30, seed: int = 0, features: bool = True) -> Any:
    """As `datasets` writes one: arrays as lists with the shape in the metadata, classes as numbers."""
    draw = np.random.RandomState(seed)
    pixels = pa.array(draw.standard_normal((rows, 4, 3)).astype(np.float32).tolist(), pa.list_(pa.list_(pa.float32())))
    word = [("no", "yes")[i] for i in draw.randint(2, size=rows)]
    photo = pa.array([{"bytes": b"", "path": ""}] * rows)
    columns = {
        "pixels": pixels,
        "x": pa.array(draw.standard_normal(rows), pa.float32()),
        "z": draw.standard_normal(rows),
        "label": np.arange(rows) % 3,
        "word": word,
        "photo": photo,
    }
    made = pa.table(columns)
    if not features:
        return made
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def save_to_disk(folder: Path, made: Any, shards: int = 2) -> None:
    """state.json and Arrow streams."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{shards:05}.arrow" for i in range(shards)]
    size = -(-made.num_rows // shards)
    for at, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as stream:
            stream.write_table(made.slice(at * size, size), max_chunksize=7)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


def dictionary(folder: Path) -> None:
    save_to_disk(folder / "train", table())
    save_to_disk(folder / "test", table(12, 1), 1)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))


def parquet(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    pq.write_table(table().slice(0, 18), folder / "data" / "train-00000-of-00002.parquet", row_group_size=5)
    pq.write_table(table().slice(18), folder / "data" / "train-00001-of-00002.parquet")
    pq.write_table(table(12, 1), folder / "data" / "test-00000-of-00001.parquet")
