"""Short trainings with one component: shapes, random numbers, and a resume that equals an uninterrupted run."""

import random
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from service.spec.augmentations import AugmentationBase
from service.spec.component import Component
from service.spec.datasets import DatasetBase
from service.spec.experiment import Experiment
from service.spec.losses import LossBase
from service.spec.models import ModelBase
from service.spec.probes import ProbeBase
from service.spec.schedules import ScheduleBase
from worker.trainer.build import build, layout_of, resolve
from worker.trainer.checkpoints import resume_check
from worker.trainer.data.dataset_folders import NO_FOLDERS
from worker.trainer.data.split import check_arrays
from worker.trainer.loop import Training, prepare
from worker.trainer.plugin_check.attributes import changed_attributes
from worker.trainer.plugin_check.fault import Fault
from worker.trainer.plugin_check.images import augmentation_of, check_augmentation
from worker.trainer.plugin_check.own_data import OwnData
from worker.trainer.plugin_check.specs import STEPS, NoSpec, spec_with
from worker.trainer.plugin_check.targets import target_faults
from worker.trainer.step.evaluation import UNTRAINED_LOSS

CPU = torch.device("cpu")
Run = tuple[Training, resume_check.Trace]  # one that has ended
Start = Callable[[Experiment, int, torch.device], Training]


def try_components(
    names: Sequence[str], file: Path | None = None, predict: str | None = None
) -> dict[str, tuple[str, str]]:
    """Return the fault of each component, by the name of its entry point, and what was trained with it."""
    torch.set_num_threads(1)  # the thread count is part of a run's identity
    with tempfile.TemporaryDirectory() as scratch:
        own = OwnData.of(file, predict, Path(scratch) / "own-data") if file else None
        return {name: try_component(name, Path(scratch) / name, own) for name in names}


def try_component(name: str, folder: Path, own: OwnData | None = None) -> tuple[str, str]:
    """Train with a component; return its fault, empty if there is none, and what was trained."""
    family, _, kind = name.partition(".")
    component: Component | None = None
    try:
        spec = None
        if family == "augmentation":
            component = augmentation_of(kind)
        else:
            spec, component = spec_with(family, kind, own)
        if found := "; ".join(target_faults(family, component)):
            raise Fault(found)
        if isinstance(component, AugmentationBase):
            return "", _check_images(component)
        assert spec is not None
        start = partial(prepare, files=own.files if own else NO_FOLDERS)
        _check_alone(component, spec, start)
        _check_training(component, spec, folder, start)
    except (NoSpec, Fault) as fault:
        return str(fault), ""
    except Exception as error:  # their code may raise anything
        return _describe(error, component), ""
    rows = own.predict if own and spec.dataset.kind == "upload" else spec.dataset.kind
    return "", f"{spec.model.kind} on {rows}, {STEPS} steps, cut and resumed bit for bit"


def _describe(error: Exception, component: Component | None) -> str:
    """Return an exception of their code with the line that raised it."""
    reason = str(error).strip().partition("\n")[0]
    said = f"fails with {type(error).__name__}: {reason}"
    module = (component.target if component else "").partition(":")[0].partition(".")[0]
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if module and module in Path(each.filename).parts
    ]
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else said


def _check_images(component: AugmentationBase) -> str:
    """Raise `Fault` for an augmentation that does not fit images; return what was done."""
    before = random.getstate(), np.random.get_state()
    told = check_augmentation(component)
    _check_generators(*before)
    return told


def _check_alone(component: Component, spec: Experiment, start: Start) -> None:
    """Check the component outside a training."""
    if isinstance(component, ModelBase):
        _check_model(component, spec, start)
    elif isinstance(component, DatasetBase):
        _check_dataset(component)
    elif isinstance(component, LossBase):
        _check_loss(component, spec, start)
    elif isinstance(component, ScheduleBase) and component.pure:
        _check_schedule(component)


def _check_model(component: ModelBase, spec: Experiment, start: Start) -> None:
    """Raise `Fault` for parameters made late, a layout that is not the model's, and outputs of a wrong shape."""
    shape, outputs = spec.dataset.facts.shape, spec.outputs
    model: nn.Module = build(component, shape, outputs)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise Fault(
                f"creates {name} lazily, at the first batch, when the optimizer has its parameters already: "
                "give the layer its sizes, which follow from the row's shape"
            )
    declared, built = component.layout(shape, outputs), layout_of(model)
    if declared is not None:
        ours, theirs = ([(each.name, tuple(each.shape)) for each in found] for found in (declared, built))
        if ours != theirs:
            wrong = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
            told = f"{wrong[0]} and {wrong[1]}" if wrong else f"{len(ours)} parameters and {len(theirs)}"
            raise Fault(f"has leaves() that do not describe what is built, in torch's order: {told}")
    _check_outputs(model, spec, start)


def _check_loss(component: LossBase, spec: Experiment, start: Start) -> None:
    """Raise `Fault` for parameters, and for buffers that change outside of training."""
    if name := next((name for name, _ in build(component).named_parameters()), None):
        raise Fault(f"has the parameter {name}, {UNTRAINED_LOSS}")
    training = start(spec, 0, CPU)
    before = {name: value.clone() for name, value in training.criterion.state_dict().items()}
    x, y = training.batches.batch(1)
    training.criterion(training.model.eval()(x), y)
    after = training.criterion.state_dict()
    if changed := next((name for name, value in before.items() if not torch.equal(value, after[name])), None):
        raise Fault(f"changes {changed} in evaluation mode, in which probes call it too: change it if self.training")


