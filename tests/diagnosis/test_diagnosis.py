"""A whole diagnosis: what explains what, what stays unknown, the overall level, and the text."""

from dataclasses import replace

import numpy as np
import pytest

from service.analysis.reduce import reduce
from service.analysis.run_data import Series
from service.diagnosis import remedies
from service.diagnosis.diagnose import Diagnosis, diagnose
from service.diagnosis.plan import Plan
from service.diagnosis.rules.registry import RULES
from service.diagnosis.text import readable
from service.diagnosis.trend import log_slope, longest_stretch, theil_sen
from service.errors import Invalid
from service.spec.parse.json_patch import apply_patch

from .drawn_runs import AT, FIRST, LAST, LN10, STEPS, beside, drawn, falling, flat, reading, spec_of


def state(told: Diagnosis, rule: str) -> str:
    return next(each.state for each in told.checked if each.rule.id == rule)


def test_a_healthy_run_is_healthy_and_all_rules_were_asked() -> None:
    told = diagnose(drawn())
    assert (told.level, told.findings) == ("healthy", ())
    assert len(told.checked) == len(RULES)
    assert told.headline.startswith("No fault found: the loss has come 9")


def test_what_a_cause_explains_is_left_out_and_said() -> None:
    spec = {"model": {"kind": "mlp", "hidden": [32], "init": {"kind": "zeros"}}}
    norms = {f"grad_norm/{FIRST}": flat(0.0), f"grad_norm/{LAST}": flat(0.01), "dead_share/layers.1": flat(1.0)}
    told = diagnose(drawn(flat(LN10, 0.005), spec, series=norms))
    assert [each.rule.id for each in told.findings] == ["R3"]
    assert "R13" in told.findings[0].suppressed
    assert state(told, "R13") == "suppressed"
    assert any("explained by flat at the trivial loss" in each.why for each in told.checked)


def test_a_description_gives_way_to_a_later_cause() -> None:
    creeping = drawn(flat(LN10, 0.005), series={"update_ratio": flat(1e-7), f"grad_norm/{FIRST}": flat(0.1)})
    told = diagnose(creeping)
    assert [each.finding.verdict for each in told.findings] == ["lr_too_small"]
    assert told.findings[0].suppressed == ("R3",)


def test_unknown_stays_unknown_and_names_the_instrument_that_would_tell() -> None:
    told = diagnose(drawn())
    unknown = {each.rule.id: each for each in told.checked if each.state == "unknown"}
    assert unknown["R4"].probes == ("overfit_batch",)
    assert unknown["R8"].probes == ("sharpness",)
    assert "dead_share" in unknown["R13"].why


def test_a_plateau_without_curvature_is_not_called_healthy() -> None:
    norms = {"grad_norm": np.where(AT < 50, 1.0, 1e-6)}
    told = diagnose(drawn(np.where(AT < 50, falling(), 1.2), series=norms))
    assert told.level == "unknown"
    assert "critical_point" in told.headline


def test_a_run_of_few_steps_is_not_judged() -> None:
    told = diagnose(drawn(falling()[:8], state="running"))
    assert (told.level, told.findings) == ("unknown", ())
    assert told.headline == "Too early to tell: 8 steps are recorded."


@pytest.mark.parametrize(
    ("state", "failure", "how"),
    [
        ("failed", {"code": "cuda_oom"}, "failed (cuda_oom)"),
        ("cancelled", None, "was cancelled"),
        ("succeeded", None, "ended"),
    ],
)
def test_what_has_ended_is_never_told_to_be_judged_later(state: str, failure: dict[str, str] | None, how: str) -> None:
    short = diagnose(drawn(falling()[:8], state=state, failure=failure))
    assert short.headline == f"The run {how} after 8 steps: too few to diagnose, which takes 20."
    norms = {"grad_norm": np.where(AT < 50, 1.0, 1e-6)}
    stuck = diagnose(drawn(np.where(AT < 50, falling(), 1.2), series=norms, state=state))
    little = diagnose(drawn(2.29 - 0.002 * AT, series={"grad_norm": flat(1.0)}, state=state))
    assert stuck.headline.startswith("Not known: ")
    for told in (short, stuck, little):
        assert not any(word in told.headline for word in ("early", " yet:", "so far", "still turn"))


