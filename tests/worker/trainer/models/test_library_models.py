"""Models of other libraries: looked up in the library's own registry, never downloaded; said where it is missing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.errors import RunFailure
from service.spec.models import Model
from worker.trainer.build import build

TIMM = """
from torch import nn

def list_models():
    return ["small"]

def create_model(name, pretrained, num_classes, in_chans):
    assert pretrained is False
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes)) if in_chans == 1 else None
"""
TORCHVISION = """
from torch import nn

def list_models(module):
    assert module.__name__ == "torchvision.models"
    return ["small"]

def get_model(name, weights, num_classes):
    assert weights is None
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
"""


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand-ins for both, with the functions that are called; nobody meets them afterwards."""
    (tmp_path / "timm.py").write_text(TIMM)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("from torchvision import models")
    (tmp_path / "torchvision" / "models.py").write_text(TORCHVISION)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("timm", "torchvision", "torchvision.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in ("timm", "torchvision", "torchvision.models"):
        sys.modules.pop(name, None)  # what was there before is put back by monkeypatch


def model(kind: str, name: str) -> Any:
    return TypeAdapter(Model).validate_python({"kind": kind, "name": name})


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_a_name_of_the_registry_is_built_with_the_outputs(kind: str) -> None:
    module = build(model(kind, "small"), (1, 8, 8), 5)
    assert module(torch.randn(3, 1, 8, 8)).shape == (3, 5)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_another_name_is_not(kind: str) -> None:
    with pytest.raises(RunFailure, match=f"{kind} has no model other") as caught:
        build(model(kind, "other"), (1, 8, 8), 5)
    assert caught.value.kind == "spec_cannot_build"


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_a_worker_without_the_library_says_what_to_install(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(RunFailure, match=rf"lacks the package {kind}.*install saddle\[vision\]") as caught:
        build(model(kind, "small"), (1, 8, 8), 5)
    assert caught.value.kind == "spec_cannot_build"


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_a_library_whose_compiled_part_does_not_fit_torch_is_said_to_be_there(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "timm.py" if kind == "timm" else tmp_path / "torchvision" / "__init__.py"
    file.write_text("raise RuntimeError('undefined symbol: _ZN2at')")
    with pytest.raises(RunFailure, match=rf"{kind} is installed.*cannot be imported.*undefined symbol") as caught:
        build(model(kind, "small"), (1, 8, 8), 5)
    assert caught.value.kind == "spec_cannot_build"
