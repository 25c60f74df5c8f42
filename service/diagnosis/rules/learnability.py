"""R29: what the same model, a simple one and a control reach beside the run, from the probe learnability."""

import math
from dataclasses import replace
from typing import Any

from service.diagnosis import remedies
from service.diagnosis.finding import Evidence, Expect, Finding, Inconclusive, NoFinding, Outcome, observation
from service.diagnosis.rules.blame import blamed_part, blamed_setting
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trained_beside import Compared, compared

VERDICTS = (
    "lr_too_small", "lr_above_stability", "schedule_mismatch", "optimizer_settings", "pipeline_or_capacity",
    "labels_unrelated", "validation_shift", "bad_init_or_scale", "weight_decay_too_strong", "eps_dominated_parameters",
    "accumulator_exhausted", "dropout_too_strong", "vanishing_gradient", "too_few_updates",
    "bn_statistics", "setting_had_no_effect",
)  # fmt: skip
SOURCE = "the probe learnability"


def less_than_possible(record: RunRecord) -> Outcome:
    """R29: the same model on fresh weights, or a simple one, reaches more than the run; or none reaches anything."""
    found = compared(record)
    if found is None:
        why = "nothing was trained beside the run: the probe learnability says what the model and the data allow."
        return Inconclusive(why, ("learnability",))
    outcome = _judge(record, found)
    if isinstance(outcome, Finding):
        return replace(outcome, text=outcome.text + _other_seed(found))
    return replace(outcome, why=outcome.why + _other_seed(found))


def _other_seed(found: Compared) -> str:
    """Return a sentence about weights that were not the run's own; empty if they were."""
    beside = found.taken_over("same")
    if "seed" not in beside:
        return ""
    return (
        f" The same model began at the first weights of seed {beside['seed']}, beside run {beside['run']} of the "
        "same pack, which differs in its seed: this run's own first weights were not tried."
    )


def _judge(record: RunRecord, found: Compared) -> Outcome:
    simpler = found.more("other") and found.more("other", "same")
    if found.more("same") and not (simpler and _model_matters_more(found)):
        return _settings(record, found)
    if simpler:
        if not found.tried("same"):
            return Inconclusive("the same model was trained for too few steps to say what it can learn.")
        return _model(record, found)
    if not any(found.learned(who) for who in ("run", "same", "other")):
        return _nothing(record, found)
    if (better := next((who for who in ("other", "same") if found.holds_better(who)), None)) is not None:
        name = _other(found) if better == "other" else "the same model"
        return Inconclusive(
            f"{name} holds better on other rows ({found.said(better)}, the run {found.said('run')}), but not on those "
            "that it was fitted to: the run knows its rows by heart, or started too large."
        )
    return _enough(found)


def _model_matters_more(found: Compared) -> bool:
    """Whether another model gains more over the same one than that gains over the run by another optimizer."""
    return found.gain("other") - found.gain("same") > found.gain("same") - found.gain("run")


def _cost(found: Compared) -> str:
    data = found.reading.data
    own = f"{data.get('trained_steps', 0)} updates beside the run, in {data.get('seconds', 0):.1f} s"
    runs = list(dict.fromkeys(beside["run"] for who in ("same", "other") if (beside := found.taken_over(who))))
    named = f"run{'s' if len(runs) > 1 else ''} {' and '.join(runs)}"
    return f"{own}; the other trainings were made beside {named} of its pack" if runs else own


def _seen(found: Compared, *who: str) -> list[Evidence]:
    """Return the losses as evidence, and what they cost."""
    names = {
        "constant": "the best constant answer",
        "run": "this run",
        "same": f"the same model, fresh, with adam at {found.entry('same').get('rate')}",
        "other": f"{_other(found)}",
        "control": "shuffled targets",
    }
    at = found.reading.id
    losses = [
        observation(f"{found.judged.replace('_', ' ')} loss of {names[each]}", found.loss(each), SOURCE, reading=at)
        for each in who
        if found.entry(each)
    ]
    return [*losses, observation("cost", _cost(found), SOURCE, reading=at)]


