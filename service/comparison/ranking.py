"""Rank the groups, and say how certain each difference is."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.analysis.power import LEVEL, PLANNED_LEVEL
from service.analysis.significance import overlap_of
from service.analysis.verdict import Contrast, contrasts_by_seed
from service.comparison.comparability import Scale, scale_mismatch, value_scale
from service.comparison.data import ComparisonData
from service.comparison.reference import against_reference
from service.comparison.selection import RunGroup, Trial, folds_of_document
from service.comparison.statistics import statistics
from service.lifecycle import TERMINAL
from service.schemas.rankings import ContrastView, Rank, Ranking
from service.schemas.statistics import Statistics
from service.spec.measures import better_direction


@dataclass(frozen=True)
class Contestant:
    """A group as it is ranked: represented by its best trial."""

    group: RunGroup
    trial: Trial
    values: dict[int, float]  # by seed, NaN where it diverged
    figures: Statistics
    choices: int = 1  # trials with a value that it was chosen from

    @property
    def label(self) -> str:
        """The group's."""
        return self.group.label

    @property
    def folds(self) -> int:
        """The number of folds that its runs validate on; 1: all on the same rows."""
        return folds_of_document(self.trial.experiment.spec)


def pick_contestants(data: ComparisonData) -> list[Contestant]:
    """Return the best trial of each group, in the order of the groups."""
    trials = [(group, trial) for group in data.groups for trial in group.trials]
    values = [_by_seed(data, trial) for _, trial in trials]
    overlaps = [overlap_of(folds_of_document(trial.experiment.spec)) for _, trial in trials]
    figures = statistics([list(each.values()) for each in values], overlaps)
    known = [Contestant(m, t, v, f) for (m, t), v, f in zip(trials, values, figures, strict=True)]
    chosen: dict[str, Contestant] = {}
    for each in known:
        held = chosen.get(each.label)
        if held is None or _key(data, each) < _key(data, held):
            chosen[each.label] = each
    choices = Counter(each.label for each in known if each.values)
    return [replace(each, choices=max(choices[label], 1)) for label, each in chosen.items()]


def _by_seed(data: ComparisonData, trial: Trial) -> dict[int, float]:
    found = ((run.seed, data.value(run, data.ranked, data.figure)) for run in trial.runs)
    return {seed: value for seed, value in found if value is not None}


def _key(data: ComparisonData, each: Contestant) -> tuple[bool, float]:
    """Return a sort key, best first; a group that mostly diverged comes after the others."""
    mean = each.figures.mean
    sign = 1 if better_direction(data.ranked) == "min" else -1
    return each.figures.diverged > each.figures.n, math.inf if mean is None else sign * mean


def sort_best_first(data: ComparisonData, found: Sequence[Contestant]) -> list[Contestant]:
    """Return the contestants, best first."""
    return sorted(found, key=lambda each: _key(data, each))


def rank(data: ComparisonData, found: Sequence[Contestant], settled: bool = False) -> Ranking:
    """Rank groups by the mean of the ranked figure of the first series.

    `settled`: these are the planned seeds of a confirmation, judged at the level that is theirs.
    """
    question, series = data.question, data.ranked
    ordered = sort_best_first(data, found)
    places = range(len(ordered))
    base = next((place for place in places if ordered[place].label == question.baseline), 0)
    against = [(place, base) for place in places if place != base]
    every = [(i, j) for i in places for j in places if i < j]
    family = against if question.baseline is not None else every  # else the best pair was picked out of all pairs
    values, choices = [each.values for each in ordered], [each.choices for each in ordered]
    scales = [value_scale(series, each.group) for each in ordered]
    # first against second in a call of its own where a baseline makes another family of tests
    first = every[:1] if question.baseline is None else []
    overlaps = [overlap_of(each.folds) for each in ordered]
    level = PLANNED_LEVEL if settled else LEVEL
    made = contrasts_by_seed(values, [*against, *first], family, better_direction(series), choices, overlaps, level)
    views = {pair[0]: _view(scales, ordered, pair, each, settled) for pair, each in zip(against, made, strict=False)}
    if not first:
        made = contrasts_by_seed(values, every[:1], every, better_direction(series), choices, overlaps, level)
    top = _view(scales, ordered, (0, 1), made[-1], settled) if every else None
    samples = [list(each.values.values()) for each in ordered]
    labels, best = [each.label for each in ordered], [each.figures for each in ordered]
    reference = against_reference(data, labels, samples, best, choices, overlaps)
    return Ranking(
        series=series,
        figure=data.figure,
        stretch=data.stretch if data.figure == "last" else None,
        direction=better_direction(series),
        baseline=ordered[base].label if ordered else None,
        tests=len(family),
        verdict=top.verdict if top else "not_comparable",
        note=top.note if top else "There is only one group, so there is nothing to compare.",
        items=[
            Rank(
                rank=place + 1,
                label=each.label,
                experiment_id=each.trial.experiment.id,
                trials=len(each.group.trials),
                best=each.figures,
                contrast=views.get(place),
                reference=reference[place],
            )
            for place, each in enumerate(ordered)
        ],
    )


