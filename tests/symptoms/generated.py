"""Generated trainings: drawn, trained beside their healthy twins, diagnosed, and judged by what the disease did.

A disease that does no harm is none: a training is sick where its validation loss comes at least a tenth of the way less
far than its twin's, without effect below three hundredths, and undecided between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal
from unittest import mock

import numpy as np

from service.diagnosis.diagnose import diagnose
from service.diagnosis.remedies import patched_spec
from service.diagnosis.run_record import RunRecord
from service.spec.component import Json
from service.spec.parse.experiment import parse_experiment
from tests.symptoms.diseases import DISEASES
from tests.symptoms.healthy_specs import Half, healthy_document, valid
from tests.symptoms.training import Record, facts_of, kept, one_thread, recorded, sources

if TYPE_CHECKING:  # it loads torch
    from worker.trainer.data.split import Splits

HARMS, HARMLESS = 0.1, 0.03  # of the way from the trivial loss to the minimum, less than the twin
USUAL = 0.8  # of what its family's median learns: less is no healthy twin
TRIES = 40  # healthy specs that a disease is offered, before it is left out
Truth = Literal["sick", "healthy", "no effect", "undecided", "no twin"]


@dataclass(frozen=True)
class Draw:
    """One training to make; without a disease it is a healthy one."""

    half: Half
    number: int  # of the healthy spec
    family: str
    document: Json
    disease: str = ""
    strength: float = 0.0

    @property
    def seed(self) -> int:
        """The seed of its weights and batches, the same as its twin's."""
        return self.number

    @property
    def model(self) -> str:
        """The kind of its model before the disease."""
        return str(healthy_document(self.half, self.number)[1]["model"]["kind"])


@dataclass(frozen=True)
class Outcome:
    """A draw, what became of it, and what the diagnosis says."""

    draw: Draw
    truth: Truth
    harm: float
    level: str
    verdicts: tuple[str, ...]  # gravest first
    confidence: float  # of the first finding; 0: none
    headline: str
    rule: str = ""  # of the first finding
    remedied: Json | None = None  # the spec with its remedy; None: it has none

    @property
    def calm(self) -> bool:
        """Whether there is neither a fault nor a warning."""
        return self.level not in ("fault", "warning")

    @property
    def named(self) -> bool:
        """Whether the first finding is a fault or a warning with a verdict that the disease accepts."""
        accepted = DISEASES[self.draw.disease].accept if self.draw.disease else ()
        return not self.calm and self.verdicts[0] in accepted

    @property
    def right(self) -> bool:
        """Whether a sick training is named, and any other one left alone, or named all the same."""
        return self.named if self.truth == "sick" else self.calm or self.named


def healthy_draws(half: Half, first: int, count: int) -> list[Draw]:
    """Return healthy trainings."""
    return [Draw(half, n, *healthy_document(half, n)) for n in range(first, first + count)]


