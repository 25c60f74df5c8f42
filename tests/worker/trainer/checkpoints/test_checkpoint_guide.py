"""The example of docs/checkpoints.md, run as it stands there on a checkpoint of a run."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import prepare, train

GUIDE = Path(__file__).resolve().parents[4] / "docs" / "checkpoints.md"


def test_the_weights_of_a_checkpoint_load_into_a_model_outside_of_saddle(experiment: Any, tmp_path: Path) -> None:
    training = prepare(experiment(model={"kind": "linear"}, steps=5), 0, torch.device("cpu"))
    list(train(training))
    saved = checkpoint.save(tmp_path, training, {})
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", code], cwd=saved.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = training.model(torch.zeros(1, 4)).softmax(1).detach()
    printed = [float(number) for number in re.findall(r"\d+\.\d+", done.stdout)]
    assert torch.allclose(torch.tensor(printed), expected[0], atol=1e-3)
