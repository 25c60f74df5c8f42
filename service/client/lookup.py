"""Finding what a person names: by id, an experiment's name, the end of its id, or NAME:SEED for one of its runs.

The server looks a name up among all experiments. An exact name comes first, so one called `adam:3` or `latest` can be
found; an ambiguous name is refused, with the candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from service.client.errors import Unusable
from service.client.formatting import age
from service.ids import PATTERN
from service.spec.text import hidden_positions, normalise

if TYPE_CHECKING:
    from service.client.client import Client
    from service.schemas.experiments import ExperimentItem
    from service.schemas.runs import RunView

ENDING = re.compile(r"[0-9a-hjkmnp-tv-z]{6,25}")
SEED = re.compile(r"(.+):([0-9]{1,19})", re.DOTALL)
MAX_LISTED = 20  # candidates that a refusal shows
MAX_NAME = 128  # characters
MAX_CANDIDATES = 1000  # ids that contain the ending anywhere


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` is a whole id of this kind."""
    return text.startswith(f"{prefix}_") and PATTERN.fullmatch(text) is not None


def resolve(client: Client, text: str, archived: bool = False) -> list[str]:
    """Return the id of the named experiment or the ids of the named runs, or raise `Unusable` if that is unclear.

    An archived experiment is found if no other has the name; with `archived` it counts like the others.
    """
    if is_id(text, "run"):
        return [text]
    if whole := _find_experiment(client, text, archived):
        return [whole]
    parts = SEED.fullmatch(text)
    if parts is None:
        _not_found(text)
    name, seed = parts[1], int(parts[2])
    runs = _current_runs(client.experiment(_find_experiment(client, name, archived) or _not_found(text)).runs)
    found = [run.id for run in runs if run.seed == seed]
    return found or _refuse(f"{name} has no run with seed {seed}; it has {_listed(r.seed for r in runs)}")


def resolve_experiment_id(client: Client, text: str, archived: bool = False) -> str:
    """Return the id of the one experiment with this name."""
    return _find_experiment(client, text, archived) or _not_found(text)


def resolve_run_ids(client: Client, text: str) -> list[str]:
    """Return the ids of the named runs: one by its id or NAME:SEED, or all of an experiment."""
    found = resolve(client, text)
    if is_id(found[0], "run"):
        return found
    return [run.id for run in _current_runs(client.experiment(found[0]).runs)]


def resolve_run_id(client: Client, text: str) -> str:
    """Return the id of the one run with this name."""
    found = resolve_run_ids(client, text)
    if len(found) != 1:
        raise Unusable(f"{text} has {len(found)} runs: give a run's id, or {text}:SEED for one of them")
    return found[0]


def _find_experiment(client: Client, text: str, archived: bool) -> str | None:
    """Return its id: by whole id, exact name, `latest` or the end of an id, in this order; None if there is none."""
    if is_id(text, "exp"):
        return text
    if named := _find_by_name(client, text, archived):
        return _single(named, f"are called {text!r}")
    if text == "latest":
        return next((item.id for item in client.experiments(limit=1)), None)
    if ENDING.fullmatch(text) is None:
        return None
    holding = client.experiments(MAX_CANDIDATES, filter=f'id ~ "{text}"', archived=True)
    ending = [item for item in holding if item.id.endswith(text)]
    return _single(ending, f"have ids that end in {text!r}") if ending else None


def _find_by_name(client: Client, text: str, archived: bool) -> list[ExperimentItem]:
    """Return the experiments with this name, newest first, at most one more than a refusal lists."""
    name = normalise(text)
    if not name or len(name) > MAX_NAME or hidden_positions(name):
        return []  # not a possible name
    question = 'name = "{}"'.format(name.replace('"', '""'))
    found = list(client.experiments(MAX_LISTED + 1, filter=question, archived=archived))
    return found if found or archived else list(client.experiments(MAX_LISTED + 1, filter=question, archived=True))


def _single(found: Sequence[ExperimentItem], how: str) -> str:
    """Return the id of the only candidate."""
    if len(found) == 1:
        return found[0].id
    count = f"more than {MAX_LISTED}" if len(found) > MAX_LISTED else f"{len(found)}"
    listed = [f"  {item.id}  {item.name}, by {item.owner}, {age(item.created_at)} ago" for item in found[:MAX_LISTED]]
    raise Unusable("\n".join([f"{count} experiments {how}, so nothing was done: give an id", *listed]))


def _current_runs(runs: Sequence[RunView]) -> list[RunView]:
    """Return the newest run of each seed, without replays and probe jobs: a retry replaces the run it retries."""
    newest: dict[int, RunView] = {}
    for run in sorted(runs, key=lambda run: run.id):  # ids sort by creation time
        if run.relation not in ("replay", "probe"):
            newest[run.seed] = run
    return [newest[seed] for seed in dict.fromkeys(run.seed for run in runs) if seed in newest]


def _listed(seeds: Iterator[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(set(seeds))[:20]) or "none"


def _not_found(text: str) -> NoReturn:
    raise Unusable(f"no experiment is called {text!r}; `saddle list` shows those there are")


def _refuse(words: str) -> NoReturn:
    raise Unusable(words)