def sick_draws(half: Half, twins: Sequence[Draw], count: int, seed: int) -> list[Draw]:
    """Return each disease in turn, on healthy specs that it applies to; strengths cover 0 to 1 evenly."""
    rng, found = np.random.default_rng(seed + 10_000 * (half == "test")), []
    offsets = rng.random(len(DISEASES))
    for turn in range(count):
        place = turn % len(DISEASES)
        name, disease = list(DISEASES.items())[place]
        strength = round(float((offsets[place] + 0.618 * (turn // len(DISEASES))) % 1), 3)
        for twin in (twins[at] for at in rng.permutation(len(twins))[:TRIES]):
            changed = disease.change(twin.document, strength)
            if changed is not None and valid(changed):
                found.append(Draw(half, twin.number, twin.family, changed, name, strength))
                break
    return found


def sound_draws(draws: Sequence[Draw], folder: Path | None, processes: int, stale: bool = False) -> list[Draw]:
    """Train healthy draws, and return those that learned what is usual and kept it: twins for the sick ones."""
    done = trained_draws(draws, folder, processes, "" if stale else sources())
    facts = {draw.number: draw_facts(draw, record) for draw, record in zip(draws, done, strict=True)}
    sound = _sound(draws, facts)
    return [draw for draw in draws if draw.number in sound]


def outcomes(draws: Sequence[Draw], folder: Path | None, processes: int, stale: bool = False) -> list[Outcome]:
    """Train what is not kept, and judge all; every sick draw's twin must be among them."""
    done = trained_draws(draws, folder, processes, "" if stale else sources())
    return judged(draws, [draw_facts(draw, record) for draw, record in zip(draws, done, strict=True)])


def judged(draws: Sequence[Draw], facts: Sequence[RunRecord]) -> list[Outcome]:
    """Judge what was trained; every sick draw's twin must be among them."""
    twins = {draw.number: each for draw, each in zip(draws, facts, strict=True) if not draw.disease}
    sound = _sound([draw for draw in draws if not draw.disease], twins)
    shares = {number: share(each) for number, each in twins.items()}
    return [_outcome(draw, each, shares, sound) for draw, each in zip(draws, facts, strict=True)]


def draw_facts(draw: Draw, record: Record) -> RunRecord:
    """Return what the rules are asked of."""
    return facts_of(parse_experiment(draw.document).spec, record)


def _sound(draws: Sequence[Draw], facts: Mapping[int, RunRecord]) -> set[int]:
    families: dict[str, list[float]] = {}
    for draw in draws:
        families.setdefault(draw.family, []).append(share(facts[draw.number]))
    return {
        draw.number
        for draw in draws
        if share(facts[draw.number]) >= USUAL * median(families[draw.family])
        and share(facts[draw.number], best=True) - share(facts[draw.number]) <= HARMLESS
    }


def share(facts: RunRecord, best: bool = False) -> float:
    """Return how far the validation loss came from the trivial loss to the minimum; -1 at worst, as of a failed run.

    It is that of the end, or the `best` one.
    """
    curve, start, floor = facts.get("val/loss"), facts.reading("start"), facts.plan.floor
    trivial = None if start is None else start.number("trivial_loss")
    if facts.failure is not None or curve is None or trivial is None or floor is None or trivial <= floor:
        return -1.0
    reached = float(curve.values.min()) if best else float(np.median(curve.values[-2:]))
    return max(-1.0, (trivial - reached) / (trivial - floor))


def _outcome(draw: Draw, facts: RunRecord, shares: Mapping[int, float], sound: Collection[int]) -> Outcome:
    said = diagnose(facts)
    harm = shares[draw.number] - share(facts) if draw.disease else 0.0
    truth: Truth = "healthy"
    if draw.number not in sound:
        truth = "no twin"
    elif draw.disease:
        truth = "sick" if harm >= HARMS else "no effect" if harm <= HARMLESS else "undecided"
    found = [each.finding for each in said.findings]
    verdicts = tuple(each.verdict for each in found)
    first = said.findings[0] if said.findings else None
    spec = patched_spec(facts.plan, first.finding.patch) if first and first.finding.patch else None
    return Outcome(
        draw,
        truth,
        harm,
        said.level,
        verdicts,
        found[0].confidence if found else 0.0,
        said.headline,
        first.rule.id if first else "",
        spec and spec.normalised(),
    )


def trained_draws(draws: Sequence[Draw], folder: Path | None, processes: int, made_by: str) -> Iterator[Record]:
    """Train each, or take what is kept of it."""
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(partial(_one, folder, made_by), draws)


def _one(folder: Path | None, made_by: str, draw: Draw) -> Record:
    key = f"{json.dumps(draw.document, sort_keys=True)}{draw.disease}{draw.strength}{draw.seed}{made_by}"
    file = folder and folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    return kept(file, lambda: train_draw(draw))


def train_draw(draw: Draw) -> Record:
    """Train it, on rows that the disease has altered."""
    spec = parse_experiment(draw.document).spec
    disease = DISEASES[draw.disease] if draw.disease else None
    if disease is None or disease.alter is None:
        return recorded(spec, draw.seed)
    from worker.trainer import loop

    alter, split = disease.alter, loop.split_dataset

    def altered(*given: object) -> Splits:
        with np.errstate(all="ignore"):
            return alter(split(*given), draw.strength, np.random.default_rng(draw.number))  # type: ignore[arg-type]

    with mock.patch.object(loop, "split_dataset", altered):
        return recorded(spec, draw.seed)
