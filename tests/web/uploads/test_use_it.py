"""*Use it*: every kind of file of a newcomer leads to a spec that the server takes, whatever the form held before."""

import datetime
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from tests.harness.product import Product
from tests.ingest.images.image_files import CLASSES, archive, class_files, hugging_face
from tests.web.test_own_data import TABLE, use

See = Callable[[str], Page]
ROWS = 120
DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 3, ROWS)
GREY = DRAW.integers(0, 256, (ROWS, 28, 28)).astype(np.uint8)
NUMBERS = DRAW.normal(size=(ROWS, 4))
GROUPS = np.arange(ROWS) // 10
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(day) for day in range(ROWS)]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def lines(head: str, row: Callable[[int], str]) -> bytes:
    return "\n".join([head, *map(row, range(ROWS))]).encode()


def zipped(folder: Path) -> bytes:
    return archive(folder / "pets.zip", class_files(30)).read_bytes()


def hub(folder: Path) -> bytes:
    return hugging_face(folder / "pets.parquet", class_files(30)).read_bytes()


def renamed_hub(folder: Path) -> bytes:
    """The same with other names of the columns."""
    file = io.BytesIO()
    features = {"img": {"_type": "Image"}, "animal": {"_type": "ClassLabel", "names": list(CLASSES)}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pq.read_table(hugging_face(folder / "other.parquet", class_files(30))).rename_columns(["img", "animal"])
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file.getvalue()


def of(content: bytes) -> Callable[[Path], bytes]:
    return lambda _: content


Y, LABEL = {"predict": "y", "task": "classification"}, {"predict": "label", "task": "classification"}
IMAGES = {"kind": "images"}
X = Y | {"features": ["x"]}
# name: the file, what its dataset is apart from the upload and its preparation, and the model
FILES: dict[str, tuple[Callable[[Path], bytes], dict[str, Any], str]] = {
    "people.csv": (of(TABLE), {"predict": "churn", "task": "classification"}, "mlp"),
    "label-first.csv": (of(lines("label,a,b", lambda n: f"{n % 2},{n},{n % 7}")), LABEL, "mlp"),
    "names.csv": (
        of(lines("name,fare,empty,sex,class", lambda n: f"person {n},{n % 50}.5,,{'mf'[n % 2]},{n % 3}")),
        {"predict": "class", "task": "classification", "features": ["fare", "sex"]},
        "mlp",
    ),
    "lines.jsonl": (
        of(lines('{"a": 0, "y": 1}', lambda n: json.dumps({"a": n, "y": n % 2}))),
        Y,
        "mlp",
    ),
    "table.parquet": (
        of(parquet(a=NUMBERS[:, 0], city=["Rome", "Oslo"] * 60, day=DAYS, tags=[[1, 2]] * ROWS, y=LABELS)),
        Y | {"features": ["a", "city"]},
        "mlp",
    ),
    "hub.parquet": (hub, IMAGES | {"image": "image", "label": "label"}, "cnn"),
    "renamed.parquet": (renamed_hub, IMAGES | {"image": "img", "label": "animal"}, "cnn"),
    "pets.zip": (zipped, IMAGES, "cnn"),
    "story.txt": (of(b"Once upon a time there was a small fox. " * 400), {"kind": "text"}, "transformer"),
    "arrays.npz": (of(npz(a=NUMBERS[:, 0], b=NUMBERS[:, 1], y=LABELS)), Y, "mlp"),
    "rows.npz": (of(npz(x=NUMBERS, y=NUMBERS[:, 0])), {"predict": "y", "task": "regression"}, "mlp"),
    "grey.npz": (of(npz(x=GREY, y=LABELS)), Y, "mlp"),
    "channels.npz": (of(npz(x=GREY[:, None], y=LABELS, time=np.arange(ROWS) * 1.5)), X, "cnn"),
    "groups.npz": (of(npz(x=GREY, y=LABELS.astype(np.uint8), group=GROUPS)), X, "mlp"),
    "masks.npz": (of(npz(group=GROUPS, labels=LABELS, x=GREY, mask=GREY)), X | {"predict": "labels"}, "mlp"),
    "words.npz": (of(npz(group=GROUPS, label=np.array(["cat", "dog", "eel"])[LABELS], x=GREY)), X | LABEL, "mlp"),
    "parts.npz": (of(npz(x_train=GREY, y_train=LABELS, x_test=GREY[:20], y_test=LABELS[:20])), Y, "mlp"),
    "shares.npz": (of(npz(x=GREY, y=np.eye(3)[LABELS], group=GROUPS)), X | {"task": "distribution"}, "mlp"),
    "series.npz": (of(npz(x=DRAW.normal(size=(ROWS, 50, 3)), y=LABELS)), Y, "mlp"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def test_every_kind_of_file_leads_to_a_spec_that_can_be_trained(see: See, stack: Product, folder: Path) -> None:
    page = see("new")
    body = page.get_by_role("textbox", name="Request body")
    found, refused = {}, {}
    for name, (content, _, _) in FILES.items():
        use(page, name, content(folder))
        expect(body).to_have_value(re.compile(f'"name": "{name.partition(".")[0]}"'))
        spec = json.loads(body.input_value())
        found[name] = (shown(spec["dataset"]), spec["model"]["kind"])
        answer = stack.http.post("/v1/experiments?dry_run=true", json=spec)
        if not answer.is_success:
            refused[name] = answer.json()["errors"]
    assert refused == {}
    assert found == {name: ({"kind": "upload"} | dataset, model) for name, (_, dataset, model) in FILES.items()}
    expect(page.get_by_role("button", name="Train (")).to_be_enabled()


def shown(dataset: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dataset.items() if name not in ("upload", "prepare")}
