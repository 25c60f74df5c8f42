"""Models of the real torchvision and timm, where this machine can import them: built by name, equal to theirs, trained.

torchvision has no build without CUDA for every platform. Its CUDA build needs two operators declared before it is
imported on a machine without one; they are never called by a classification model.
"""

import importlib
import sys
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.spec.models import Model
from worker.build import build
from worker.loop import prepare, train

CPU = torch.device("cpu")
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


DECLARED: list[Any] = []  # a declaration lasts as long as its object


def imported(name: str) -> Any:
    """The library, or a skip with the sentence that says what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"the real {name} is not tested here: {error}; pip install --no-deps torchvision timm")
    except (ImportError, RuntimeError):  # a build whose own operators cannot be loaded here
        if DECLARED:
            raise
        for module in [each for each in sys.modules if each.partition(".")[0] in ("torchvision", "timm")]:
            del sys.modules[module]
        DECLARED.append(torch.library.Library("torchvision", "DEF"))
        for schema in SCHEMAS:
            DECLARED[0].define(schema)
        return imported(name)


def made(kind: str, name: str, shape: tuple[int, ...] = (3, 32, 32)) -> Any:
    torch.manual_seed(0)
    return build(TypeAdapter(Model).validate_python({"kind": kind, "name": name}), shape, 5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_a_model_of_torchvision_is_torchvisions(name: str) -> None:
    models = imported("torchvision").models
    ours = made("torchvision", name).eval()
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=5).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto"])
def test_a_model_of_timm_is_timms_with_the_images_channels(name: str) -> None:
    timm = imported("timm")
    ours = made("timm", name, (1, 64, 64)).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(name, pretrained=False, num_classes=5, in_chans=1).eval()
    x = torch.randn(2, 1, 64, 64)
    assert torch.equal(ours(x), theirs(x))


def test_a_model_of_timm_trains_on_digits_with_groups_by_torchs_names(experiment: Any) -> None:
    imported("timm")
    spec = experiment(
        dataset={"kind": "digits"},
        model={"kind": "timm", "name": "resnet10t"},
        optimizer={"kind": "adamw", "lr": 1e-3},
        groups=({"match": {"module": "BatchNorm2d"}, "weight_decay": 0.0},),
        batch_size=32,
        steps=12,
    )
    training = prepare(spec, 0, CPU)
    losses = [step.loss.item() for step in train(training)]
    assert sum(losses[-3:]) < sum(losses[:3])
    sizes = [sum(p.numel() for p in group["params"]) for group in training.optimizers[0].param_groups]
    assert len(sizes) == 2
    assert sum(sizes) == sum(p.numel() for p in training.model.parameters())
