"""What people call things: a whole id, an experiment's name, the end of its id, or NAME:SEED for one of its runs.

The server looks a name up among all experiments. The exact name comes first, so that one called `adam:3` or `latest`
can be named; what is ambiguous is refused, with the candidates.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from service.client.durations import age
from service.client.errors import Unusable
from service.client.views import ExperimentItem, Run
from service.ids import PATTERN
from service.spec.text import hidden_positions, normalise

if TYPE_CHECKING:
    from service.client.client import Client

ENDING = re.compile(r"[0-9a-hjkmnp-tv-z]{6,25}")
SEED = re.compile(r"(.+):([0-9]{1,19})", re.DOTALL)
LISTED = 20  # candidates that a refusal shows
LONGEST = 128  # characters of a name
LOOKED_AT = 1000  # ids that hold the ending somewhere


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` is a whole id of this kind."""
    return text.startswith(f"{prefix}_") and PATTERN.fullmatch(text) is not None


def find(client: "Client", text: str, archived: bool = False) -> list[str]:
    """Return the id of the experiment that is meant, or the ids of the runs; `Unusable` where that is not clear.

    An archived experiment is meant where no other has the name; with `archived` it counts like the others.
    """
    if is_id(text, "run"):
        return [text]
    if whole := _experiment(client, text, archived):
        return [whole]
    parts = SEED.fullmatch(text)
    if parts is None:
        _none(text)
    name, seed = parts[1], int(parts[2])
    runs = _speaking(client.experiment(_experiment(client, name, archived) or _none(text)).runs)
    found = [run.id for run in runs if run.seed == seed]
    return found or _refuse(f"{name} has no run with seed {seed}; it has {_listed(r.seed for r in runs)}")


def experiment_id(client: "Client", text: str, archived: bool = False) -> str:
    """Return the id of the one experiment that is meant."""
    return _experiment(client, text, archived) or _none(text)


def run_ids(client: "Client", text: str) -> list[str]:
    """Return the ids of the runs that are meant: one by its id or NAME:SEED, or all of an experiment."""
    found = find(client, text)
    if is_id(found[0], "run"):
        return found
    return [run.id for run in _speaking(client.experiment(found[0]).runs)]


def run_id(client: "Client", text: str) -> str:
    """Return the id of the one run that is meant."""
    found = run_ids(client, text)
    if len(found) != 1:
        raise Unusable(f"{text} has {len(found)} runs: give a run's id, or {text}:SEED for one of them")
    return found[0]


def _experiment(client: "Client", text: str, archived: bool) -> str | None:
    """Its id by whole id, exact name, `latest` or the end of an id, in this order; None where nothing is called so."""
    if is_id(text, "exp"):
        return text
    if named := _called(client, text, archived):
        return _only(named, f"are called {text!r}")
    if text == "latest":
        return next((item.id for item in client.experiments(limit=1)), None)
    if ENDING.fullmatch(text) is None:
        return None
    holding = client.experiments(LOOKED_AT, filter=f'id ~ "{text}"', archived=True)
    ending = [item for item in holding if item.id.endswith(text)]
    return _only(ending, f"have ids that end in {text!r}") if ending else None


def _called(client: "Client", text: str, archived: bool) -> list[ExperimentItem]:
    """The experiments of this name, newest first, at most one more than a refusal lists."""
    name = normalise(text)
    if not name or len(name) > LONGEST or hidden_positions(name):
        return []  # nothing can be called so
    question = 'name = "{}"'.format(name.replace('"', '""'))
    found = list(client.experiments(LISTED + 1, filter=question, archived=archived))
    return found if found or archived else list(client.experiments(LISTED + 1, filter=question, archived=True))


def _only(found: Sequence[ExperimentItem], how: str) -> str:
    """The id of the only candidate."""
    if len(found) == 1:
        return found[0].id
    count = f"more than {LISTED}" if len(found) > LISTED else f"{len(found)}"
    listed = [f"  {item.id}  {item.name}, by {item.owner}, {age(item.created_at)} ago" for item in found[:LISTED]]
    raise Unusable("\n".join([f"{count} experiments {how}, so nothing was done: give an id", *listed]))


def _speaking(runs: Sequence[Run]) -> list[Run]:
    """Of each seed the newest run that is neither replay nor probe job: retries take the place of what they retry."""
    newest: dict[int, Run] = {}
    for run in sorted(runs, key=lambda run: run.id):  # ids sort by the time of making
        if run.relation not in ("replay", "probe"):
            newest[run.seed] = run
    return [newest[seed] for seed in dict.fromkeys(run.seed for run in runs) if seed in newest]


def _listed(seeds: Iterator[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(set(seeds))[:20]) or "none"


def _none(text: str) -> NoReturn:
    raise Unusable(f"no experiment is called {text!r}; `saddle list` shows those there are")


def _refuse(words: str) -> NoReturn:
    raise Unusable(words)