@pytest.mark.parametrize("seed", range(5))
def test_the_noise_of_batches_is_no_fault(seed: int) -> None:
    generator = np.random.default_rng(seed)
    loss = (0.02 + 2.28 * np.exp(-AT / 60)) * np.exp(generator.normal(0, 0.7, STEPS))  # some batches ten times others
    norms = np.exp(generator.normal(0, 1.0, STEPS))
    seen = {"grad_norm": norms, "cosine/gradient": generator.normal(0, 0.2, STEPS), "update_ratio": 3e-3 * norms}
    before = reading("start", 0, initial_loss=2.35, trivial_loss=LN10)
    told = diagnose(drawn(loss, series=seen, readings=before))
    assert told.level == "healthy", readable(told)


def test_the_text_tells_what_to_try_and_why() -> None:
    text = readable(diagnose(drawn(np.concatenate([[2.3, 40, 90], flat(3.2, 0.2)[3:]]))))
    assert text.startswith("FAULT: The loss is higher than before the first step")
    assert "replace /optimizer/lr = 0.005" in text
    assert "Right if: the loss falls" in text
    assert "Not known:" in text
    assert max(map(len, text.splitlines())) <= 100


def test_buckets_and_points_lead_to_the_same_verdict() -> None:
    record = drawn(np.where(AT < 500, falling(), 5.0))
    found = reduce(AT, np.where(AT < 500, falling(), 5.0), 100)
    columns = (found.last_step, found.mean, found.min, found.max, found.nonfinite)
    record.series["loss"] = Series.of_columns(columns)  # type: ignore[index]
    assert diagnose(record).findings[0].finding.verdict == "lr_above_stability"


def test_slopes_are_exact_on_an_exponential_and_mind_no_outliers() -> None:
    x = np.arange(50.0)
    y = 3 - 0.5 * x
    y[::5] = 1e6
    assert theil_sen(x, y) == pytest.approx(-0.5)
    curve = Series.exact(AT, 0.4 + np.exp(-AT / 200))
    late = curve.between(900, STEPS)  # the smoothed curve lags, and its slope in the logarithm is the same
    found = log_slope(late, 0.4)
    assert found == pytest.approx(-1 / 200, rel=0.1)


def test_the_longest_stretch_is_told_by_its_steps() -> None:
    held = np.array([True, False, True, True, True, False, True])
    assert longest_stretch(held, np.arange(10, 17)) == (12, 14)
    assert longest_stretch(np.zeros(3, bool), np.arange(3)) is None


def test_every_rate_of_a_spec_is_scaled() -> None:
    rules = [{"match": {"name": "layers.0.*"}, "lr": 0.2}, {"match": {"dim_lt": 2}, "optimizer": {"kind": "adam"}}]
    cycle = {"kind": "cyclic", "base_lr": 0.01, "max_lr": 1.0, "step_size_up": 20}
    plan = Plan(spec_of(groups=rules, schedule=cycle))
    changed = apply_patch(plan.document, remedies.scale_rates(plan, 0.1))
    assert changed["optimizer"]["lr"] == 0.005
    assert changed["groups"][0]["lr"] == 0.02
    assert changed["groups"][1]["optimizer"]["lr"] == 1e-4
    assert (changed["schedule"]["base_lr"], changed["schedule"]["max_lr"]) == (0.001, 0.1)


