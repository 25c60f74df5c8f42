"""The training of fourier.json as a person would write it in PyTorch: `python plain.py [SEED ...]`.

The module is the plug-in's; rows, split, scaling and schedule are written out. Prints a line of JSON for each seed: the
validation loss at the end and the seconds that the training took.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parent / "fourier-features"))
from fourier_features.modules import FourierFeatures

ROWS, NOISE, EPOCHS, BATCH, RATE = 2000, 0.1, 60, 64, 0.003


def load() -> tuple[TensorDataset, TensorDataset]:
    """Return training and validation rows, x scaled by the training rows' mean and standard deviation."""
    draw = np.random.RandomState(0)
    phases = draw.uniform(0, 2 * np.pi, 4)
    x = draw.uniform(-1, 1, ROWS)
    waves = [np.sin(np.pi * k * x + phase) for k, phase in zip((1, 2, 4, 8), phases, strict=True)]
    y = np.sum(waves, axis=0) + NOISE * draw.standard_normal(ROWS)
    order = np.random.RandomState(0).permutation(ROWS)
    chosen = np.sort(order[ROWS // 5 :]), np.sort(order[: ROWS // 5])
    x = (x - x[chosen[0]].mean()) / x[chosen[0]].std()
    parts = ([torch.tensor(each[rows, None], dtype=torch.float32) for each in (x, y)] for rows in chosen)
    train, validation = (TensorDataset(*part) for part in parts)
    return train, validation


def train(seed: int) -> tuple[float, float]:
    """Return the validation loss at the end and the seconds of the training, evaluations included."""
    train_rows, validation = load()
    torch.manual_seed(seed)
    model, loss = FourierFeatures((1,), 1), nn.MSELoss()
    loader = DataLoader(train_rows, BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))
    began, found, curve = time.perf_counter(), 0.0, []
    for _ in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            optimizer.step()
            schedule.step()
            curve.append(value.item())
        with torch.no_grad():
            x, y = validation.tensors
            found = loss(model(x), y).item()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed in map(int, sys.argv[1:] or ("0", "1", "2")):
        value, seconds = train(seed)
        print(json.dumps({"seed": seed, "val/loss": value, "seconds": seconds}))
