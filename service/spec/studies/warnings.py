"""What is allowed in a study and probably not meant."""

from collections.abc import Iterator
from itertools import pairwise

from service.errors import Problem
from service.spec.experiment import Experiment
from service.spec.measures import has_scale_of_loss
from service.spec.studies.dimensions import Choice, UniformRange
from service.spec.studies.pruners import GeometricRungs, NoPruner
from service.spec.studies.samplers import CmaEs, Gp, Grid, Tpe
from service.spec.studies.space import Leaf, Space, combinations, leaves
from service.spec.studies.study import Study
from service.spec.studies.trying import TriedSpace, document_pointer

DECADE = 10.0
SMALL_NUMBERS = {"lr", "eps", "weight_decay", "eta_min", "min_lr", "swa_lr", "max_lr"}  # searched by their logarithm
TRIALS_PER_DIMENSION = 5  # below it a search is little better than a guess; 10 is usual (Jones et al. 1998)
CHANGE_THE_LOSS = ("/loss", "/dataset")


def find_warnings(study: Study, spec: Experiment, tried: TriedSpace) -> Iterator[Problem]:
    """Yield warnings, with pointers into the study's document."""
    for leaf in leaves(study.space):
        yield from _linear_scale(leaf)
        yield from _untuned_rates(study, leaf)
    yield from _failing_points(tried)
    yield from _small_budget(study, spec)
    yield from _early_rungs(study, spec)
    yield from _few_for_rungs(study, spec)
    yield from _parallel(study)
    yield from _incomparable(study)
    if isinstance(study.sampler, CmaEs) and any(isinstance(leaf.dimension, Choice) for leaf in leaves(study.space)):
        detail = "cma_es adapts numbers that every trial has; choices and dimensions of options are drawn at random."
        yield Problem("/sampler/kind", "drawn_at_random", detail, None, "tpe")


def _linear_scale(leaf: Leaf) -> Iterator[Problem]:
    """Yield a range over more than a decade whose lower decades hardly any trial sees."""
    dimension = leaf.dimension
    if not isinstance(dimension, UniformRange) or dimension.low < 0:
        return
    if dimension.low == 0 and leaf.pointer.rpartition("/")[2] in SMALL_NUMBERS:
        detail = (
            "on a linear scale nine trials of ten lie in the highest decade: use log_uniform from the least value on."
        )
    elif dimension.low > 0 and dimension.high / dimension.low > DECADE:
        share = (DECADE * dimension.low - dimension.low) / (dimension.high - dimension.low)
        detail = f"on a linear scale {share:.1%} of the trials lie in the lowest decade: use log_uniform."
    else:
        return
    yield Problem(f"{document_pointer(leaf)}/kind", "linear_scale", detail, None, "log_uniform")


def _untuned_rates(study: Study, leaf: Leaf) -> Iterator[Problem]:
    """Yield optimizers that are compared at one rate, which suits one of them."""
    dimension = leaf.dimension
    if leaf.pointer != "/optimizer" or not isinstance(dimension, Choice) or dimension.count < 2:
        return
    if "/optimizer/lr" in study.space:
        if dimension.role == "scientific":
            detail = (
                "optimizers differ in their best rates by decades: give each option a /optimizer/lr of its own range."
            )
            yield Problem("/space/~1optimizer~1lr", "shared_range", detail)
        return
    for at, option in enumerate(dimension.options):
        if "/optimizer/lr" not in option.space:
            detail = f"{option.label} is tried at one rate only: give the option a dimension /optimizer/lr."
            yield Problem(f"{document_pointer(leaf)}/options/{at}", "untuned_rate", detail)


def _failing_points(tried: TriedSpace) -> Iterator[Problem]:
    if tried.failed and tried.specs:
        count, first = len(tried.failed) + len(tried.specs), tried.failed[0]
        detail = (
            f"{len(tried.failed)} of {count} random points build no spec; the first: {first.pointer}: {first.detail}"
        )
        yield Problem("/space", "failing_points", detail)


def searched_dimensions(space: Space) -> int:
    """Return the most dimensions that one point searches."""
    count = 0
    for dimension in space.values():
        count += dimension.count != 1
        if isinstance(dimension, Choice):
            count += max(searched_dimensions(option.space) for option in dimension.options)
    return count


