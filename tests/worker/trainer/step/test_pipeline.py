"""The stages of a step against their arithmetic, and over a checkpoint to the last bit."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from service.spec.training import Clip
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Step, Training, prepare, train
from worker.trainer.step.clipping import Clipping
from worker.trainer.step.gradients import split_batch
from worker.trainer.step.precision import Precision
from worker.trainer.step.weight_averaging import WeightAverage, add_to_ema, add_to_mean, measure_statistics

CPU = torch.device("cpu")
SLOW = {"kind": "sgd", "lr": 1e-6}
NOISY = {"kind": "mlp", "hidden": (8,), "norm": "batch", "dropout": 0.3}


def curve(spec: Any, seed: int = 0) -> list[Step]:
    return list(train(prepare(spec, seed, CPU)))


def read(steps: list[Step], name: str) -> dict[int, float]:
    return {step.step: float(step.metrics[name]) for step in steps if step.metrics and name in step.metrics}


def overflow_at(training: Training, *steps: int) -> None:
    """Have the scale too large for fp16 in these updates, as a sudden large gradient would."""
    compute = training.pipeline.gradients.compute

    def with_overflow(step: int) -> torch.Tensor:
        loss = compute(step)
        if step in steps:
            next(iter(training.model.parameters())).grad.fill_(torch.inf)  # type: ignore[union-attr]
        return loss

    training.pipeline.gradients.compute = with_overflow  # type: ignore[method-assign]


# accumulation


@pytest.mark.parametrize("pieces", [2, 3, 5, 16])
def test_pieces_give_the_step_of_the_whole_batch(pieces: int, experiment: Any) -> None:
    """120 rows by 50: batches of 50, 50 and 20, none of which 3 divides."""
    whole = curve(experiment(batch_size=50))
    cut_up = curve(experiment(batch_size=50, accumulate=pieces))
    assert [s.loss.item() for s in cut_up] == pytest.approx([s.loss.item() for s in whole], rel=1e-5)
    assert [s.loss.item() for s in cut_up] != [s.loss.item() for s in whole]  # it was another way to compute it


def test_pieces_of_a_weighted_loss_count_by_their_weights(experiment: Any) -> None:
    loss = {"kind": "cross_entropy", "weight": (1.0, 5.0, 20.0)}
    whole, cut_up = (curve(experiment(batch_size=50, accumulate=pieces, loss=loss)) for pieces in (1, 7))
    assert [s.loss.item() for s in cut_up] == pytest.approx([s.loss.item() for s in whole], rel=1e-4)


def test_a_piece_counts_by_its_rows() -> None:
    x = torch.arange(11.0)
    assert [len(piece) for piece, _ in split_batch((x, x), 4)] == [3, 3, 3, 2]
    assert [len(piece) for piece, _ in split_batch((x[:2], x[:2]), 4)] == [1, 1]


# clipping


def test_the_norm_is_that_of_the_vector_3_4() -> None:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    clipping = Clipping(Clip(norm=1.0), [weight], CPU)
    assert clipping.apply() == {"grad_norm": torch.tensor(5.0)}
    assert weight.grad.tolist() == pytest.approx([0.5999999, 0.7999998], abs=1e-6)
    weight.grad = torch.tensor([0.3, 0.4])
    clipping.apply()
    assert float(clipping.share(2)["clipped_share"]) == 0.5


@pytest.mark.parametrize(("clip", "share"), [({"norm": 1e-3}, 1.0), ({"norm": 1e3}, 0.0), ({"value": 1e-3}, 1.0)])
def test_the_clipped_share_is_recorded_at_evaluations(clip: dict[str, float], share: float, experiment: Any) -> None:
    found = read(curve(experiment(clip=clip, evaluate={"every_steps": 15})), "clipped_share")
    assert found == {15: share, 30: share, 40: share}


# precision


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_near_fp32(precision: str, experiment: Any) -> None:
    spec = {"dataset": {"kind": "digits"}, "model": {"kind": "mlp", "hidden": (32,)}, "steps": 60}
    full, half = curve(experiment(**spec)), curve(experiment(**spec, precision=precision))
    assert half[-1].loss.item() == pytest.approx(full[-1].loss.item(), abs=1e-2)
    assert half[-1].loss != full[-1].loss
    assert half[-1].loss.dtype == torch.float32


def test_an_overflow_leaves_the_update_out_and_the_schedule_waits(experiment: Any) -> None:
    spec = experiment(precision="fp16", schedule={"kind": "exponential", "gamma": 0.9}, steps=12, clip={"norm": 1.0})
    training = prepare(spec, 0, CPU)
    overflow_at(training, 4, 5, 9)
    rates, before = [], []
    steps = []
    for step in train(training):
        steps.append(step)
        rates.append(step.lr)
        before.append([p.detach().clone() for p in training.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(before[2], before[3], strict=True))  # step 4 changed nothing
    assert all(torch.equal(a, b) for a, b in zip(before[3], before[4], strict=True))
    assert not torch.equal(before[4][0], before[5][0])
    planned = [spec.rate(update) for update in (1, 2, 3, 4, 4, 4, 5, 6, 7, 7, 8, 9)]
    assert rates == planned
    assert read(steps, "skipped_steps")[12] == 3
    assert training.pipeline.precision.scale == 65536.0 / 8
    assert all(math.isfinite(s.loss) for s in steps)


def test_an_early_overflow_is_found_by_the_scale_itself(experiment: Any) -> None:
    """Targets of some hundreds make gradients that are too large for fp16 65536 times, and not 2048 times."""
    spec = experiment(dataset={"kind": "diabetes"}, loss={"kind": "mse"}, precision="fp16", steps=20, optimizer=SLOW)
    training = prepare(spec, 0, CPU)
    training.batches.y *= 300
    steps = list(train(training))
    assert 0 < read(steps, "skipped_steps")[20] < 15


def test_a_layer_that_the_machine_lacks_in_this_precision_is_found_while_building() -> None:
    class Picky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_autocast_enabled("cpu"):
                raise RuntimeError("no such primitive")
            return x

    with pytest.raises(RuntimeError, match="no such primitive"):
        Precision("fp16", CPU).check_supported(Picky(), torch.zeros(3, 2))
    Precision("fp32", CPU).check_supported(Picky(), torch.zeros(3, 2))


# averages


def test_weights_1_to_5_average_as_written_out() -> None:
    values = [torch.tensor(float(v)) for v in range(1, 6)]
    exponential, plain, first, second = [1.0], [1.0], [values[0].clone()], [values[0].clone()]
    for added, value in enumerate(values[1:], 1):
        add_to_ema(first, [value], 0.1)
        add_to_mean(second, [value], added)
        exponential.append(float(first[0]))
        plain.append(float(second[0]))
    assert exponential == pytest.approx([1, 1.1, 1.29, 1.561, 1.9049])
    assert plain == [1, 1.5, 2, 2.5, 3]


def former_ema(average: torch.Tensor, weight: torch.Tensor, taken: Any) -> torch.Tensor:
    return average.lerp(weight, 1 - 0.9)


def former_mean(average: torch.Tensor, weight: torch.Tensor, taken: Any) -> torch.Tensor:
    return average + (weight - average) / (taken + 1)


@pytest.mark.parametrize(
    ("average", "rule"),
    [
        ({"kind": "ema", "decay": 0.9}, former_ema),
        ({"kind": "swa", "start": 3, "every_steps": 1}, former_mean),
    ],
)
def test_averages_and_their_names_are_those_of_earlier_releases_to_the_last_bit(
    average: dict[str, Any], rule: Any, experiment: Any
) -> None:
    training = prepare(experiment(average=average, model=NOISY, evaluate={"every_steps": 1000}), 0, CPU)
    ours = training.pipeline.average
    assert isinstance(ours, WeightAverage)
    former = AveragedModel(training.model, avg_fn=rule)
    for step in train(training):
        if step.step >= ours.first:
            former.update_parameters(training.model)
        if step.step == 39:
            break  # the last step evaluates, which gives the mean statistics of its own
    expected, found = former.state_dict(), ours.state()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)
    again = WeightAverage(training.spec, training.model, training.batches.x)
    again.load(expected)
    assert again.added == ours.added
    assert all(torch.equal(value, expected[name]) for name, value in again.state().items())


@pytest.mark.parametrize(
    ("average", "update", "due"),
    [
        ({"kind": "ema", "decay": 0.9}, get_ema_multi_avg_fn(0.9), range(1, 41)),  # type: ignore[no-untyped-call]
        ({"kind": "swa", "start": 11, "every_steps": 5}, get_swa_multi_avg_fn(), range(11, 41, 5)),  # type: ignore[no-untyped-call]
        ({"kind": "swa", "start": 0.5, "every_steps": 1}, get_swa_multi_avg_fn(), range(20, 41)),  # type: ignore[no-untyped-call]
    ],
)
def test_an_average_is_torchs(average: dict[str, Any], update: Any, due: range, experiment: Any) -> None:
    plain, training = prepare(experiment(), 0, CPU), prepare(experiment(average=average), 0, CPU)
    theirs = AveragedModel(plain.model, multi_avg_fn=update)
    for step in train(plain):
        if step.step in due:
            theirs.update_parameters(plain.model)
    steps = list(train(training))
    assert training.pipeline.average is not None
    ours = training.pipeline.average.model
    assert int(training.pipeline.average.state()["n_averaged"]) == len(due)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)
    x, y = plain.validation.x, plain.validation.y  # type: ignore[union-attr]
    expected = nn.functional.cross_entropy(theirs(x), y).item()
    assert read(steps, "average/val/loss")[40] == pytest.approx(expected, rel=1e-5)
    assert set(read(steps, "average/val/loss")) == {s for s in read(steps, "val/loss") if s >= due[0]}


def test_averaging_changes_nothing_of_the_training(experiment: Any) -> None:
    raw = curve(experiment(model=NOISY))
    for average in ({"kind": "ema"}, {"kind": "swa", "start": 1, "every_steps": 1}):
        beside = curve(experiment(model=NOISY, average=average))
        assert [s.loss.item() for s in beside] == [s.loss.item() for s in raw]
        assert read(beside, "val/loss") == read(raw, "val/loss")


def test_statistics_measured_anew_are_torchs_update_bn() -> None:
    torch.manual_seed(0)
    x = torch.randn(23, 4) * 3 + 1
    ours = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=0.3), nn.ReLU(), nn.Linear(6, 2))
    theirs = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=0.3), nn.ReLU(), nn.Linear(6, 2))
    theirs.load_state_dict(ours.state_dict())
    measure_statistics(ours, x, 8)
    update_bn(list(torch.split(x, 8)), theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert ours[1].momentum == 0.3
    assert not ours[1].training


def test_statistics_are_measured_without_a_batch_of_one_row_whatever_its_shape() -> None:
    torch.manual_seed(0)
    x = torch.randn(9, 1, 2, 2)
    ours = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))
    first = copy.deepcopy(ours)
    measure_statistics(ours, x, 8)
    measure_statistics(first, x[:8], 8)
    assert torch.equal(ours[1].running_var, first[1].running_var)


def test_an_average_without_its_own_statistics_would_be_wrong(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = experiment(
        model=NOISY, average={"kind": "swa", "start": 5, "every_steps": 1}, optimizer={"kind": "sgd", "lr": 0.5}
    )
    right = read(curve(spec), "average/val/loss")
    monkeypatch.setattr("worker.trainer.step.weight_averaging.measure_statistics", lambda model, x, rows: None)
    assert read(curve(spec), "average/val/loss") != right


def test_no_average_is_measured_before_the_first_weights(experiment: Any) -> None:
    training = prepare(experiment(average={"kind": "swa", "start": 30}), 0, CPU)
    assert isinstance(training.pipeline.average, WeightAverage)
    assert training.validation is not None
    assert training.pipeline.average.measure(training.validation, training.criterion) == {}


# resuming

EACH: dict[str, dict[str, Any]] = {
    "accumulate": {"accumulate": 3, "batch_size": 50},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16", "dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}},
    "ema": {"average": {"kind": "ema", "decay": 0.9}},
    "swa": {"average": {"kind": "swa", "start": 7, "every_steps": 2}},
    "share": {"clip": {"norm": 0.4}},
    "stopped": {"stop": {"patience": {"series": "val/loss", "evaluations": 2, "min_delta": 0.02}}},
    "everything": {
        "accumulate": 2,
        "precision": "fp16",
        "average": {"kind": "ema"},
        "clip": {"value": 0.01},
        "stop": {"grad_norm_below": 1e-9, "target": {"series": "average/val/accuracy", "above": 0.99}},
    },
}


def trace(training: Training, until: int | None = None) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []
    for step in train(training):
        readings = {name: float(value).hex() for name, value in (step.metrics or {}).items()}  # nan is nan
        seen.append((step.step, step.lr, step.loss.item(), readings))
        if step.step == until:
            break
    return seen


@pytest.mark.parametrize("changes", EACH.values(), ids=EACH)
def test_a_resumed_run_equals_an_uninterrupted_one(changes: dict[str, Any], experiment: Any, tmp_path: Path) -> None:
    spec = experiment(
        **{"model": NOISY, "optimizer": {"kind": "adamw", "lr": 0.05}, "steps": 30, "evaluate": {"every_steps": 4}}
        | changes
    )
    whole = prepare(spec, 11, CPU)
    expected, training, seen = trace(whole), prepare(spec, 11, CPU), []
    for at in (5, 9):
        seen += trace(training, at)
        saved = checkpoint.save(tmp_path, training, {})
        torch.rand(17)
        training = prepare(spec, 11, CPU)
        checkpoint.load(saved.folder, saved.sha256, training)
    seen += trace(training)
    assert seen == expected
    assert training.ended == whole.ended
    for a, b in zip(training.pipeline.tensors().values(), whole.pipeline.tensors().values(), strict=True):
        assert torch.equal(a, b)


def test_a_run_that_a_rule_ended_stays_ended_over_a_checkpoint(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(stop={"target": {"series": "val/loss", "below": 10}}, evaluate={"every_steps": 6})
    first = prepare(spec, 0, CPU)
    assert [s.step for s in train(first)][-1] == 6
    saved = checkpoint.save(tmp_path, first, {})
    again = prepare(spec, 0, CPU)
    checkpoint.load(saved.folder, saved.sha256, again)
    assert again.ended == first.ended
    assert list(train(again)) == []


def test_a_checkpoint_from_before_there_were_mechanics_is_read(experiment: Any, tmp_path: Path) -> None:
    training = prepare(experiment(), 0, CPU)
    trace(training, 3)
    tensors, document = checkpoint.snapshot(training)
    del document["mechanics"], tensors["mechanics/clipped"]
    checkpoint.restore(prepare(experiment(), 0, CPU), tensors, document)


# overflows

HUGE = 2.0**40  # a scale by which the first gradients overflow
OVERFLOWING: dict[str, Any] = {
    "precision": "fp16",
    "dataset": {"kind": "diabetes"},
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "adamw", "lr": 0.01},
    "schedule": {"kind": "exponential", "gamma": 0.9},
    "accumulate": 2,
    "clip": {"norm": 1e-3},  # every update is clipped
    "average": {"kind": "ema", "decay": 0.5},
    "evaluate": {"every_steps": 1},
    "steps": 60,
}


def with_huge_scale(training: Training) -> Training:
    precision = training.pipeline.precision
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=HUGE)
    precision.scale = HUGE
    return training


def test_every_count_leaves_out_the_overflows(experiment: Any) -> None:
    spec = experiment(**OVERFLOWING)
    training = with_huge_scale(prepare(spec, 0, CPU))
    (optimizer,), average = training.optimizers, training.pipeline.average
    assert isinstance(average, WeightAverage)
    before, mean_before = [[p.detach().clone() for p in training.model.parameters()] for _ in range(2)]
    updates, skipped = 0, 0
    for step in train(training):
        now = [p.detach().clone() for p in training.model.parameters()]
        updated = any(not torch.equal(a, b) for a, b in zip(now, before, strict=True))
        updates, skipped = updates + updated, skipped + (not updated)
        assert step.lr == spec.rate(updates + (not updated))  # the rate of the update that was tried
        assert step.metrics is not None
        assert step.metrics["skipped_steps"] == skipped
        assert float(step.metrics["clipped_share"]) == (1.0 if updates else 0.0)
        assert {int(state["step"]) for state in optimizer.state.values()} <= {updates}
        if updated:
            share = 0.5 if updates > 1 else 1.0  # it begins at the first weights that it sees
            mean_before = [torch.lerp(a, b, share) for a, b in zip(mean_before, now, strict=True)]
        for kept, expected in zip(average.model.parameters(), mean_before, strict=True):
            assert torch.allclose(kept, expected, atol=1e-6)
        before = now
    assert training.step == 60
    assert skipped == training.pipeline.precision.skipped > 10
    assert updates == 60 - skipped > 10
    assert training.pipeline.precision.scale == HUGE / 2**skipped


@pytest.mark.parametrize("cut", [3, 30])  # while the scale falls, and afterwards
def test_a_run_with_overflows_resumes_with_its_scale_and_counts(cut: int, experiment: Any, tmp_path: Path) -> None:
    spec = experiment(**OVERFLOWING)
    whole = with_huge_scale(prepare(spec, 0, CPU))
    expected, training = trace(whole), with_huge_scale(prepare(spec, 0, CPU))
    seen = trace(training, cut)
    saved = checkpoint.save(tmp_path, training, {})
    training = prepare(spec, 0, CPU)  # its scale is torch's own
    checkpoint.load(saved.folder, saved.sha256, training)
    assert seen + trace(training) == expected
    assert training.pipeline.precision.skipped == whole.pipeline.precision.skipped


def test_a_scale_that_fell_to_nothing_changes_no_weight(experiment: Any) -> None:
    """Gradients that are finite at no scale, as those of a NaN, let it fall until its inverse overflows."""
    training = prepare(experiment(precision="fp16", steps=3, nonfinite="continue"), 0, CPU)
    training.pipeline.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-149)
    training.pipeline.precision.scale = 2.0**-149
    before = [p.detach().clone() for p in training.model.parameters()]
    assert [step.step for step in train(training)] == [1, 2, 3]
    assert all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))
    assert training.pipeline.precision.skipped == 3
