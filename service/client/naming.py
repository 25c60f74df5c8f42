"""What people call things: a whole id, the end of one, an experiment's name, or NAME:SEED for one of its runs."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from service.client.errors import Unusable
from service.client.views import Run
from service.ids import PATTERN

if TYPE_CHECKING:
    from service.client.client import Client

ENDING = re.compile(r"[0-9a-hjkmnp-tv-z]{6,25}")
LOOKED_AT = 1000  # newest experiments that are searched for a name


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` is a whole id of this kind."""
    return text.startswith(f"{prefix}_") and PATTERN.fullmatch(text) is not None


def experiment_id(client: "Client", text: str, archived: bool = False) -> str:
    """The one experiment that is meant; `Unusable` where there is none, or more than one.

    `archived`: one that was put away may be meant, too.
    """
    if is_id(text, "exp"):
        return text
    if text == "latest":
        return next((item.id for item in client.experiments(limit=1)), "") or _none(text)
    there = client.experiments(limit=LOOKED_AT, archived=archived)
    found = [item for item in there if item.name == text or _ends(item.id, text)]
    if len(found) > 1:
        listed = ", ".join(item.id for item in found[:5])
        raise Unusable(f"{len(found)} experiments are called {text!r}: give an id ({listed})")
    return found[0].id if found else _none(text)


def run_ids(client: "Client", text: str) -> list[str]:
    """The runs that are meant: one by its id or NAME:SEED, or all of an experiment."""
    if is_id(text, "run"):
        return [text]
    name, colon, seed = text.rpartition(":")
    if colon and seed.isdecimal():
        runs = _speaking(client.experiment(experiment_id(client, name)).runs)
        found = [run.id for run in runs if run.seed == int(seed)]
        return found or _nothing(f"{name} has no run with seed {seed}; it has {_listed(r.seed for r in runs)}")
    return [run.id for run in _speaking(client.experiment(experiment_id(client, text)).runs)]


def _speaking(runs: Sequence[Run]) -> list[Run]:
    """Of each seed the newest run that is neither replay nor probe job: retries take the place of what they retry."""
    newest: dict[int, Run] = {}
    for run in sorted(runs, key=lambda run: run.id):  # ids sort by the time of making
        if run.relation not in ("replay", "probe"):
            newest[run.seed] = run
    return [newest[seed] for seed in dict.fromkeys(run.seed for run in runs) if seed in newest]


def run_id(client: "Client", text: str) -> str:
    """The one run that is meant."""
    found = run_ids(client, text)
    if len(found) != 1:
        raise Unusable(f"{text} has {len(found)} runs: give a run's id, or {text}:SEED for one of them")
    return found[0]


def _ends(whole: str, text: str) -> bool:
    return ENDING.fullmatch(text) is not None and whole.endswith(text)


def _listed(seeds: Iterator[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(set(seeds))[:20]) or "none"


def _none(text: str) -> str:
    raise Unusable(f"no experiment is called {text!r}; `saddle list` shows those there are")


def _nothing(words: str) -> list[str]:
    raise Unusable(words)
