"""The test part, measured once; and pieces of a batch in which no answer counts."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from service.spec.datasets.resolved import Resolved
from service.spec.datasets.text import Text
from service.spec.experiment import Experiment
from service.spec.losses import Loss
from service.spec.memory import CHUNK_BYTES, MAX_CHUNK_ROWS, evaluation_bytes, evaluation_rows
from worker.trainer.build import build
from worker.trainer.data.batches import Batches
from worker.trainer.loop import prepare, train
from worker.trainer.step.evaluation import PerPosition, Validation
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.precision import Precision

CPU = torch.device("cpu")
SPLIT = {"kind": "iris", "validation": 0.2, "test": 0.2}


def series(steps: Any, prefix: str) -> dict[int, set[str]]:
    found = {s.step: {name for name in s.metrics or {} if name.startswith(prefix)} for s in steps}
    return {step: names for step, names in found.items() if names}


def test_the_test_part_is_measured_once_with_the_last_weights(experiment: Any) -> None:
    training = prepare(experiment(dataset=SPLIT, evaluate={"every_steps": 10}), 0, CPU)
    steps = list(train(training))
    assert series(steps, "test/") == {40: {"test/loss", "test/accuracy"}}
    x, y = torch.from_numpy(training.test.x), torch.from_numpy(training.test.y)
    assert len(x) == 30
    readings = steps[-1].metrics or {}
    z = training.model(x)
    assert float(readings["test/loss"]) == pytest.approx(F.cross_entropy(z, y).item(), rel=1e-6)
    assert float(readings["test/accuracy"]) == pytest.approx(float((z.argmax(1) == y).float().mean()))


def test_a_run_that_a_rule_ends_measures_its_test_part_there_and_averaged_weights_too(experiment: Any) -> None:
    stop = {"target": {"series": "val/loss", "below": 10.0}}
    spec = experiment(dataset=SPLIT, evaluate={"every_steps": 6}, stop=stop, average={"kind": "ema", "decay": 0.5})
    steps = list(train(prepare(spec, 0, CPU)))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    assert series(steps, "test/") == {6: {"test/loss", "test/accuracy"}}
    assert series(steps, "average/test/") == {6: {"average/test/loss", "average/test/accuracy"}}


def test_measuring_the_test_part_changes_no_step_and_without_one_nothing_is_measured(experiment: Any) -> None:
    data = {"kind": "iris", "validation": 0.2}
    steps = list(train(prepare(experiment(dataset=data), 0, CPU)))
    assert series(steps, "test/") == {}
    half = prepare(experiment(dataset=SPLIT, steps=20), 0, CPU)
    whole = prepare(experiment(dataset=SPLIT), 0, CPU)
    first = [s.loss.item() for s in train(half)]
    assert first == [s.loss.item() for s in train(whole)][:20]


WEIGHT = (0.5, 2.0, 1.0, 1.0)


@pytest.mark.parametrize("more", [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}], ids=str)
def test_a_piece_whose_answers_are_all_ignored_adds_nothing(more: dict[str, Any]) -> None:
    """Against torch on the whole batch: its gradient and its loss."""
    torch.manual_seed(0)
    tokens = torch.randint(1, 4, (6, 5))
    tokens[:2] = 0  # the first of three pieces is padding alone
    rows = torch.randn(6, 5, 7)
    model = nn.Linear(7, 4)
    weight = torch.tensor(more["weight"]) if "weight" in more else None
    smoothing = more.get("label_smoothing", 0.0)
    whole = F.cross_entropy(
        model(rows).flatten(0, 1), tokens.flatten(), weight=weight, ignore_index=0, label_smoothing=smoothing
    )
    expected = torch.autograd.grad(whole, list(model.parameters()))
    document = {"kind": "cross_entropy", "ignore_index": 0} | more
    criterion = PerPosition(build(TypeAdapter(Loss).validate_python(document)))
    batches = Batches(rows, tokens, 6, 0, whole=True)
    loss = Gradients(model, criterion, batches, Precision("fp32", CPU), 3).compute(1)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
    assert criterion.criterion.reduction == "mean"


def test_a_chunk_of_the_validation_part_whose_answers_are_all_ignored_adds_nothing() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(1, 4, (6, 5))
    tokens[:2] = 0
    rows = torch.randn(6, 5, 7)
    model = nn.Linear(7, 4)
    criterion = PerPosition(nn.CrossEntropyLoss(ignore_index=0))
    measured = Validation(rows, tokens, "language", rows=2).measure(model, criterion)
    assert float(measured["val/loss"]) == pytest.approx(
        F.cross_entropy(model(rows).flatten(0, 1), tokens.flatten(), ignore_index=0).item(), rel=1e-6
    )


WIDE = {"kind": "cnn", "channels": (512, 512), "pool": 1}  # 1.5 MB a row of 8 x 8 points


def test_a_chunk_has_the_rows_that_fit_or_those_of_a_training_step(experiment: Any) -> None:
    digits = {"kind": "digits", "validation": 0.5}
    assert evaluation_rows(experiment(dataset=digits)) == MAX_CHUNK_ROWS
    wide = experiment(dataset=digits, model=WIDE, batch_size=8)
    needed = evaluation_bytes(wide)
    assert needed is not None
    assert 8 < evaluation_rows(wide) == CHUNK_BYTES // needed < 200
    assert evaluation_rows(wide.model_copy(update={"batch_size": 800})) == 800
    assert evaluation_rows(wide.model_copy(update={"batch_size": 800, "accumulate": 4})) == 200
    half = evaluation_bytes(wide.model_copy(update={"precision": "bf16"}))
    assert half is not None
    assert half < needed


def test_a_language_is_evaluated_by_positions_and_its_outputs_count() -> None:
    few, many = language(characters=10), language(characters=3000)
    assert evaluation_rows(few) == MAX_CHUNK_ROWS // 64
    needed = [evaluation_bytes(spec) for spec in (few, many)]
    assert needed[0] is not None
    assert needed[1] is not None
    assert needed[1] - needed[0] >= 2 * 4 * 64 * 2990  # the logits, and their logarithms
    assert evaluation_rows(many) == CHUNK_BYTES // needed[1]


def language(characters: int) -> Experiment:
    """A transformer that predicts the next of so many characters, 64 positions a row."""
    vocabulary = "".join(map(chr, range(0x4E00, 0x4E00 + characters)))
    found = Resolved(sha256="0" * 64, format="text", rows=1000, shape=(64,), characters=vocabulary)
    model = {"kind": "transformer", "width": 16, "outputs_at": "every", "vocabulary": characters, "causal": True}
    return Experiment.model_validate(
        {"dataset": Text(upload="dat_" + "0" * 26, resolved=found), "model": model, "loss": {"kind": "cross_entropy"}}
        | {"optimizer": {"kind": "sgd"}, "steps": 1, "batch_size": 4}
    )


def test_a_run_is_evaluated_in_its_own_precision(experiment: Any) -> None:
    training = prepare(experiment(dataset=SPLIT, precision="bf16"), 0, CPU)
    seen = []
    training.model.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    assert training.validation is not None
    training.validation.measure(training.model, training.criterion)
    assert seen == [torch.bfloat16]
