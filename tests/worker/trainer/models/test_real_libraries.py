"""Models of the real torchvision and timm: built by name, equal to theirs, trained.

The general index has torchvision built for CUDA alone, whose compiled part cannot be loaded beside a torch without it:
the import goes through worker.trainer.optional_imports, which declares the operators that are missed.
"""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.errors import RunFailure
from service.spec.models import Model
from worker.trainer.build import build
from worker.trainer.loop import prepare, train
from worker.trainer.optional_imports import import_optional

CPU = torch.device("cpu")


def made(kind: str, name: str, shape: tuple[int, ...] = (3, 32, 32)) -> Any:
    torch.manual_seed(0)
    return build(TypeAdapter(Model).validate_python({"kind": kind, "name": name}), shape, 5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_a_model_of_torchvision_is_torchvisions(name: str) -> None:
    models = import_optional("torchvision").models
    ours = made("torchvision", name).eval()
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=5).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto"])
def test_a_model_of_timm_is_timms_with_the_images_channels(name: str) -> None:
    timm = import_optional("timm")
    ours = made("timm", name, (1, 64, 64)).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(name, pretrained=False, num_classes=5, in_chans=1).eval()
    x = torch.randn(2, 1, 64, 64)
    assert torch.equal(ours(x), theirs(x))


def test_a_batch_of_one_row_is_refused_in_a_model_that_only_its_library_knows(experiment: Any) -> None:
    model = {"kind": "timm", "name": "resnet10t"}
    changes = {"dataset": {"kind": "digits"}, "model": model, "batch_size": 3}  # 1,438 rows: the last batch has 1
    with pytest.raises(
        RunFailure, match=r"/batch_size.*timm's .*BatchNorm.*2d.*the last one.*has 1.*drop_last"
    ) as caught:
        prepare(experiment(epochs=1, **changes), 0, CPU)
    assert caught.value.kind == "spec_cannot_build"
    assert prepare(experiment(epochs=1, drop_last=True, **changes), 0, CPU).spec.total_steps == 479


def test_a_model_of_timm_trains_on_digits_with_groups_by_torchs_names(experiment: Any) -> None:
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
