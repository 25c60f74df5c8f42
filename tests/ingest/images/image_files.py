"""Images as files: class folders, zip archives of them, and Hugging Face's columns."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("cat", "dog")


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    """An image's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int, size: tuple[int, int] = (20, 14)) -> Any:
    """A random picture, (width, height)."""
    values = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3))
    return Image.fromarray(values.astype(np.uint8))


def class_files(rows: int = 12, parts: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    """Path -> file, `rows` of each class in each part, as PNG."""
    return {
        f"{part}{name}/{row:02}.png": encoded(picture(len(part) * 1000 + 100 * label + row, (20 + row, 14)))
        for part in parts
        for label, name in enumerate(CLASSES)
        for row in range(rows)
    }


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def hugging_face(path: Path, files: dict[str, bytes]) -> Path:
    """Write a Parquet file with the columns image and label, as the `datasets` package does."""
    cells = [{"bytes": content, "path": name} for name, content in files.items()]
    labels = [CLASSES.index(name.split("/")[-2]) for name in files]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(CLASSES)}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(cells, kind), "label": pa.array(labels, pa.int64())})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=7)
    return path
