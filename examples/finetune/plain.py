"""The same fine-tune in plain PyTorch, for comparison: prints the accuracy, the seconds and the last loss.

python examples/finetune/plain.py few.npz SEED THREADS model.safetensors
"""

import json
import math
import sys
import time

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WIDTH, STEPS, BATCH, EVERY = 16, 600, 20, 100
UNFREEZE_AT = 101
HEAD_RATE, BODY_RATE = 0.01, 0.003


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
            *(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)),
        )
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, C', H', W')."""
        return functional.relu(self.inner(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, two blocks and a head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.blocks = nn.Sequential(Block(WIDTH, WIDTH, 1), Block(WIDTH, 2 * WIDTH, 2))
        self.head = nn.Linear(2 * WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 1, 8, 8) -> (B, classes)."""
        logits: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def load_rows(path: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return images and classes of each part."""
    rows = np.load(path)
    labels = np.unique(rows["digit"], return_inverse=True)[1]
    parts = {name: rows["part"] == name for name in ("train", "validation")}
    return {
        name: (torch.from_numpy(rows["image"][chosen]), torch.from_numpy(labels[chosen]))
        for name, chosen in parts.items()
    }


def pretrained(path: str, classes: int) -> ResNet:
    """Return the network with the given weights but for its head, which is new; all else is frozen."""
    model = ResNet(classes)
    weights = {name: value for name, value in load_file(path).items() if not name.startswith("head.")}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert set(missing) == {"head.weight", "head.bias"}, missing
    model.stem.requires_grad_(False)
    model.blocks.requires_grad_(False)
    return model


@torch.no_grad()
def accuracy(model: ResNet, x: Tensor, y: Tensor) -> float:
    """Return the share of rows whose most likely class is theirs."""
    model.eval()
    return (model(x).argmax(1) == y).double().mean().item()


def train(path: str, seed: int, weights: str) -> dict[str, float]:
    """Train; return the accuracy at the end, and the seconds of the loop with its evaluations."""
    parts = load_rows(path)
    x, y = parts["train"]
    torch.manual_seed(seed)
    model = pretrained(weights, int(y.max()) + 1)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=HEAD_RATE, fused=True)
    rates = [HEAD_RATE]
    began = time.perf_counter()
    losses: list[float] = []
    order = torch.empty(0, dtype=torch.int64)
    for step in range(1, STEPS + 1):
        if step == UNFREEZE_AT:
            model.blocks.requires_grad_(True)
            optimizer.add_param_group({"params": list(model.blocks.parameters())})
            rates.append(BODY_RATE)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * (step - 1) / STEPS)) / 2
        if not len(order):
            order = torch.randperm(len(x))
        chosen, order = order[:BATCH], order[BATCH:]
        model.train()
        model.stem.eval()
        loss = functional.cross_entropy(model(x[chosen]), y[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % EVERY == 0:
            found = accuracy(model, *parts["validation"])
    return {"accuracy": found, "seconds": time.perf_counter() - began, "loss": losses[-1]}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(train(sys.argv[1], int(sys.argv[2]), sys.argv[4])))
