"""Rules and their outcomes: a finding with its evidence, no finding, or inconclusive with what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import threshold

Level = Literal["fault", "warning", "info"]
Relation = Literal[">", "<", "="]
Operation = Mapping[str, Any]  # of RFC 6902


@dataclass(frozen=True)
class Evidence:
    """A measured value, and the threshold it was compared with."""

    name: str
    value: float | str | None
    threshold: float | None
    relation: Relation
    source: str
    series: str | None = None
    steps: tuple[int, int] | None = None
    reading: int | None = None


def evidence(
    name: str,
    value: float | None,
    relation: Relation,
    key: str,
    *,
    series: str | None = None,
    steps: tuple[int, int] | None = None,
    reading: int | None = None,
    at: float | None = None,
) -> Evidence:
    """Return a value compared with the threshold `key`; `at` gives a relative threshold in the value's own unit."""
    entry = threshold(key)
    value = None if value is None else float(value)
    return Evidence(
        name, value, entry.value if at is None else float(at), relation, entry.source, series, steps, reading
    )


def observation(
    name: str,
    value: float | str,
    source: str = "the spec",
    series: str | None = None,
    steps: tuple[int, int] | None = None,
    reading: int | None = None,
) -> Evidence:
    """Return evidence without a threshold."""
    return Evidence(name, value if isinstance(value, str) else float(value), None, "=", source, series, steps, reading)


@dataclass(frozen=True)
class Expect:
    """What an experiment with the remedy would show if the finding is right, and if it is wrong."""

    confirm: str
    refute: str


@dataclass(frozen=True)
class Finding:
    """A rule's verdict; what it explains is in `causes.py`, and `explains` names further rules."""

    level: Level
    verdict: str
    text: str
    confidence: float
    steps: tuple[int, int]
    evidence: Sequence[Evidence]
    patch: Sequence[Operation] = ()
    remedy: str | None = None
    expect: Expect | None = None
    probes: Sequence[str] = ()
    explains: Sequence[str] = ()
    strong: bool = True  # it is large enough to bring about all that its verdict can
    guess: bool = False  # nothing recorded speaks for it, other than that no other cause is shown
    rank: int = 0  # -2, -1: certain from the spec or its data; 0: a cause; 1: common to several causes; 2: a sign


@dataclass(frozen=True)
class NoFinding:
    """The rule applies, and its symptom is absent. `enough`: beside other trainings, it has learned what it can."""

    why: str
    enough: bool = False


@dataclass(frozen=True)
class Inconclusive:
    """The rule cannot decide; `probes` would help, and `pressing` says that the run's state calls for them."""

    why: str
    probes: Sequence[str] = ()
    pressing: bool = False


Outcome = Finding | NoFinding | Inconclusive


@dataclass(frozen=True)
class Rule:
    """A rule that is applied to every run."""

    id: str
    symptom: str
    verdicts: Sequence[str]
    judge: Callable[[RunRecord], Outcome] = field(compare=False)
    reference: str
    version: int = 1


WATCHERS = {
    "grad_norm": "gradients",
    "update_ratio": "updates",
    "underflow_share": "updates",
    "cosine": "cosines",
    "activation": "activations",
    "dead_share": "activations",
    "saturated_share": "activations",
    "rate": "rates",
    "bn_gap": "norm_modes",
    "sharpness": "sharpness",
    "noise_scale": "noise_scale",
}


def not_recorded(*names: str) -> Inconclusive:
    """Return the outcome where these series are missing, with the probes that record them."""
    probes = tuple(dict.fromkeys(WATCHERS[name.split("/", 1)[0]] for name in names))
    listed, said = " and ".join(names), "probe" if len(probes) == 1 else "probes"
    return Inconclusive(f"{listed} was not recorded: the {said} {' and '.join(probes)} would.", probes)


def too_early(record: RunRecord, needed: int) -> Inconclusive:
    """Return the outcome where there are too few steps."""
    return Inconclusive(f"{record.step} steps are too few; {needed} are needed.")