def _other(found: Compared) -> str:
    names = {"mlp": "a small MLP", "linear": "a linear model", "bigrams": "counted bigrams", "bag": "a bag of tokens"}
    name = str(found.entry("other").get("name", ""))
    return names.get(name, name)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _settings(record: RunRecord, found: Compared) -> Finding:
    """The same model learns from the same start with another optimizer: its settings, not the data, are the cause."""
    same = found.entry("same")
    setting = blamed_setting(record, same)
    tried = _sound_optimizer(record, found)
    return Finding(
        level="warning" if found.learned("run") else "fault",
        verdict=setting.verdict,
        text=f"The same model reaches {found.said('same')} in {same['steps']} updates of adam at {same['rate']:g}, "
        f"this run {found.said('run')}: {setting.why}",
        confidence=setting.confidence,
        steps=(1, max(1, record.step)),
        evidence=[*_seen(found, "run", "same"), *setting.seen],
        patch=setting.patch or tried,
        remedy=setting.remedy
        or f"Use adam at {same['rate']:g} at a constant rate, without clipping or decay: this was tried.",
        expect=Expect(f"the loss reaches {found.loss('same', 'train'):.4g}", "it stays where it is"),
        rank=2 if setting.verdict == "optimizer_settings" else 1,
    )


def _sound_optimizer(record: RunRecord, found: Compared) -> remedies.Patch:
    """Return the patch that gives the run what was tried beside it."""
    document, same = record.plan.document, found.entry("same")
    wanted: dict[str, Any] = {"clip": None, "groups": [], "no_decay": False, "layer_decay": None}
    wanted["schedule"] = {"kind": "constant"}
    patch = [remedies.replace("/optimizer", {"kind": "adam", "lr": same["rate"]})]
    patch += [
        remedies.replace(f"/{name}", value)
        for name, value in wanted.items()
        if document[name] != value and not (isinstance(value, dict) and document[name]["kind"] == value["kind"])
    ]
    if found.reading.data["batch"] > record.plan.spec.rows_per_step or document["batch_size"] == "full":
        patch.append(remedies.replace("/batch_size", found.reading.data["batch"]))
    return patch


def _model(record: RunRecord, found: Compared) -> Finding:
    """A simple model learns what this one does not learn from any rate: the model is the cause."""
    same = found.entry("same")
    if (scale := _unscaled(record)) and found.entry("other").get("name") != "bigrams":
        return _scaling(record, found, scale)
    part = blamed_part(record, found.entry("other").get("model"))
    return Finding(
        level="warning" if found.learned("run") else "fault",
        verdict=part.verdict,
        text=f"{_capital(_other(found))} reaches {found.said('other')} on the same rows, this run "
        f"{found.said('run')}, and its model does not reach more with another optimizer ({found.said('same')} with "
        f"adam at {same['rate']:g}): {part.why}",
        confidence=part.confidence,
        steps=(1, max(1, record.step)),
        evidence=[*_seen(found, "run", "same", "other"), *part.seen],
        patch=part.patch,
        remedy=part.remedy,
        expect=Expect(f"the loss reaches {found.loss('other'):.4g}", "it stays where it is"),
        rank=1,
    )


def _unscaled(record: RunRecord) -> remedies.Patch:
    """Return how to scale features or targets whose size alone can keep a model from learning; empty: they are."""
    start = record.reading("start")
    if start is None:
        return []
    variance, ratio, largest = (start.number(f) for f in ("target_variance", "feature_std_ratio", "feature_largest"))
    far = limit("R15.features")
    features = max(ratio or 0.0, largest or 0.0) > far
    target = variance is not None and not 1 / far**2 < variance < far**2
    return [
        *(remedies.standardise(record.plan) if features else []),
        *(remedies.standardise(record.plan, "target_scaling") if target else []),
    ]


def _scaling(record: RunRecord, found: Compared, patch: remedies.Patch) -> Finding:
    """A simple model of scaled rows learns what this one does not: their scale, or its model, is the cause."""
    return Finding(
        level="warning" if found.learned("run") else "fault",
        verdict="bad_init_or_scale",
        text=f"{_capital(_other(found))} of scaled rows reaches {found.said('other')}, this run {found.said('run')} "
        "on rows as they are: their scale keeps it from learning.",
        confidence=0.8,
        steps=(1, max(1, record.step)),
        evidence=_seen(found, "run", "same", "other"),
        patch=patch,
        remedy="Standardise features and targets.",
        expect=Expect(f"the loss comes as far as {found.said('other')}", "it does not: the model is too simple"),
        rank=1,
    )


