"""Select the runs that a question is about, and group them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.db.access.principal import Principal
from service.db.experiments import experiments, lists
from service.db.experiments.experiments import StoredExperiment
from service.db.experiments.lists import Order
from service.db.runs import runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.errors import Invalid, NotFound, Problem
from service.experiments.known_series import check_series
from service.nonfinite import dumps
from service.schemas.common import Json
from service.schemas.comparisons import Question
from service.spec.filters.language import And, Fact, Term, parse
from service.spec.validation_errors import closest

MAX_RUNS = 1000
MAX_EXPERIMENTS = 500
# fields of a spec that do not decide what is trained
IGNORED = (
    "name",
    "tags",
    "notes",
    "seeds",
    "restarts",
    "priority",
    "max_seconds",
    "pool",
    "probes",
    "predictions",
    "diagnose",
    "pack",
)
MISSING = object()


@dataclass(frozen=True)
class Trial:
    """An experiment and those of its runs that are compared."""

    experiment: StoredExperiment
    runs: list[StoredRun]
    label: str  # the experiment's name, with the end of its id or the seed where the name alone is not unique

    @property
    def spec(self) -> Json:
        """The fields that decide what is trained."""
        return {key: value for key, value in self.experiment.spec.items() if key not in IGNORED}


@dataclass(frozen=True)
class RunGroup:
    """The trials of one group."""

    label: str
    trials: list[Trial]

    @property
    def folds(self) -> int:
        """The most folds of any trial; 1: none has folds."""
        return max(folds_of_document(trial.experiment.spec) for trial in self.trials)

    @property
    def runs(self) -> list[StoredRun]:
        """The runs of all trials."""
        return [run for trial in self.trials for run in trial.runs]


def folds_of_document(spec: Json) -> int:
    """Return the number of folds of a stored spec's dataset; 1 where it has none."""
    return int(spec.get("dataset", {}).get("folds") or 1)


def check_question(question: Question) -> None:
    """Raise `Invalid` unless the question names what to compare, in one way."""
    given = [each for each in (question.experiments, question.runs, question.filter) if each is not None]
    if len(given) != 1:
        detail = "give exactly one of experiments, runs and filter."
        raise Invalid.of([Problem("/experiments", "contradiction", detail)])
    for name, prefix in (("experiments", "exp_"), ("runs", "run_")):
        ids = getattr(question, name) or ()
        if any(not each.startswith(prefix) for each in ids):
            raise Invalid.of([Problem(f"/{name}", "wrong_id", f"every id here starts with {prefix}.")])
        if len(set(ids)) < len(ids):
            raise Invalid.of([Problem(f"/{name}", "repeated", "give each id once.")])
    if question.window is not None and not question.window[0] < question.window[1]:
        detail = f"the first x must be below the last one; they are {question.window[0]:g} and {question.window[1]:g}."
        raise Invalid.of([Problem("/window", "contradiction", detail)])
    if question.target is not None:
        found = [problem.under("/target") for problem in question.target.problems()]
        if found:
            raise Invalid.of(found)


def select_groups(connection: Connection, principal: Principal, question: Question) -> list[RunGroup]:
    """Return the groups, in the order of the question; raise `NotFound` for what this principal may not see."""
    trials = _trials(connection, principal, question)
    if question.group == "run":
        trials = [
            replace(trial, runs=[run], label=f"{trial.label} seed {run.seed}") for trial in trials for run in trial.runs
        ]
    if question.group in ("experiment", "run"):
        groups = [RunGroup(trial.label, [trial]) for trial in trials]
    else:
        groups = group_by_fields(trials, (question.group,) if isinstance(question.group, str) else question.group)
    if question.baseline is not None and question.baseline not in [group.label for group in groups]:
        known = [group.label for group in groups]
        near = closest(question.baseline, known)
        raise Invalid.of([Problem("/baseline", "unknown_group", "no group has this label.", known[:50], near)])
    return groups


def matching_experiments(connection: Connection, principal: Principal, source: str) -> list[str]:
    """Return the experiments that match a filter, oldest first.

    Archived ones are left out, and those that confirm a comparison: each repeats a trial, and would count twice.
    """
    try:
        kept = parse(source, "experiments")
        check_series(connection, principal, "filter", kept, source)
    except Invalid as error:
        told = [replace(each, pointer=each.pointer.removeprefix("/query")) for each in error.problems]
        raise Invalid.of(told) from None
    present = And((kept, Term(Fact("archived", "date"), "null"), Term(Fact("confirms", "text"), "null")))
    found = lists.experiments(connection, principal, MAX_EXPERIMENTS + 1, present, Order(descending=False), None)
    if not found:
        raise NotFound("No experiment matches this filter.")
    if len(found) > MAX_EXPERIMENTS:
        raise Invalid.of(
            [Problem("/filter", "too_many", "more experiments match than a comparison takes.", MAX_EXPERIMENTS)]
        )
    return [each.id for each in found]


def _trials(connection: Connection, principal: Principal, question: Question) -> list[Trial]:
    asked = question.experiments or (
        matching_experiments(connection, principal, question.filter) if question.filter else None
    )
    if asked:
        stored = experiments.get_many(connection, principal, asked)
        found = runs.of_experiments(connection, asked)
    else:
        found = runs.get_many(connection, principal, question.runs or ())
        stored = experiments.get_many(connection, principal, tuple(dict.fromkeys(run.experiment_id for run in found)))
    if len(found) > MAX_RUNS:
        raise Invalid.of(
            [
                Problem(
                    "/experiments",
                    "too_many_runs",
                    f"they have {len(found)} runs, more than a comparison takes.",
                    MAX_RUNS,
                )
            ]
        )
    mine: dict[str, list[StoredRun]] = {experiment.id: [] for experiment in stored}
    for run in found:
        mine[run.experiment_id].append(run)
    names = [experiment.name for experiment in stored]
    labels = [each.name if names.count(each.name) == 1 else f"{each.name} ({each.id[-6:]})" for each in stored]
    return [Trial(each, mine[each.id], label) for each, label in zip(stored, labels, strict=True)]


def group_by_fields(trials: Sequence[Trial], paths: Sequence[str]) -> list[RunGroup]:
    """Group trials by their values at these dotted paths, in the order of each group's first trial."""
    groups: dict[str, list[Trial]] = {}
    for position, path in enumerate(paths):
        if all(value_at(trial.experiment.spec, path) is MISSING for trial in trials):
            known = sorted({place for trial in trials for place in _paths(trial.experiment.spec)})
            pointer = "/group" if len(paths) == 1 else f"/group/{position}"
            detail = "none of the experiments has this field."
            raise Invalid.of([Problem(pointer, "unknown_field", detail, did_you_mean=closest(path, known))])
    for trial in trials:
        values = [(path, value_at(trial.experiment.spec, path)) for path in paths]
        label = ", ".join(f"{path} {'-' if value is MISSING else _word(value)}" for path, value in values)
        groups.setdefault(label, []).append(trial)
    return [RunGroup(label, mine) for label, mine in groups.items()]


def value_at(spec: Json, path: str) -> object:
    """Return the value of a spec at a dotted path, or MISSING."""
    here: object = spec
    for part in path.split("."):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return MISSING
    return here


def _word(value: object) -> str:
    return value if isinstance(value, str) else dumps(value)[:100]


def _paths(spec: Json) -> list[str]:
    """Return the dotted paths of a spec's fields, two levels deep."""
    inner = [f"{key}.{name}" for key, value in spec.items() if isinstance(value, dict) for name in value]
    return [*spec, *inner]