def test_a_patch_that_no_spec_can_take_is_none() -> None:
    plan = Plan(spec_of())
    assert remedies.patched_spec(plan, [remedies.replace("/batch_size", 10**7)]) is None
    assert remedies.patched_spec(plan, [remedies.replace("/batch_size", 32)]) is None  # it is that already
    assert remedies.patched_spec(plan, [remedies.replace("/batch_size", 16)]) is not None


def test_operations_add_replace_and_remove_as_rfc_6902_says() -> None:
    document = {"a": [1, 2], "b/c": {"d": None}}
    assert apply_patch(document, [{"op": "add", "path": "/a/1", "value": 9}])["a"] == [1, 9, 2]
    assert apply_patch(document, [{"op": "add", "path": "/a/-", "value": 9}])["a"] == [1, 2, 9]
    assert apply_patch(document, [{"op": "remove", "path": "/b~1c/d"}])["b/c"] == {}
    assert apply_patch(document, [{"op": "replace", "path": "", "value": 1}]) == 1
    assert document == {"a": [1, 2], "b/c": {"d": None}}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "remove", "path": "/a/2"},
        {"op": "add", "path": "/a/4", "value": 1},
        {"op": "replace", "path": "/a/-1", "value": 1},
        {"op": "move", "path": "/a/0", "from": "/a/1"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a"},
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        apply_patch({"a": [1, 2]}, [operation])


def test_what_was_tried_beside_the_run_replaces_guesses_that_it_refutes() -> None:
    stuck, linear = flat(LN10, 0.005), {"model": {"kind": "linear"}}
    assert diagnose(drawn(stuck, linear)).findings[0].finding.verdict == "pipeline_or_capacity"
    settings = diagnose(drawn(stuck, linear, readings=beside(same=0.5)))
    assert [each.rule.id for each in settings.findings] == ["R29"]
    assert settings.findings[0].suppressed == ("R3",)
    model = diagnose(drawn(stuck, linear, readings=beside(other=0.5)))
    assert [(each.rule.id, each.finding.verdict) for each in model.findings] == [("R29", "pipeline_or_capacity")]
    assert model.findings[0].finding.patch
    labels = diagnose(drawn(stuck, linear, readings=beside()))
    assert [(each.rule.id, each.finding.verdict) for each in labels.findings] == [("R29", "labels_unrelated")]


def test_one_batch_that_the_run_s_own_rate_cannot_overfit_is_no_lack_of_capacity() -> None:
    readings = [*reading("overfit_batch", share=0.9), *beside(same=0.5)]
    told = diagnose(drawn(flat(1.9, 0.01), readings=readings))
    assert [each.rule.id for each in told.findings] == ["R29"]
    assert told.findings[0].suppressed == ("R4",)


def test_a_recorded_cause_of_the_same_kind_stands_and_becomes_surer() -> None:
    slow = {"update_ratio": flat(1e-6), "grad_norm": flat(1.0)}
    alone = diagnose(drawn(flat(LN10, 0.005), series=slow)).findings[0]
    both = diagnose(drawn(flat(LN10, 0.005), series=slow, readings=beside(same=0.5))).findings[0]
    assert (alone.rule.id, both.rule.id) == ("R9", "R9")
    assert both.finding.confidence > alone.finding.confidence
    assert {"R3", "R29"} <= set(both.suppressed)
    assert len(both.finding.evidence) > len(alone.finding.evidence)


def test_a_run_that_learned_what_the_data_allow_is_healthy() -> None:
    alone = diagnose(drawn(flat(1.9, 0.05)))
    assert alone.level == "unknown"
    told = diagnose(drawn(flat(1.9, 0.05), readings=beside(run=1.9, same=1.9, other=1.88)))
    assert (told.level, told.findings) == ("healthy", ())
    assert told.headline.endswith("this is what these data allow.")
    old = diagnose(drawn(flat(1.9, 0.05), readings=[replace(each, step=10) for each in beside(run=1.9, same=1.9)]))
    assert old.level == "unknown", "what was measured at an earlier step says nothing"
