"""A plug-in whose model gets into the trouble its spec asks for, as a package manager would install it."""

from pathlib import Path

SPEC = '''
from typing import Literal
from service.spec.models.base import ModelBase
from service.spec.models.leaf import affine

class Troubled(ModelBase):
    """An affine map that gets into trouble at call `at` of its training."""
    target = "troubled.model:Troubled"
    ranks = (1,)
    kind: Literal["troubled"] = "troubled"
    trouble: str = "none"
    at: int = 3
    seconds: float = 0.0
    text: str = ""

    def leaves(self, shape, outputs):
        yield affine("map", shape[0], outputs, True, 0)
'''
MODEL = """
import ctypes, os, time
import torch
from torch import nn
from torch.nn import functional as F

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

class Troubled(nn.Module):
    nans = 0  # in this process

    def __init__(self, shape, outputs, trouble="none", at=3, seconds=0.0, text=""):
        super().__init__()
        self.map = nn.Linear(shape[0], outputs)
        self.trouble, self.at, self.seconds, self.text, self.calls = trouble, at, seconds, text, 0

    def _apply(self, fn, recurse=True):
        if self.trouble == "full_at_build":
            fn(torch.empty(1)).new_empty(1 << 50)
        elif self.trouble == "raise_at_build":
            raise RuntimeError(self.text)
        return super()._apply(fn, recurse)

    def forward(self, x):
        self.calls += self.training
        if self.trouble == "slow":
            time.sleep(self.seconds)
        elif self.trouble == "long_evaluation" and not self.training:
            spin(self.seconds)
        elif self.trouble == "full_in_evaluation" and not self.training:
            x.new_empty(1 << 50)
        elif self.training and self.calls == self.at:
            self.get_into_it(x)
        return self.map(x) * (float("nan") if self.trouble == "nan" and self.calls == self.at else 1.0)

    def get_into_it(self, x):
        if self.trouble == "nan":
            Troubled.nans += 1
            if Troubled.nans > 1:
                os._exit(3)
        elif self.trouble == "segfault":
            ctypes.string_at(0)
        elif self.trouble == "hang":
            time.sleep(3600)
        elif self.trouble == "cuda_oom":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        elif self.trouble == "full":
            x.new_empty(1 << 50)
        elif self.trouble == "label":
            F.cross_entropy(self.map(x), torch.full((len(x),), self.map.out_features, device=x.device))
        elif self.trouble == "token":
            F.embedding(torch.tensor([9], device=x.device), x.new_zeros(4, 2)).sum().item()
        elif self.trouble == "scatter":
            x.put(torch.tensor([0], device=x.device), x.reshape(-1)[:1])
        elif self.trouble == "raise":
            raise torch.AcceleratorError(self.text)
        elif self.trouble == "assert":
            os.write(2, self.text.encode() + b"\\n")
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        elif self.trouble == "abort":
            os.write(2, self.text.encode() + b"\\n")
            os.abort()
        elif self.trouble == "talk":
            print(self.text)
        elif self.trouble == "chatter":
            piece = os.urandom(1 << 20)
            for stream in (1, 2) * 64:
                os.write(stream, piece)
            os.write(2, b"\\nthe last words\\n")
            os._exit(3)
"""


def install(folder: Path) -> Path:
    """Write the plug-in into a folder; with that in PYTHONPATH it is installed. Return the folder."""
    package, facts = folder / "troubled", folder / "troubled-1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    for name, text in (("__init__", ""), ("spec", SPEC), ("model", MODEL)):
        (package / f"{name}.py").write_text(text)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: troubled\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[saddle.components]\nmodel.troubled = troubled.spec:Troubled\n")
    return folder
