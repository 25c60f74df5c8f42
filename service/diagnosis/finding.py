"""What a rule answers: found with its evidence, clear, or unknown with what is missing; and what a rule is."""

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
    """A number that was measured, and what it was held against."""

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
    """A value against the threshold `key`; `at` is that threshold in the value's own unit, where it is a share."""
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
    """Something that is so, with no threshold."""
    return Evidence(name, value if isinstance(value, str) else float(value), None, "=", source, series, steps, reading)


@dataclass(frozen=True)
class Expect:
    """What another experiment would show."""

    confirm: str
    refute: str


@dataclass(frozen=True)
class Finding:
    """A verdict. `explains` names the rules whose findings it makes superfluous; a higher `rank` is judged later."""

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
    rank: int = (
        0  # -2, -1: what a plan or its data make sure of; 0: a cause; 1: what several causes look like; 2: a sign
    )


@dataclass(frozen=True)
class NoFinding:
    """Looked at, and not so."""

    why: str


@dataclass(frozen=True)
class Inconclusive:
    """Not to be told; which instrument would, and whether the run's state asks for it (`pressing`)."""

    why: str
    probes: Sequence[str] = ()
    pressing: bool = False


Outcome = Finding | NoFinding | Inconclusive


@dataclass(frozen=True)
class Rule:
    """One question that is asked of every run."""

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
    """The answer where these series are not there; which watcher records them."""
    probes = tuple(dict.fromkeys(WATCHERS[name.split("/", 1)[0]] for name in names))
    listed, said = " and ".join(names), "probe" if len(probes) == 1 else "probes"
    return Inconclusive(f"{listed} was not recorded: the {said} {' and '.join(probes)} would.", probes)


def too_early(record: RunRecord, needed: int) -> Inconclusive:
    """The answer where there are too few steps."""
    return Inconclusive(f"{record.step} steps are too few to tell; {needed} are needed.")
