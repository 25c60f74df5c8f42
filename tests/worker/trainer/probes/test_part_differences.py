"""How two parts of the data differ, against numbers that are known."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker.trainer.probes.inline.part_differences import part_differences, told_shares

GENERATOR = torch.Generator().manual_seed(0)
ROWS, LABELS = torch.randn(1000, 4, generator=GENERATOR), torch.randint(0, 3, (1000,), generator=GENERATOR)


def differences(x: torch.Tensor, y: torch.Tensor, experiment: Any) -> dict[str, Any]:
    """Of the first 800 rows, and of these as the validation part."""
    training: Any = SimpleNamespace(spec=experiment(), validation=SimpleNamespace(x=x, y=y))
    return part_differences(training, (ROWS[:800], LABELS[:800]))


def test_parts_drawn_from_the_same_rows_do_not_differ(experiment: Any) -> None:
    found = differences(ROWS[800:], LABELS[800:], experiment)
    assert (found["shifted_features"], found["largest_shift"]) == (0, 0)
    assert found["class_shift"] < 3 * found["class_shift_noise"]
    assert found["told"] < 0.02


def test_a_shifted_feature_and_a_missing_class_are_seen(experiment: Any) -> None:
    shifted = ROWS[800:] + torch.tensor([2.0, 0, 0, 0])
    found = differences(shifted, torch.zeros(200, dtype=torch.long), experiment)
    assert found["shifted_features"] == 0.25
    assert found["largest_shift"] == pytest.approx(2, abs=0.3)
    assert found["class_shift"] == pytest.approx(2 / 3, abs=0.05)


def test_a_feature_that_is_the_target_tells_all_of_it(experiment: Any) -> None:
    x = torch.cat([ROWS, LABELS[:, None].float()], 1)
    assert float(told_shares(x.double(), LABELS)[4]) == pytest.approx(1)
    target = 3 * ROWS[:, :1] + 1
    assert float(told_shares(ROWS.double(), target)[0]) == pytest.approx(1)
    assert not len(told_shares(ROWS[:20].double(), LABELS[:20]))
    training: Any = SimpleNamespace(spec=experiment(), validation=SimpleNamespace(x=x[800:], y=LABELS[800:].flip(0)))
    found = part_differences(training, (x[:800], LABELS[:800]))
    assert (found["telling_feature"], round(found["told"], 6)) == (4, 1.0)
    assert found["told_validation"] < 0.05


def test_tokens_and_small_parts_have_no_such_numbers(experiment: Any) -> None:
    training: Any = SimpleNamespace(spec=experiment(), validation=None)
    assert part_differences(training, (LABELS[:100].reshape(50, 2), LABELS[:50])) == {}
    assert part_differences(training, (ROWS[:10], LABELS[:10])) == {}
    assert "class_shift" not in differences(ROWS[800:810], LABELS[800:810], experiment)


def test_a_validation_part_with_few_rows_of_each_class_tells_nothing(experiment: Any) -> None:
    classes = torch.arange(1000) % 12
    training: Any = SimpleNamespace(spec=experiment(), validation=SimpleNamespace(x=ROWS[800:840], y=classes[800:840]))
    found = part_differences(training, (ROWS[:800], classes[:800]))
    assert "told" in found
    assert "told_validation" not in found
    assert found["class_shift"] < 0.2


def test_of_wide_rows_some_from_every_part_of_them_are_looked_at(experiment: Any) -> None:
    y = torch.arange(2048) // 1024  # sorted: the first rows alone would be one class
    x = torch.randn(2048, 3072, generator=torch.Generator().manual_seed(1))
    x[:, 7] = y.float()
    training: Any = SimpleNamespace(spec=experiment(), validation=SimpleNamespace(x=x, y=y))
    found = part_differences(training, (x, y))
    assert (found["telling_feature"], found["shifted_features"]) == (7, 0)
    assert found["class_shift"] < 0.05
    assert (round(found["told"], 6), round(found["told_validation"], 6)) == (1.0, 1.0)