def _check_outputs(model: nn.Module, spec: Experiment, start: Start) -> None:
    names = set(dict(model.named_parameters()))
    x, _ = start(spec, 0, CPU).batches.batch(1)
    for rows, training in ((x, True), (x[:1], False)):
        with torch.no_grad():
            found = model.train(training)(rows)
        wanted = _output_shape(spec, rows)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            told = f"shape {_form(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise Fault(f"returns {told} for rows of shape {_form(rows.shape)}: needed is {_form(wanted)}")
    if late := set(dict(model.named_parameters())) - names:
        raise Fault(
            f"creates {min(late)} in its first forward pass, when the optimizer has its parameters already: "
            "create all parameters in __init__"
        )


def _output_shape(spec: Experiment, x: Tensor) -> tuple[int, ...]:
    """Return the shape of the model's output for these rows."""
    task = spec.dataset.facts.task
    if task == "objective":
        return ()
    return (*x.shape[:2], spec.outputs) if task == "language" else (len(x), spec.outputs)


def _check_dataset(component: DatasetBase) -> None:
    """Raise `Fault` for rows that contradict the facts, or that differ when they are read again."""
    if component.stored:
        return  # its files are not here
    rows = [build(component), build(component)]
    for found in rows:
        if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(each, np.ndarray) for each in found)):
            raise Fault(f"names {component.target}, which must return two numpy arrays: the rows and their targets")
        try:
            check_arrays(component, found)
        except ValueError as error:
            raise Fault(f"contradicts itself: {error}") from error
    if not all(np.array_equal(one, other) for one, other in zip(*rows, strict=True)):
        raise Fault("gives other rows when it is read again: draw them from a generator with a fixed seed")


def _check_schedule(component: ScheduleBase) -> None:
    """Raise `Fault` unless the rate is a function of the step."""
    steps = list(range(STEPS))
    rates = [component.rate(1.0, s, STEPS) for s in steps]
    again = [component.rate(1.0, s, STEPS) for s in reversed(steps)][::-1]
    for s, rate in zip(steps, rates, strict=True):
        if not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
            raise Fault(f"gives the rate {rate!r} at update {s}: needed is a number from 0")
    if rates != again:
        raise Fault("gives another rate when asked again: the rate must depend on s and total only")


def _check_training(component: Component, spec: Experiment, folder: Path, start: Start) -> None:
    """Raise `Fault` unless the training is finite, its loss a scalar, and the same again, whole or cut."""
    begin = partial(start, spec, spec.seeds[0], CPU)
    before = random.getstate(), np.random.get_state()
    training = begin()
    with training.criterion.register_forward_hook(_require_scalar):
        whole = training, resume_check.trace(training)
    _check_generators(*before)
    for step, _, loss, _ in whole[1]:
        if loss in ("nan", "inf", "-inf"):
            raise Fault(f"has the loss {loss} at step {step}")
    if isinstance(component, ProbeBase):
        _check_probe(whole, start(spec.model_copy(update={"probes": ()}), training.seed, CPU))
    again = begin()
    if found := _difference(component, whole, (again, resume_check.trace(again))):
        raise Fault(
            f"trains otherwise when started again with the same seed ({found}): something random in it is not drawn "
            "from torch's default generator"
        )
    if found := _difference(component, whole, resume_check.train_in_pieces(begin, (STEPS // 2,), folder)):
        changed = changed_attributes(begin(), training)
        what = f"{' and '.join(changed)} changed" if changed else "something changed"
        raise Fault(
            f"differs after a resume ({found}): {what} while it trained, and no checkpoint holds it; "
            f"{_remedy(component)}"
        )


def _difference(component: Component, one: Run, other: Run) -> str:
    """Return the step or the weight at which two trainings differ; what a probe measures does not count."""
    if isinstance(component, ProbeBase):
        one, other = _without_readings(one), _without_readings(other)
    return (resume_check.difference(one, other) or "").partition(":")[0]


def _without_readings(run: Run) -> Run:
    return run[0], [(*step[:3], {}) for step in run[1]]


def _remedy(component: Component) -> str:
    if isinstance(component, ModelBase | LossBase):
        return "keep it in a buffer (register_buffer), and draw from torch's default generator"
    if component.target and hasattr(resolve(component.target), "zero_grad") and hasattr(component, "lr"):
        return "keep it in self.state or self.param_groups"
    return "it must keep nothing between two steps"


def _check_generators(python: object, numpy: Any) -> None:
    if random.getstate() != python:
        raise Fault("draws from Python's random, which no seed sets and no checkpoint holds: draw with torch")
    now: Any = np.random.get_state()
    if now[2:] != numpy[2:] or not np.array_equal(now[1], numpy[1]):
        raise Fault("draws from numpy.random, which no seed sets and no checkpoint holds: draw with torch")


def _require_scalar(criterion: nn.Module, _: Any, loss: object) -> None:
    if not isinstance(loss, Tensor) or loss.dim() > 0:
        told = f"shape {_form(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise Fault(f"has a loss of {told}: needed is a scalar, the mean over the batch")


def _check_probe(run: Run, plain: Training) -> None:
    """Raise `Fault` for a probe that failed, or that changed the training; `plain` is the same one without it."""
    for reading in run[0].probes.readings:
        if "error" in reading.data:
            raise Fault(f"fails at step {reading.step}: {reading.data['error']}")
    bare = plain, resume_check.trace(plain)
    if found := resume_check.difference(_without_readings(bare), _without_readings(run)):
        raise Fault(f"changes the training ({found.partition(':')[0]}): a probe must only read")


def _form(shape: tuple[int, ...]) -> str:
    return str(list(shape))
