"""Images a second: augmented batches against a DataLoader with torchvision's own transforms.

    python -m tests.benchmarks.data.augment [--side 32] [--rounds 5] [--threads 1]

Both start from the same bytes in memory and end with scaled floats. The contestants take turns, so that other work on
the machine meets all of them; medians over the rounds. First batches alone, then each with the step of a small network.
`--processor` compares processor time a batch instead, of one process each: other work on the machine changes it little.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from service.spec.augmentations import Augmentations
from worker.trainer.augment.augment import Augment
from worker.trainer.data.batches import Batches
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.scaling import Scale
from worker.trainer.optional_imports import import_optional

ROWS, IMAGES, CLASSES, WARM = 128, 2048, 10, 3
CPU = torch.device("cpu")
v2 = import_optional("torchvision.transforms.v2", "vision")
Stream = Iterator[tuple[Tensor, Tensor]]
CROP, FLIP = {"kind": "crop", "padding": 4}, {"kind": "horizontal_flip"}
JITTER = {"kind": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
Theirs = tuple[list[Any], Any]  # transforms of an image, and of a batch


def lists(side: int) -> dict[str, tuple[list[dict[str, Any]], Theirs]]:
    """Return each list as a spec says it, and as torchvision does."""
    crop, flip, jitter = v2.RandomCrop(side, padding=4), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    return {
        "flip": ([FLIP], ([flip], None)),
        "crop, flip": ([CROP, FLIP], ([crop, flip], None)),
        "crop, flip, jitter": ([CROP, FLIP, JITTER], ([crop, flip, jitter], None)),
        "resized crop, flip": ([{"kind": "resized_crop"}, FLIP], ([v2.RandomResizedCrop((side, side)), flip], None)),
        "rand augment": ([{"kind": "rand_augment"}], ([v2.RandAugment()], None)),
        "trivial augment": ([{"kind": "trivial_augment"}], ([v2.TrivialAugmentWide()], None)),
        "crop, flip, mixup": (
            [CROP, FLIP, {"kind": "mixup"}],
            ([crop, flip], v2.MixUp(num_classes=CLASSES, alpha=0.2)),
        ),
    }


class Pictures(Dataset[tuple[Tensor, int]]):
    """The same bytes as a person would serve them."""

    def __init__(self, x: Tensor, y: Tensor, transforms: list[Any]) -> None:
        self.x, self.y = x, y
        scaling = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
        self.transform = v2.Compose([*transforms, *scaling])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.x[row]), int(self.y[row])


def theirs(x: Tensor, y: Tensor, transforms: Theirs, workers: int) -> Stream:
    """Yield the batches of a DataLoader, epoch after epoch."""
    single, mix = transforms
    options: dict[str, Any] = {"persistent_workers": True} if workers else {}
    if mix is not None:
        options["collate_fn"] = lambda rows: mix(*default_collate(rows))
    loader = DataLoader(Pictures(x, y, single), ROWS, shuffle=True, num_workers=workers, **options)
    while True:
        yield from loader


def ours(x: Tensor, y: Tensor, parts: list[dict[str, Any]], processes: Any) -> Stream:
    """Yield the batches of a run."""
    side, scale = x.shape[-1], Scale(np.full((3, 1, 1), 127.5), np.full((3, 1, 1), 63.75))
    chosen = TypeAdapter(Augmentations).validate_python(parts)
    augment = Augment(chosen, CLASSES, (side, side), scale, 0, CPU)
    rows = MappedRows(x.numpy(), np.arange(len(x)), scale).unconverted(CPU, augment.on_host)
    batches = Batches(rows, y, ROWS, 0, augment=augment, processes=processes)
    with batches.reading_ahead(10**6):
        step = 0
        while True:
            yield batches.batch(step := step + 1)


def network() -> Callable[[Tensor, Tensor], object]:
    """Return the step of a small convolutional network."""
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def rate(stream: Stream, use: Callable[[Tensor, Tensor], object], seconds: float) -> float:
    """Return images a second over about so many seconds."""
    for _ in range(WARM):
        use(*next(stream))
    images, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        x, y = next(stream)
        use(x, y)
        images += len(x)
    return images / passed


def processor_ms(stream: Stream, batches: int = 4) -> float:
    """Return milliseconds of processor time a batch."""
    for _ in range(WARM):
        next(stream)
    began = time.process_time()
    for _ in range(batches):
        next(stream)
    return (time.process_time() - began) / batches * 1000


def compare_work(x: Tensor, y: Tensor, parts: list[dict[str, Any]], transforms: Theirs, rounds: int) -> str:
    """Return the least processor time a batch over the rounds, ours and that of a DataLoader without workers."""
    streams = ours(x, y, parts, 0), theirs(x, y, transforms, 0)
    mine, loader = (min(each) for each in zip(*(map(processor_ms, streams) for _ in range(rounds)), strict=True))
    return f"ours {mine:6.1f} ms  loader {loader:6.1f} ms   ratio {loader / mine:5.2f}"


def main() -> None:
    """Print images a second, and ours over the fastest DataLoader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="compare processor time a batch")
    parser.add_argument("--only", nargs="*", help="names of lists")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    drawn = np.random.RandomState(0).randint(0, 256, (IMAGES, 3, arguments.side, arguments.side))
    x, y = torch.from_numpy(drawn.astype(np.uint8)), torch.arange(IMAGES) % CLASSES
    if arguments.processor:
        for name, (parts, transforms) in lists(arguments.side).items():
            if not arguments.only or name in arguments.only:
                print(f"{name:19} {compare_work(x, y, parts, transforms, arguments.rounds)}", flush=True)
        return
    uses: dict[str, Callable[[Tensor, Tensor], object]] = {"alone": lambda x, y: None, "with a step": network()}
    for what, use in uses.items():
        for name, (parts, transforms) in lists(arguments.side).items():
            if arguments.only and name not in arguments.only:
                continue
            streams: dict[str, Callable[[], Stream]] = {
                "ours": lambda p=parts: ours(x, y, p, "auto"),
                "no process": lambda p=parts: ours(x, y, p, 0),
                **{f"loader {n}": lambda t=transforms, n=n: theirs(x, y, t, n) for n in (0, 1, 2)},
            }
            found: dict[str, list[float]] = {each: [] for each in streams}
            for _ in range(arguments.rounds):
                for each, start in streams.items():
                    stream = start()
                    found[each].append(rate(stream, use, arguments.seconds))
                    stream.close()  # type: ignore[attr-defined]
            middle = {each: statistics.median(values) for each, values in found.items()}
            best = max(value for each, value in middle.items() if each.startswith("loader"))
            told = "  ".join(f"{each} {value:7.0f}" for each, value in middle.items())
            print(f"{what:12} {name:19} {told}   ratio {middle['ours'] / best:5.2f}", flush=True)


if __name__ == "__main__":
    main()
