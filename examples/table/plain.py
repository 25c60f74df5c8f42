"""The training of spec.json with scikit-learn's transformers and a plain PyTorch loop.

python examples/table/plain.py customers.csv SEED [THREADS]
"""

import json
import sys
import time

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH, RATE, DECAY = 30, 64, 0.003, 0.01


def preparation() -> ColumnTransformer:
    """Return the transformers of spec.json's `prepare` and its scaling."""
    hot = {"handle_unknown": "ignore", "sparse_output": False}
    median = SimpleImputer(strategy="median")
    steps = [
        ("age", make_pipeline(median, StandardScaler()), ["age"]),
        ("income", make_pipeline(median, FunctionTransformer(np.log1p), StandardScaler()), ["income"]),
        ("missing", FunctionTransformer(lambda table: table.isna().astype(float)), ["age", "income"]),
        ("visits", StandardScaler(), ["visits"]),
        (
            "plan",
            make_pipeline(OrdinalEncoder(categories=[["free", "basic", "full"]]), StandardScaler()),
            ["plan"],
        ),
        ("city", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**hot)), ["city"]),
        (
            "device",
            make_pipeline(SimpleImputer(strategy="constant", fill_value="unknown"), OneHotEncoder(**hot)),
            ["device"],
        ),
    ]
    return ColumnTransformer(steps)


def load(path: str) -> tuple[TensorDataset, TensorDataset]:
    """Return the training and validation rows, prepared by what the training rows say."""
    table = pd.read_csv(path)
    parts = [table[table["part"] == part] for part in ("train", "validation")]
    fitted = preparation().fit(parts[0])
    train, validation = (
        TensorDataset(
            torch.tensor(fitted.transform(part), dtype=torch.float32),
            torch.tensor((part["bought"] == "yes").to_numpy(), dtype=torch.int64),
        )
        for part in parts
    )
    return train, validation


def train(path: str, seed: int) -> dict[str, float]:
    """Train; return macro F1 at the end, and the seconds of the loop with its evaluations."""
    rows, validation = load(path)
    torch.manual_seed(seed)
    width = rows.tensors[0].shape[1]
    model = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    weights = compute_class_weight("balanced", classes=np.arange(2), y=rows.tensors[1].numpy())
    loss = nn.CrossEntropyLoss(torch.tensor(weights, dtype=torch.float32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    loader = DataLoader(rows, BATCH, shuffle=True)
    began, curve, found = time.perf_counter(), [], 0.0
    for _ in range(EPOCHS):
        for x, y in loader:
            value = loss(model(x), y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            curve.append(value.item())
        with torch.no_grad():
            x, y = validation.tensors
            outputs = model(x)
            curve.append(loss(outputs, y).item())
            found = float(f1_score(y, outputs.argmax(1), average="macro"))
    return {"f1": found, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else torch.get_num_threads())
    sys.stdout.write(json.dumps(train(sys.argv[1], int(sys.argv[2]))) + "\n")
