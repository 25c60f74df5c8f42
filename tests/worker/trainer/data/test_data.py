"""Splits without leakage, scaling from the training part alone, and batches that need no replay."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from service.ingest.splits.random_rows import apportion, shuffle_share, stratified_indices
from service.spec.catalog import CATALOG
from service.spec.datasets.bundled import Diabetes, Digits, Iris, Wine
from service.spec.datasets.precision import is_coarse
from worker.trainer.data.batches import Batches, epoch_order
from worker.trainer.data.scaling import coarse_columns, fit_scale
from worker.trainer.data.split import Arrays, load, split_dataset
from worker.trainer.failures import run_failure_of

DATASETS = [each for each in CATALOG["datasets"].values() if each.__module__.endswith(".bundled")]


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_dataset_is_what_its_facts_say(dataset: Any) -> None:
    x, y = load(dataset())
    assert (x.shape, x.dtype) == ((dataset().facts.rows, *dataset().facts.shape), np.float64)
    assert np.isfinite(x).all()
    if dataset().facts.task == "classification":
        assert y.dtype == np.int64
        assert set(y.tolist()) == set(range(dataset().facts.classes))
    else:
        assert y.dtype == np.float64
        assert y.mean() > 100  # as measured, not scaled


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("shares_", [(0.2, 0.0), (0.1, 0.3), (0.5, 0.37), (0.0, 0.0)])
def test_parts_have_the_exact_sizes_and_share_no_row(dataset: Any, shares_: tuple[float, float]) -> None:
    spec = dataset(validation=shares_[0], test=shares_[1])
    _, y = load(spec)
    parts = stratified_indices(y, spec.counts, 0, spec.facts.classes)
    assert tuple(len(part) for part in parts) == spec.counts
    assert sorted(np.concatenate(parts).tolist()) == list(range(spec.facts.rows))
    assert tuple(len(rows.x) for rows in split_dataset(spec)[:3]) == spec.counts


@pytest.mark.parametrize("dataset", [d for d in DATASETS if d().facts.classes])
def test_a_classification_split_keeps_the_classes_in_proportion(dataset: Any) -> None:
    spec = dataset(validation=0.2, test=0.1)
    _, y = load(spec)
    overall = np.bincount(y) / len(y)
    for part in stratified_indices(y, spec.counts, 3, spec.facts.classes):
        assert np.abs(np.bincount(y[part]) - overall * len(part)).max() < 2


def test_the_smallest_parts_still_hold_each_class() -> None:
    _, y = load(Wine())
    for part in stratified_indices(y, (172, 3, 3), 0, 3)[1:]:
        assert sorted(y[part].tolist()) == [0, 1, 2]


def test_the_split_seed_alone_decides_the_split() -> None:
    _, y = load(Iris())
    torch.manual_seed(1)
    first = stratified_indices(y, (90, 30, 30), 5, 3)
    np.random.default_rng(0).random(10)
    again, other = stratified_indices(y, (90, 30, 30), 5, 3), stratified_indices(y, (90, 30, 30), 6, 3)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert first[1].tolist()[:5] == stratified_indices(y, (90, 30, 30), 5, 3)[1].tolist()[:5]


@pytest.mark.parametrize(
    ("sizes", "total"), [([5, 5, 5], 7), ([100, 1, 1], 3), ([59, 71, 48], 36), ([3], 2), ([4, 9], 0)]
)
def test_shares_add_up_and_never_exceed_a_class(sizes: list[int], total: int) -> None:
    given = apportion(sizes, total)
    assert sum(given) == total
    assert all(0 <= has <= size for has, size in zip(given, sizes, strict=True))


def test_scaling_is_fitted_on_the_training_part_only() -> None:
    raw, scaled = split_dataset(Wine(scaling="none", test=0.2)), split_dataset(Wine(test=0.2))
    mean, deviation = raw.train.x.astype(np.float64).mean(0), raw.train.x.astype(np.float64).std(0)
    assert np.abs(scaled.train.x.mean(0)).max() < 1e-5
    assert np.abs(scaled.train.x.std(0) - 1).max() < 1e-5
    for ours, theirs in zip(scaled[:3], raw[:3], strict=True):
        np.testing.assert_allclose(ours.x, (theirs.x - mean) / deviation, rtol=1e-5, atol=1e-6)
    assert np.abs(scaled.validation.x.mean(0)).max() > 1e-3  # it has a mean of its own


def test_a_constant_column_is_divided_by_one() -> None:
    parts = split_dataset(Digits())
    assert np.isfinite(parts.train.x).all()
    assert (parts.train.x[:, 0, 0, 0] == 0).all()  # the corner pixel never changes
    scale = fit_scale("standardise", np.full((3, 1), 0.1, np.float32).__getitem__, 3)
    assert scale is not None
    assert scale.divisor.tolist() == [1.0]
    assert scale.shift[0] == pytest.approx(0.1)


def test_a_regression_target_is_scaled_where_the_dataset_says_so() -> None:
    scaled, raw = split_dataset(Diabetes()), split_dataset(Diabetes(target_scaling="none"))
    assert abs(scaled.train.y.mean()) < 1e-5
    assert abs(scaled.train.y.std() - 1) < 1e-5
    np.testing.assert_allclose(
        scaled.validation.y, (raw.validation.y - raw.train.y.mean()) / raw.train.y.std(), rtol=1e-4, atol=1e-5
    )
    assert raw.train.y.max() > 100


FAR = 1_700_000_000.0  # Unix time: float32 has one number every 128 there


@pytest.mark.parametrize("scaling", ["standardise", "minmax"])
def test_a_column_far_from_zero_scales_to_the_same_values_as_one_near_it(scaling: Any) -> None:
    near = np.arange(400.0)[:, None]
    scaled = {}
    for offset in (0.0, FAR):
        scale = fit_scale(scaling, (near + offset).__getitem__, 400)
        assert scale is not None
        scaled[offset] = scale.apply(near + offset)
    assert np.abs(scaled[FAR] - scaled[0.0]).max() < 1e-6
    assert scaled[FAR].dtype == np.float32


def test_what_is_trained_on_is_narrowed_last_and_unscaled_columns_that_lose_digits_are_told() -> None:
    parts = split_dataset(Diabetes(scaling="none", target_scaling="none"))
    assert {part.x.dtype for part in parts[:3]} == {part.y.dtype for part in parts[:3]} == {np.dtype(np.float32)}
    assert parts.coarse == {"features": [], "target": []}
    rows = np.stack([np.arange(400.0), FAR + np.arange(400.0), np.full(400, FAR)], axis=1)
    assert coarse_columns(rows.__getitem__, 400) == [1]  # a constant column has nothing to lose
    assert coarse_columns(rows.astype(np.float32).__getitem__, 400) == []
    assert split_dataset(Diabetes()).coarse == {}


@pytest.mark.parametrize("largest", [1.0, 1.5, 1e-30, 1.7e9, 2.0**100])
def test_a_column_is_coarse_below_1024_float32_spacings(largest: float) -> None:
    spacing = float(np.spacing(np.float32(largest)))
    assert is_coarse(1023 * spacing, -largest, 0.0)
    assert not is_coarse(1024 * spacing, 0.0, largest)
    assert not is_coarse(0.0, largest, largest)


def test_shared_arrays_cannot_be_changed_by_a_run() -> None:
    x, _ = load(Iris())
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 0
    parts = split_dataset(Iris(scaling="none"))
    parts.train.x[0] = 99  # a run's own copy
    assert load(Iris())[0].max() < 99


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, "row 149 has the label 3, and the 3 labels are 0..2"),
        (-1, "row 149 has the label -1, and the 3 labels are 0..2"),
        (np.nan, "row 149 has the label nan, and the 3 labels are 0..2"),
    ],
)
def test_a_label_out_of_range_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, label: float, message: str
) -> None:
    def wrong() -> Arrays:
        y = np.repeat([0, 1, 2], 50).astype(np.float64 if label != label else np.int64)
        y[-1] = label
        return np.zeros((150, 4)), y

    monkeypatch.setattr("worker.trainer.data.split.build", lambda dataset: wrong())
    monkeypatch.setattr("worker.trainer.data.split._loaded", {})
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load(Iris())
    assert run_failure_of(caught.value, None, building=True).kind == "spec_cannot_build"


def test_a_loader_that_contradicts_its_facts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def short() -> Arrays:
        return np.zeros((3, 4), np.float32), np.zeros(3, np.int64)

    monkeypatch.setattr("worker.trainer.data.split.build", lambda dataset: short())
    monkeypatch.setattr("worker.trainer.data.split._loaded", {})
    with pytest.raises(ValueError, match="which its facts contradict"):
        load(Iris())


def batches(rows: int = 3, n: int = 10, **more: Any) -> Batches:
    return Batches(torch.arange(n).float().reshape(n, 1), torch.arange(n), rows, seed=4, **more)


def test_an_epoch_sees_each_row_once_and_its_last_batch_may_be_smaller() -> None:
    made = batches()
    for epoch in range(3):
        pieces = [made.batch(epoch * 4 + k)[1] for k in (1, 2, 3, 4)]
        assert [len(piece) for piece in pieces] == [3, 3, 3, 1]
        assert torch.equal(torch.cat(pieces), epoch_order(4, epoch, 10))
        assert sorted(torch.cat(pieces).tolist()) == list(range(10))


def test_a_batch_is_a_function_of_seed_and_step_whatever_was_asked_before() -> None:
    forward, made = [batches().batch(step)[1] for step in range(1, 30)], batches()
    torch.manual_seed(99)
    for step in np.random.default_rng(0).permutation(29):
        x, y = made.batch(int(step) + 1)
        assert torch.equal(y, forward[step])
        assert torch.equal(x[:, 0], y.float())


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {tuple(epoch_order(seed, epoch, 50).tolist()) for seed in (0, 1, 2**63 - 1) for epoch in range(3)}
    assert len(orders) == 9
    assert epoch_order(0, 0, 8).tolist() == epoch_order(0, 0, 8).tolist()


def test_drawing_an_order_leaves_torchs_own_state_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch_order(0, 0, 1000)
    assert torch.equal(before, torch.get_rng_state())


def test_unshuffled_batches_keep_the_order_of_the_rows() -> None:
    made = batches(shuffle=False)
    assert torch.cat([made.batch(step)[1] for step in (1, 2, 3, 4)]).tolist() == list(range(10))


def test_a_full_batch_is_the_same_memory_at_every_step() -> None:
    made = batches(rows=10, whole=True)
    assert {made.batch(step)[0].data_ptr() for step in (1, 2, 50)} == {made.x.data_ptr()}


def test_without_its_last_batch_an_epoch_has_full_ones_of_other_rows_each_time() -> None:
    made = batches(drop_last=True)
    for epoch in range(3):
        seen = torch.cat([made.batch(epoch * 3 + k)[1] for k in (1, 2, 3)])
        assert torch.equal(seen, epoch_order(4, epoch, 10)[:9])
        assert torch.equal(seen, torch.cat([made.row_numbers(epoch * 3 + k) for k in (1, 2, 3)]))
    assert torch.equal(made.copy().batch(7)[1], made.batch(7)[1])


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_answers_dealt_out_anew_are_the_same_answers_on_other_rows(share: float) -> None:
    rows = np.arange(2000)
    dealt = shuffle_share(rows, share, 5)
    assert sorted(dealt) == rows.tolist()
    assert np.mean(dealt != rows) == pytest.approx(share, abs=0.005)  # by chance a row keeps its own
    assert (dealt == shuffle_share(rows, share, 5)).all()


def test_shuffled_targets_leave_the_rows_and_how_many_there_are_of_each_class() -> None:
    plain, shuffled = split_dataset(Digits(scaling="none")), split_dataset(Digits(scaling="none", shuffled_targets=1.0))
    x, y = (
        [np.concatenate([getattr(part, name) for part in parts[:3]]) for parts in (plain, shuffled)] for name in "xy"
    )
    assert sorted(map(bytes, x[0])) == sorted(map(bytes, x[1]))
    assert np.bincount(y[0]).tolist() == np.bincount(y[1]).tolist()
    answer = {bytes(row): label for row, label in zip(x[0], y[0], strict=True)}
    assert np.mean([answer[bytes(row)] == label for row, label in zip(x[1], y[1], strict=True)]) < 0.15