def _affordable(study: Study, spec: Experiment) -> int | None:
    """Return the trials that the budget allows, each trained to its end; None: only seconds bound it."""
    budget, each = study.budget, spec.total_steps * len(study.seeds or (0,))
    known = [budget.trials, None if budget.steps is None else budget.steps // each]
    return min((count for count in known if count is not None), default=None)


def _small_budget(study: Study, spec: Experiment) -> Iterator[Problem]:
    """Yield too few trials for the dimensions, for a sampler's random start, or for the grid."""
    trials, sides = _affordable(study, spec), len(combinations(study.space))
    if trials is None:
        return
    where = "/budget/trials" if trials == study.budget.trials else "/budget/steps"
    tuned = searched_dimensions(study.space) - sum(
        isinstance(each, Choice) and each.role == "scientific" and each.count > 1 for each in study.space.values()
    )
    wanted = sides * TRIALS_PER_DIMENSION * max(tuned, 1)
    if trials < wanted and not isinstance(study.sampler, Grid):
        for_each = f", for each of {sides} scientific values" if sides > 1 else ""
        tuned_ones = f"{tuned} dimension{'s' * (tuned != 1)}"
        detail = f"{trials} trials for {tuned_ones}{for_each}: {wanted} or more would say something."
        yield Problem(where, "small_budget", detail, wanted)
    elif isinstance(study.sampler, Tpe | Gp) and trials <= sides * study.sampler.startup:
        detail = (
            f"with {trials} trials {study.sampler.kind} never gets beyond its first {study.sampler.startup} points."
        )
        yield Problem("/sampler/startup", "never_learns", detail, trials // sides)


def _early_rungs(study: Study, spec: Experiment) -> Iterator[Problem]:
    """Yield rungs before the first evaluation, which stop nobody, and several between two evaluations."""
    steps, every = study.pruner.rung_steps(spec.total_steps), spec.evaluation_every
    if isinstance(study.pruner, NoPruner):
        return
    if not steps:
        detail = f"the {spec.total_steps} steps of a trial are too few for a rung: no trial is stopped early."
        yield Problem("/pruner", "no_rungs", detail)
    elif study.objective.series != "loss":
        early = [step for step in steps if step < every]
        if early:
            detail = (
                f"at step {early[0]} nothing is evaluated yet, the first time is at {every}: the rung stops nobody. "
                f"Set /base/evaluate/every_steps to {early[0]} or less, or a later first rung."
            )
            yield Problem("/pruner/first", "before_evaluation", detail, {"ge": every})
        stale = [one for one, other in pairwise(steps) if one >= every and one // every == other // every]
        if stale:
            detail = f"between the rungs after step {stale[0]} nothing new is evaluated, every {every} steps only."
            yield Problem("/pruner", "between_evaluations", detail, every)


def _few_for_rungs(study: Study, spec: Experiment) -> Iterator[Problem]:
    pruner, trials = study.pruner, study.budget.trials
    if isinstance(pruner, GeometricRungs) and trials is not None:
        each = trials // len(combinations(study.space))
        if each < pruner.eta**2 and pruner.rung_steps(spec.total_steps):
            passing = max(1, each // pruner.eta)
            detail = f"of {each} trials only {passing} would pass the first rung: try {pruner.eta**2} or more."
            yield Problem("/budget/trials", "few_for_rungs", detail, {"ge": pruner.eta**2})


def _parallel(study: Study) -> Iterator[Problem]:
    """Yield so many trials at once that a sampler chooses most of them blindly."""
    trials = study.budget.trials
    if study.sampler.learns and trials is not None and study.parallel > max(1, trials // 4):
        detail = f"{study.parallel} of {trials} trials at once are chosen without knowing each other's results."
        yield Problem("/parallel", "blind_trials", detail, {"le": max(1, trials // 4)})


def _incomparable(study: Study) -> Iterator[Problem]:
    if not has_scale_of_loss(study.objective.series):
        return
    for leaf in leaves(study.space):
        if leaf.dimension.count != 1 and any(f"{leaf.pointer}/".startswith(f"{each}/") for each in CHANGE_THE_LOSS):
            detail = f"values of {study.objective.series} cannot be compared between different {leaf.pointer}."
            yield Problem("/objective/series", "not_comparable", detail)
            return
