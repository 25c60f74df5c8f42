"""A step of a plug-in: fitted on the training rows, stored as JSON, and applied to single rows as in the training."""

import json
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from service.export.model.load_script import load_script
from service.spec.plugins import PACKAGES, PluginPackage
from service.spec.preparation.base import NumberStepBase, number_features
from service.spec.preparation.plan import plan_steps
from worker.trainer.predict.rows import prepare_row
from worker.trainer.prepare.preparation import Preparation

DRAW = np.random.RandomState(0)
ROWS = DRAW.standard_normal((200, 3)) * [1, 10, 100]


class Clip(NumberStepBase):
    """Values beyond a quantile become that quantile."""

    target = f"{__name__}:Clipped"
    kind: Literal["clip"] = "clip"
    share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05


class Clipped:
    """What a plug-in's package brings."""

    def __init__(self, share: float) -> None:
        self.share = share

    def fit(self, values: Any) -> dict[str, Any]:
        return {"ends": np.nanquantile(values, (self.share, 1 - self.share))}

    def change(self, values: Any, fitted: dict[str, Any]) -> Any:
        return np.clip(values, *fitted["ends"])


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Preparation:
    monkeypatch.setitem(PACKAGES, Clip, PluginPackage("ours", "1.0"))
    planned, problems = plan_steps((Clip(columns=("0", "2")),), number_features(3))
    assert problems == []
    return Preparation.fit(planned, lambda columns: ROWS[:150, list(columns)], 150, (3,))


def test_it_is_fitted_on_the_training_rows_of_its_columns(fitted: Preparation) -> None:
    expected = ROWS.copy()
    for at in (0, 2):
        expected[:, at] = expected[:, at].clip(*np.quantile(ROWS[:150, at], (0.05, 0.95)))
    assert np.array_equal(fitted.apply(ROWS), expected)
    blank = ROWS[:1].copy()
    blank[0, 0] = np.nan
    assert np.isnan(fitted.apply(blank)[0, 0])


def test_a_single_row_is_prepared_by_what_was_stored(fitted: Preparation) -> None:
    stored = json.loads(json.dumps(fitted.as_json()))
    inputs = {"preparation": stored, "features": ["0", "1", "2"]}
    for at, row in enumerate(ROWS[150:]):
        assert prepare_row(row.tolist(), at, inputs) == fitted.apply(row[None])[0].tolist()
    (step,) = stored["steps"]
    assert (step["kind"], step["share"], step["target"]) == ("clip", 0.05, Clip.target)
    assert set(step["columns"]) == {"0", "2"}


def test_the_program_that_predicts_names_the_package_that_it_needs(fitted: Preparation) -> None:
    inputs: dict[str, Any] = dict.fromkeys(("vocabulary", "tokenizer", "features", "resize"))
    inputs |= {"shape": [3], "preparation": fitted.as_json()}
    source = {"needs": ["timm"], "text": "", "arguments": {}, "call": "model"}
    assert "Needs torch and safetensors, timm, tests." in load_script("run_1", 1, source, inputs)
    assert "Needs torch and safetensors, timm." in load_script("run_1", 1, source, inputs | {"preparation": None})


def test_only_json_is_stored(fitted: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clipped, "fit", lambda self, values: {"model": object()})
    planned, _ = plan_steps((Clip(),), number_features(3))
    with pytest.raises(TypeError, match="object is not JSON: return numbers, texts and lists of them"):
        Preparation.fit(planned, lambda columns: ROWS[:150, list(columns)], 150, (3,))
