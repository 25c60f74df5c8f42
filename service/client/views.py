"""What the server answers, as small frozen objects; `raw` holds the whole answer, newer fields included."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, TypeVar

Json = dict[str, Any]
V = TypeVar("V", bound="View")
OVER = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Read:
    """How the JSON of a field becomes its value; null stays None."""

    reader: Callable[[Any], Any]


When = Annotated[datetime | None, Read(datetime.fromisoformat)]
Number = Annotated[float | None, Read(float)]  # "NaN", "Infinity" and "-Infinity" are numbers again


@dataclass(frozen=True)
class View:
    """Base: made from JSON by field name; what this version does not know stays in `raw`."""

    @classmethod
    def of(cls: type[V], document: Mapping[str, Any]) -> V:
        """From an answer."""
        values: Json = {}
        for each in dataclasses.fields(cls):
            if each.name == "raw":
                values["raw"] = dict(document)
            elif each.name in document:
                values[each.name] = _read(each.type, document[each.name])
        return cls(**values)


def _read(annotation: Any, value: Any) -> Any:
    if value is None:
        return None
    for each in getattr(annotation, "__metadata__", ()):
        value = each.reader(value)
    return value


@dataclass(frozen=True)
class Summary(View):
    """A series without its points; min and max are over the finite values, None where there is none."""

    n: int
    last: Number = None
    last_step: int | None = None
    min: Number = None
    min_step: int | None = None
    max: Number = None
    max_step: int | None = None
    nonfinite: int = 0


def _summaries(document: Mapping[str, Json]) -> dict[str, Summary]:
    return {name: Summary.of(each) for name, each in document.items()}


@dataclass(frozen=True)
class Run(View):
    """One training."""

    id: str
    experiment_id: str
    seed: int
    state: str
    step: int
    total_steps: int
    displayed: str = ""
    progress: float = 0.0
    attempt: int = 0
    checkpoint_step: int = 0
    worker: str | None = None
    failure: Json | None = None
    relation: str | None = None
    parent_run_id: str | None = None
    created_at: When = None
    started_at: When = None
    finished_at: When = None
    series: Annotated[dict[str, Summary], Read(_summaries)] = field(default_factory=dict)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.state in OVER


def _runs(items: list[Json]) -> tuple[Run, ...]:
    return tuple(Run.of(each) for each in items)


@dataclass(frozen=True)
class Key(View):
    """An API key of the project; `key` holds it whole in the answer that made it, and only there."""

    id: str
    name: str
    member: str
    open: bool
    current: bool
    created_at: When = None
    expires_at: When = None
    revoked_at: When = None
    key: str | None = field(default=None, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Experiment(View):
    """An experiment with its runs; a dry run has neither id nor runs."""

    id: str | None
    name: str
    owner: str
    hash: str
    spec: Json = field(default_factory=dict, repr=False)
    etag: str | None = None
    runs: Annotated[tuple[Run, ...], Read(_runs)] = ()
    warnings: Annotated[tuple[Json, ...], Read(tuple)] = ()
    derived: Json = field(default_factory=dict)
    created_at: When = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def over(self) -> bool:
        """Whether every run has ended."""
        return all(run.over for run in self.runs)


@dataclass(frozen=True)
class ExperimentItem(View):
    """An experiment in a list."""

    id: str
    name: str
    owner: str
    hash: str
    created_at: When = None
    runs: dict[str, int] = field(default_factory=dict)
    tags: Annotated[tuple[str, ...], Read(tuple)] = ()
    main: Json | None = None  # what it came to, by the series it is ranked by
    values: Json = field(default_factory=dict)  # of the columns that were asked for
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Comparison(View):
    """The stored question and its answer: groups, difference of the specs, ranking, warnings.

    `confirmation` is what fresh seeds say of the contestants, once somebody asked for them.
    """

    id: str
    question: Json
    groups: Annotated[tuple[Json, ...], Read(tuple)]
    difference: Json = field(default_factory=dict)
    ranking: Json = field(default_factory=dict)
    confirmation: Json | None = None
    warnings: Annotated[tuple[Any, ...], Read(tuple)] = ()
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Storage(View):
    """Bytes of points and of kept checkpoints; `greatest` has the runs that take most."""

    runs: int
    points: int
    points_bytes: int
    checkpoints: int
    checkpoints_bytes: int
    greatest: Annotated[tuple[Json, ...], Read(tuple)] = ()
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Kind(View):
    """One choosable part; `json_schema` has its fields with defaults and ranges."""

    family: str
    kind: str
    summary: str = ""
    formula: str = ""
    paper: str = ""
    json_schema: Json = field(default_factory=dict, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Dataset(View):
    """An uploaded file."""

    id: str
    name: str
    format: str
    rows: int
    size_bytes: int
    report: Json = field(default_factory=dict, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Checkpoint(View):
    """A kept state of a run."""

    attempt: int
    step: int
    reason: str = ""
    value: Number = None
    size_bytes: int | None = None
    sha256: str | None = None
    kept: bool = True
    damaged: bool = False
    created_at: When = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Replay(View):
    """A run trained once more, and whether it came out the same; None: nothing to compare yet."""

    run: Annotated[Run, Read(Run.of)]
    complete: bool
    identical: bool | None
    compared_steps: int
    first_difference: Json | None = None
    cause: str | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Verification(View):
    """A remedy that is tried; outcome and measured are None until all its runs have ended."""

    id: str
    run_id: str
    finding: str
    verdict: str
    state: str
    from_step: int
    outcome: str | None = None
    why: str | None = None
    control: Annotated[Run | None, Read(Run.of)] = None
    patched: Annotated[Run | None, Read(Run.of)] = None
    pairs: Annotated[tuple[Json, ...], Read(tuple)] = ()
    measured: Json | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def over(self) -> bool:
        """Whether it is known, or will never be."""
        return self.state in ("done", "failed")


@dataclass(frozen=True)
class Worker(View):
    """Somebody who trains."""

    name: str
    state: str
    pool: str = ""
    run_id: str | None = None
    detail: str | None = None
    device: Json | None = None
    beat_s: Number = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Reading(View):
    """What one look of a probe found; `data` depends on the kind."""

    id: int
    run_id: str
    attempt: int
    step: int
    kind: str
    data: Json = field(default_factory=dict, repr=False)
    at: When = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Diagnosis(View):
    """Why a run learned or did not. `findings` begin with the gravest; `checked` has what each rule came to."""

    run_id: str
    state: str
    step: int
    level: str
    headline: str
    complete: bool = False
    findings: Annotated[tuple[Json, ...], Read(tuple)] = ()
    checked: Annotated[tuple[Json, ...], Read(tuple)] = field(default=(), repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)
