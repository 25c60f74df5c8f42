"""Folders of Hugging Face's `datasets`: which splits and columns they have, by their headers, and their rows.

save_to_disk writes state.json, which names Arrow streams, one folder a split below dataset_dict.json; Parquet files
carry their split in their name. Both keep the features (shapes, class names) as JSON in the schema's metadata.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import Invalid, Problem
from service.spec.validation_errors import closest, sanitise

MAX_JSON = 2**20
PARTS = 4_096  # files of a split


@dataclass(frozen=True)
class Table:
    """One split: its files in order, its rows, and what its schema says of each column."""

    files: tuple[Path, ...]
    rows: int
    schema: Any
    features: dict[str, Any]  # Hugging Face's description of a column, where there is one

    def shape(self, column: str) -> tuple[int, ...] | None:
        """One row's: () of a single number; None: no numbers, or of no fixed shape."""
        from pyarrow import types  # noqa: PLC0415  half a second, and most processes never read a file

        told, kind = self.features.get(column, {}), self.schema.field(column).type
        if "shape" in told:
            shape = tuple(told["shape"])
            return shape if all(isinstance(size, int) for size in shape) else None
        shape = ()
        while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            if not types.is_fixed_size_list(kind):
                return None
            shape, kind = (*shape, kind.list_size), kind.value_type
        return shape if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) else None

    def classes(self, column: str) -> tuple[str, ...] | None:
        """The names of a ClassLabel; None: it is none."""
        told = self.features.get(column, {})
        return tuple(map(str, told["names"])) if told.get("_type") == "ClassLabel" else None

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """The rows of some columns, a record batch at a time."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        for path in self.files:
            if path.suffix == ".parquet":
                with pq.ParquetFile(path) as file:
                    yield from file.iter_batches(8_192, columns=list(columns), use_threads=False)
            else:
                with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                    for batch in stream:
                        yield batch.select(list(columns))


def split_of(root: Path, path: str, split: str, pointer: str = "/dataset/split") -> Table:
    """One split of the folder `path` below `root`; `Invalid` says what is expected there."""
    folder = inside(root, root / path)
    if folder is None or not folder.is_dir():
        raise refused("/dataset/path", f"there is no folder {path} in the mounted folder.")
    if (folder / "dataset_dict.json").is_file():
        names = [str(name) for name in _json(folder / "dataset_dict.json").get("splits", ())]
        found = {name: _saved(root, folder / name) for name in names if name == split}
    elif (folder / "state.json").is_file():
        return _table(_saved(root, folder))
    else:
        groups = _parquet(root, folder)
        names, found = list(groups), {name: files for name, files in groups.items() if name == split}
    if not names:
        detail = f"{path} has neither the state.json of save_to_disk nor a .parquet file, itself or in data."
        raise refused("/dataset/path", detail)
    if split not in found:
        meant = closest(split, names)
        raise Invalid.of([Problem(pointer, "not_found", f"{path} has no split {split}.", names[:50], meant)])
    return _table(found[split])


def inside(root: Path, path: Path) -> Path | None:
    """The path if it lies below `root`, links followed; else None."""
    return path if path.resolve().is_relative_to(root.resolve()) else None


def refused(pointer: str, detail: str) -> Invalid:
    """What lies there is not what was asked for."""
    return Invalid.of([Problem(pointer, "not_found", sanitise(detail))])


def _saved(root: Path, folder: Path) -> list[Path]:
    """The files that state.json names, beside it."""
    state = folder / "state.json"
    if inside(root, state) is None or not state.is_file():
        raise refused("/dataset/path", f"{folder.name} has no state.json: save the dataset with save_to_disk again.")
    names = [str(each.get("filename")) for each in _json(state).get("_data_files", ())]
    paths = [folder / name for name in names if Path(name).name == name]
    missing = [path.name for path in paths if inside(root, path) is None or not path.is_file()]
    if missing or len(paths) != len(names) or not paths:
        raise refused("/dataset/path", f"{folder.name} lacks {', '.join(missing[:3]) or 'its files'}: copy it again.")
    return paths


def _parquet(root: Path, folder: Path) -> dict[str, list[Path]]:
    """Split -> files: train-00000-of-00002.parquet and train.parquet are of the split train."""
    groups: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.parquet"), *(folder / "data").glob("*.parquet")]):
        if inside(root, path) is not None:
            groups.setdefault(path.stem.partition("-")[0], []).append(path)
    return groups


def _table(paths: list[Path]) -> Table:
    """Rows and schema by the headers; all files must have one schema."""
    import pyarrow as pa  # noqa: PLC0415

    if len(paths) > PARTS:
        raise refused("/dataset/path", f"has {len(paths)} files a split; at most {PARTS}.")
    try:
        found = [_header(path) for path in paths]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refused("/dataset/path", f"cannot be read: {type(error).__name__} in its header.") from error
    schema = found[0][1]
    if any(not other.equals(schema) for _, other in found):
        raise refused("/dataset/path", "has files of different schemas.")
    told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = told.get("info", {}).get("features") or {}
    return Table(tuple(paths), sum(rows for rows, _ in found), schema, features)


def _header(path: Path) -> tuple[int, Any]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return sum(batch.num_rows for batch in stream), stream.schema  # mapped: only the batches' heads are read


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_JSON:
        raise refused("/dataset/path", f"{path.name} is larger than a mebibyte.")
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise refused("/dataset/path", f"{path.name} is no JSON.") from error
    return found if isinstance(found, dict) else {}