def _nothing(record: RunRecord, found: Compared) -> Outcome:
    """Neither learns anything that holds on other rows."""
    if _few_decide(record):
        return Inconclusive("a few targets are far from all others and decide the loss: without them more can be said.")
    if not all(found.learns_nothing(who) for who in ("run", "same", "other") if found.entry(who)):
        return Inconclusive("what the trainings beside the run learned is within the noise of the rows.")
    held_out = found.judged == "validation" and "held_out" in found.entry("same").get("groups", {})
    for who in ("same", "other") if held_out else ():
        if found.learned(who, "held_out"):
            return _shifted(record, found, who)
    if found.judged == "train" or not all(found.tried(who) for who in ("same", "control")) or not _tried_other(found):
        return Inconclusive(
            "the trainings beside the run were too short, or had too few rows, to say what can be learned."
        )
    if found.learned("same", "train") and found.gain("control", "train") < limit("R29.as_fast") * found.gain(
        "same", "train"
    ):
        return Inconclusive(
            "nothing holds on other rows, yet shuffled targets are learned more slowly: more rows would tell."
        )
    return Finding(
        level="fault",
        verdict="labels_unrelated",
        text=f"Nothing learns these targets: on other rows neither the same model with adam at three rates, nor "
        f"{_other(found) or 'anything else'}, beats a constant prediction, and shuffled targets are learned as fast.",
        confidence=0.9,
        steps=(1, max(1, record.step)),
        evidence=[
            *_seen(found, "constant", "run", "same", "other"),
            observation("training loss with the true targets", found.loss("same", "train"), SOURCE),
            observation("training loss with shuffled targets", found.loss("control", "train"), SOURCE),
        ],
        remedy="Compare inputs and targets by eye; a join or a shuffle may have separated them.",
        expect=Expect("with targets that belong to the rows some model learns", "no model does"),
        rank=0,
    )


def _few_decide(record: RunRecord) -> bool:
    """Whether a few targets of a regression are so far from the others that the loss is mostly theirs."""
    start = record.reading("start")
    spread, variance = (
        (None, None) if start is None else (start.number("target_deviation"), start.number("target_variance"))
    )
    return spread is not None and bool(variance) and spread < limit("R6.tail") * math.sqrt(variance or 0.0)


def _tried_other(found: Compared) -> bool:
    """Whether the simple model was trained for long enough, if there is one."""
    return not found.entry("other") or found.tried("other")


def _shifted(record: RunRecord, found: Compared, who: str) -> Finding:
    """What was learned holds on other training rows, and not on the validation part."""
    at = found.reading.id
    return Finding(
        level="warning",
        verdict="validation_shift",
        text=f"What is learned holds on training rows that were left out (loss {found.loss(who, 'held_out'):.4g}, a "
        f"constant prediction {found.loss('constant', 'held_out'):.4g}), and not on the validation part "
        f"({found.loss(who):.4g} against {found.loss('constant'):.4g}): the two parts hold different data.",
        confidence=0.85,
        steps=(1, max(1, record.step)),
        evidence=[
            observation("loss on left-out training rows", found.loss(who, "held_out"), SOURCE, reading=at),
            *_seen(found, "constant", "run", who),
        ],
        remedy="Compare rows of both parts; draw them from the same data, or train on data like the validation part.",
        expect=Expect("with parts drawn at random both losses fall together", "the validation loss stays above"),
        rank=0,
    )


def _enough(found: Compared) -> Outcome:
    """Nobody reached clearly more than the run."""
    text = f"the run reached {found.said('run')}; the same model with adam {found.said('same')}"
    if found.entry("other"):
        text += f", {_other(found)} {found.said('other')}"
    if not (found.tried("same") and found.learned("run")):
        return NoFinding(f"{text}.")
    return NoFinding(f"{text}: this is what these data allow.", enough=True)
