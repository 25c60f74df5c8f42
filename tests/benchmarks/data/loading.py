"""Peak memory of loading, over the size of the data: `python -m tests.benchmarks.data.loading`.

Each case is loaded in a process of its own, as a run's first step needs it, after everything is imported. The peak is
the kernel's (VmHWM) above what was resident before. It is compared with rows and targets as they are read (8 bytes a
number of a CSV file or of doubles) and as the CPU trains on them: 4 bytes a number, or a byte a value of an image to
augment. A target has 8 bytes, but for those of float32.
"""

import argparse
import ctypes
import hashlib
import io
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.ingest import inspect_file
from service.spec.datasets.images import Images
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from tests.ingest.images.image_files import archive, encoded
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import prepare, train

AS_READ = {"CSV": 8, "NPZ, doubles": 8}  # bytes of a number
TARGETS = {"NPZ, float32": (4, 4), "NPZ, bytes": (8, 8)}  # bytes of one as read and as trained on; of others below
UPLOAD = "dat_" + "0" * 26
REST: dict[str, Any] = {"optimizer": {"kind": "sgd", "lr": 0.1}, "batch_size": 64, "steps": 1, "probes": ()}
REGRESSION = {"kind": "upload", "predict": "y", "task": "regression"}
PREPARED = REGRESSION | {"prepare": ({"kind": "impute", "strategy": "median"}, {"kind": "divide", "by": 3.0})}


def npz(path: Path, x: Any, y: Any) -> None:
    """Write arrays."""
    with path.open("wb") as file:
        np.savez(file, x=x, y=y)


def table(path: Path, rows: int, columns: int) -> None:
    """Write a CSV file of numbers with four digits."""
    draw = np.random.RandomState(0)
    with path.open("w") as file:
        file.write(",".join([*(f"c{number}" for number in range(columns)), "y"]) + "\n")
        for _ in range(0, rows, 1000):
            buffer = io.StringIO()
            np.savetxt(buffer, draw.standard_normal((1000, columns + 1)), "%.4f", ",")
            file.write(buffer.getvalue())


def pictures(path: Path, rows: int) -> None:
    """Write a zip archive of class folders of PNG files."""
    from PIL import Image

    draw = np.random.RandomState(0)
    values = draw.randint(0, 256, (rows, 64, 64, 3)).astype(np.uint8)
    archive(path, {f"{row % 2}/{row:06}.png": encoded(Image.fromarray(each)) for row, each in enumerate(values)})


def cases(folder: Path, scale: float) -> dict[str, tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Return file, dataset and the rest of the spec by name."""
    draw, n = np.random.RandomState(0), lambda rows: int(rows * scale)
    x = draw.standard_normal((n(50_000), 1024)).astype(np.float32)
    npz(folder / "floats.npz", x, x[:, 0])
    npz(folder / "doubles.npz", x[: n(25_000)] + 1e-9 * draw.standard_normal((n(25_000), 1024)), x[: n(25_000), 0])
    npz(folder / "narrow.npz", x.reshape(-1, 8)[: n(4_000_000)], draw.standard_normal(n(4_000_000)))
    del x
    npz(folder / "bytes.npz", draw.randint(0, 256, (n(60_000), 3, 32, 32)).astype(np.uint8), np.arange(n(60_000)) % 10)
    table(folder / "table.csv", n(400_000), 40)
    pictures(folder / "pictures.zip", n(10_000))
    linear = {"model": {"kind": "linear"}, "loss": {"kind": "mse"}}
    classes = {"model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"}}
    images, crop = {"kind": "images", "size": 64}, {"augment": ({"kind": "crop", "padding": 4},)}
    return {
        "NPZ, float32": (folder / "floats.npz", REGRESSION, linear),
        "NPZ, float32, prepared": (folder / "floats.npz", PREPARED, linear),
        "NPZ, doubles": (folder / "doubles.npz", REGRESSION, linear),
        "NPZ, doubles, prepared": (folder / "doubles.npz", PREPARED, linear),
        "NPZ, 8 columns": (folder / "narrow.npz", REGRESSION, linear),
        "NPZ, bytes": (folder / "bytes.npz", REGRESSION | {"task": "classification"}, classes),
        "CSV": (folder / "table.csv", REGRESSION, linear),
        "CSV, prepared": (folder / "table.csv", PREPARED, linear),
        "images, decoded": (folder / "pictures.zip", images, classes),
        "images, kept": (folder / "pictures.zip", images, classes),
        "images, augmented": (folder / "pictures.zip", images, classes | crop),
    }


def load(path: Path, dataset: dict[str, Any], rest: dict[str, Any], store: Path, answer: Any) -> None:
    """Train one step on the file; send the size of the rows and the peak above the start, in bytes."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (store / sha256).mkdir(parents=True, exist_ok=True)
    if not (store / sha256 / "content").exists():
        shutil.copy(path, store / sha256 / "content")
    kind = Images if dataset["kind"] == "images" else Upload
    made = kind.model_validate(dataset | {"upload": UPLOAD})
    resolved, problems = made.resolve(inspect_file(path), sha256)
    assert problems == []
    spec = Experiment.model_validate({"dataset": made.model_copy(update={"resolved": resolved}), **rest, **REST})
    answer.send(spec.normalised())


def peak(document: dict[str, Any], store: Path, answer: Any) -> None:
    """Train one step; send the numbers of values and rows, the bytes of a value that is trained on, and the peak."""
    torch.set_num_threads(1)
    warm = {"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"}, **REST}
    list(train(prepare(Experiment.model_validate(warm), 0, torch.device("cpu"))))
    import pandas  # noqa: F401  loaded by pyarrow for the first array that it hands over
    import PIL.Image  # noqa: F401
    import pyarrow.compute  # noqa: F401
    import sklearn.impute  # noqa: F401

    import service.ingest.rows  # noqa: F401

    spec = Experiment.model_validate_json(json.dumps(document))
    ctypes.CDLL(None).malloc_trim(0)  # memory that loading could take or give back is not counted as there before
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = status("VmRSS")
    training = prepare(spec, 0, torch.device("cpu"), DatasetFolders(store))
    list(train(training))
    facts = spec.dataset.facts
    values = facts.rows * int(np.prod(facts.shape))
    answer.send((values, facts.rows, 1 if spec.augment else 4, status("VmHWM") - before))


def status(name: str) -> int:
    """Return a figure of this process in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def in_process(function: Callable[..., None], *arguments: Any) -> Any:
    """Return what a function sends, run in a fresh interpreter."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=function, args=(*arguments, theirs))
    process.start()
    theirs.close()
    found = mine.recv()
    process.join()
    return found


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="saddle-loading-") as temporary:
        folder = Path(temporary)
        for name, (path, dataset, rest) in cases(folder, arguments.scale).items():
            document = in_process(load, path, dataset, rest, folder / "store")
            values, rows, width, most = in_process(peak, document, folder / "store")
            kind = name.removesuffix(", prepared")
            target = TARGETS.get(kind, (8, 4 if dataset["kind"] == "upload" else 8))
            read, trained = values * max(width, AS_READ.get(kind, width)) + rows * target[0], values * width
            trained += rows * target[1]
            sizes = f"read {read / 1e6:6.1f} MB, trained on {trained / 1e6:6.1f} MB, peak {most / 1e6:6.1f} MB"
            print(f"{name:22} {sizes}: {most / read:4.2f} and {most / trained:4.2f}", flush=True)


if __name__ == "__main__":
    main()
