"""The training of spec.json with torchvision's ImageFolder and transforms, a DataLoader, and a plain PyTorch loop.

python examples/images/plain.py digits.zip SEED [THREADS]
"""

import json
import sys
import tempfile
import time
import zipfile

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

EPOCHS, BATCH, RATE, DECAY, WORKERS = 30, 50, 0.003, 0.01, 2


def network() -> nn.Sequential:
    """Three convolutions, each normalised and pooled, and a linear head."""
    layers: list[nn.Module] = []
    for planes, channels in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(planes, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def loaders(folder: str) -> tuple[DataLoader, DataLoader]:
    """Return the training and validation batches."""
    ending = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    changes = [v2.RandomCrop(32, padding=4), v2.RandomRotation(15), v2.ColorJitter(brightness=0.3, contrast=0.3)]
    train = ImageFolder(f"{folder}/train", v2.Compose([v2.ToImage(), *changes, *ending]))
    validation = ImageFolder(f"{folder}/val", v2.Compose([v2.ToImage(), *ending]))
    return (
        DataLoader(train, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True),
        DataLoader(validation, 500, num_workers=WORKERS, persistent_workers=True),
    )


@torch.no_grad()
def accuracy(model: nn.Module, batches: DataLoader) -> float:
    """Return the share of right answers."""
    model.eval()
    right = [(model(x).argmax(1) == y) for x, y in batches]
    model.train()
    found: Tensor = torch.cat(right).float().mean()
    return found.item()


def train(folder: str, seed: int) -> dict[str, float]:
    """Train; return the accuracy at the end, and the seconds of the loop with its evaluations."""
    torch.manual_seed(seed)
    model, (batches, validation) = network(), loaders(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
    began, curve, found = time.perf_counter(), [], 0.0
    for _ in range(EPOCHS):
        for x, y in batches:
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            curve.append(loss.item())
        found = accuracy(model, validation)
    return {"accuracy": found, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads())
    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(sys.argv[1]).extractall(unpacked)
        sys.stdout.write(json.dumps(train(unpacked, int(sys.argv[2]))) + "\n")