def _view(
    scales: Sequence[Scale], ordered: Sequence[Contestant], pair: tuple[int, int], contrast: Contrast, settled: bool
) -> ContrastView:
    one, other = ordered[pair[0]], ordered[pair[1]]
    fatal = scale_mismatch(scales[pair[0]], scales[pair[1]])
    verdict = "not_comparable" if fatal else contrast.verdict
    return ContrastView(
        against=other.label,
        verdict=verdict,
        provisional=any(run.state not in TERMINAL for each in (one, other) for run in each.trial.runs),
        seeds=contrast.n,
        diverged=contrast.diverged,
        difference=contrast.difference,
        sd=contrast.sd,
        ci_low=contrast.interval and contrast.interval[0],
        ci_high=contrast.interval and contrast.interval[1],
        bootstrap_low=contrast.bootstrap and contrast.bootstrap[0],
        bootstrap_high=contrast.bootstrap and contrast.bootstrap[1],
        wins=contrast.wins,
        p=contrast.p,
        choices=contrast.choices,
        overlap=contrast.overlap or None,
        p_adjusted=contrast.p_adjusted,
        more_seeds=None if fatal or settled else contrast.more_seeds,
        fresh_seeds=contrast.fresh_seeds,
        note=fatal or _without(one, other) or _note(one.label, other.label, contrast, settled),
    )


def _without(one: Contestant, other: Contestant) -> str | None:
    """Return which of the two has no run with a value and none that diverged."""
    without = [each.label for each in (one, other) if not each.values]
    return f"No value of the ranked series in: {' and '.join(without)}." if without else None


def _note(one: str, other: str, contrast: Contrast, settled: bool) -> str:
    """Return the verdict in a sentence."""
    n, lost, verdict = contrast.n, contrast.diverged, contrast.verdict
    seeds = f"{n} seed{'' if n == 1 else 's'}"
    if verdict == "not_comparable":
        return f"{one} and {other} have values for no common seed: train both with the same seeds."
    if verdict == "unconfirmed":
        return (
            f"{one if contrast.leads else other} looks better over {seeds}, but these seeds also selected it from "
            f"{contrast.choices} trials: only fresh seeds can confirm it, about {contrast.fresh_seeds} of them."
        )
    if verdict in ("better", "worse"):
        chosen = contrast.choices > 1
        counted = f", even after correcting for the choice among {contrast.choices} trials" if chosen else ""
        if n < 2:
            said = f"{one} diverged on {lost[0]} of the shared seeds, {other} on {lost[1]}"
            return f"{said}: {one} is {verdict}{counted}."
        return f"{one} is {verdict} than {other}, paired over {seeds}{counted}."
    if n < 2 and any(lost):
        said = f"{one} and {other} cannot be told apart"
        return f"{said}: {one} diverged on {lost[0]} of the shared seeds, {other} on {lost[1]}."
    said = f"{one} and {other} cannot be told apart over {n} shared seed{'' if n == 1 else 's'}"
    if lost[0] != lost[1]:
        return f"{said} that both finished; of the others {one} diverged on {lost[0]}, {other} on {lost[1]}."
    if n < 2:
        return f"{said}: at least two are needed."
    if contrast.sd == 0 and contrast.difference:
        said += ": the differences are all equal, perhaps by rounding, and prove no more than their sign"
    if settled:
        near = PLANNED_LEVEL <= (contrast.p_adjusted or 0.0) < LEVEL
        spent = f": p is {contrast.p_adjusted:.3f}, and it needs {PLANNED_LEVEL:g}, as more seeds may follow"
        return f"{said}{spent if near else ''}."
    if contrast.more_seeds is None:
        return f"{said}; even 1,000 seeds would not be enough."
    return f"{said}; about {contrast.more_seeds} more seeds would be enough."
