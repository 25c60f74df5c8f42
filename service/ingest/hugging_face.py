"""The reader of Hugging Face `datasets` folders: splits and columns from file headers, and rows.

save_to_disk writes state.json, which names Arrow streams, with one folder per split below dataset_dict.json. Parquet
files have their split in their name. Both store the features (shapes, class names) as JSON in the schema's metadata.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from service.errors import Invalid, Problem
from service.spec.validation_errors import closest, sanitise

MAX_JSON_BYTES = 2**20
ARROW = ".arrow"  # of save_to_disk; other files are Parquet
MAX_FILES = 4_096  # of a split


@dataclass(frozen=True)
class StoredSplit:
    """A split on disk: its files in order, its number of rows, and its columns."""

    files: tuple[Path, ...]
    rows: int
    schema: Any
    features: dict[str, Any]  # Hugging Face's descriptions of columns

    def shape(self, column: str) -> tuple[int, ...] | None:
        """Return the shape of a row: () for a single number; None if it has no numbers or no fixed shape."""
        feature, kind = self.features.get(column, {}), self.schema.field(column).type
        if "shape" in feature:
            shape = tuple(feature["shape"])
            return shape if all(isinstance(size, int) for size in shape) else None
        shape = ()
        while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            if not types.is_fixed_size_list(kind):
                return None
            shape, kind = (*shape, kind.list_size), kind.value_type
        return shape if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) else None

    def classes(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a ClassLabel; None for any other column."""
        feature = self.features.get(column, {})
        return tuple(map(str, feature["names"])) if feature.get("_type") == "ClassLabel" else None

    def batches(self, columns: Sequence[str], rows: int = 8_192) -> Iterator[Any]:
        """Yield the rows of some columns, a record batch at a time; of Parquet files `rows` rows."""
        for path in self.files:
            if path.suffix != ARROW:
                with pq.ParquetFile(path) as file:
                    yield from file.iter_batches(rows, columns=list(columns), use_threads=False)
            else:
                with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                    for batch in stream:
                        yield batch.select(list(columns))


def split_names(root: Path, path: str) -> list[str]:
    """Return the splits of the folder `path`; [""] where it has files without splits, [] where it has none."""
    folder = inside(root, root / path)
    if folder is None or not folder.is_dir():
        raise missing_data(f"there is no folder {path} in the mounted folder.")
    if (folder / "dataset_dict.json").is_file():
        return [str(name) for name in _read_json(folder / "dataset_dict.json").get("splits", ())]
    return [""] if (folder / "state.json").is_file() else list(_parquet_files(root, folder))


def open_split(root: Path, path: str, split: str, pointer: str = "/dataset/split") -> StoredSplit:
    """Return a split of the folder `path` below `root`, or raise `Invalid` with what is missing."""
    folder = inside(root, root / path)
    if folder is None or not folder.is_dir():
        raise missing_data(f"there is no folder {path} in the mounted folder.")
    if (folder / "dataset_dict.json").is_file():
        names = [str(name) for name in _read_json(folder / "dataset_dict.json").get("splits", ())]
        found = {name: _arrow_files(root, folder / name) for name in names if name == split}
    elif (folder / "state.json").is_file():
        return open_files(_arrow_files(root, folder))
    else:
        groups = _parquet_files(root, folder)
        names, found = list(groups), {name: files for name, files in groups.items() if name == split}
    if not names:
        detail = f"{path} has neither the state.json of save_to_disk nor a .parquet file, itself or in data."
        raise missing_data(detail)
    if split not in found:
        meant = closest(split, names)
        raise Invalid.of([Problem(pointer, "not_found", f"{path} has no split {split}.", names[:50], meant)])
    return open_files(found[split])


def inside(root: Path, path: Path) -> Path | None:
    """Return the path if it is below `root` after following links, else None."""
    return path if path.resolve().is_relative_to(root.resolve()) else None


def missing_data(detail: str) -> Invalid:
    """Return the error for data that is missing in the folder."""
    return Invalid.of([Problem("/dataset/path", "not_found", sanitise(detail))])


def _arrow_files(root: Path, folder: Path) -> list[Path]:
    """Return the files that state.json names, beside it."""
    state = folder / "state.json"
    if inside(root, state) is None or not state.is_file():
        raise missing_data(f"{folder.name} has no state.json: save the dataset with save_to_disk again.")
    names = [str(each.get("filename")) for each in _read_json(state).get("_data_files", ())]
    paths = [folder / name for name in names if Path(name).name == name]
    missing = [path.name for path in paths if inside(root, path) is None or not path.is_file()]
    if missing or len(paths) != len(names) or not paths:
        raise missing_data(f"{folder.name} lacks {', '.join(missing[:3]) or 'its files'}: copy it again.")
    return paths


def _parquet_files(root: Path, folder: Path) -> dict[str, list[Path]]:
    """Return split -> files: train-00000-of-00002.parquet and train.parquet belong to the split train."""
    groups: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.parquet"), *(folder / "data").glob("*.parquet")]):
        if inside(root, path) is not None:
            groups.setdefault(path.stem.partition("-")[0], []).append(path)
    return groups


def open_files(paths: list[Path]) -> StoredSplit:
    """Read rows and schema from the headers; all files must have one schema."""
    if len(paths) > MAX_FILES:
        raise missing_data(f"has {len(paths)} files per split; at most {MAX_FILES} are allowed.")
    try:
        found = [_read_header(path) for path in paths]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise missing_data(f"cannot be read: {type(error).__name__} in its header.") from error
    schema = found[0][1]
    if any(not other.equals(schema) for _, other in found):
        raise missing_data("has files of different schemas.")
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features") or {}
    return StoredSplit(tuple(paths), sum(rows for rows, _ in found), schema, features)


def _read_header(path: Path) -> tuple[int, Any]:
    """Return the file's number of rows and its schema."""
    if path.suffix != ARROW:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return sum(batch.num_rows for batch in stream), stream.schema  # mapped: only the batches' headers are read


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise missing_data(f"{path.name} is larger than a mebibyte.")
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise missing_data(f"{path.name} is not valid JSON.") from error
    return found if isinstance(found, dict) else {}
