"""Which dimensions of a study matter."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.analysis.importance import explained_share
from service.spec.studies.space import leaves
from service.spec.studies.study import Study
from service.studies.suggest.question import Question
from service.studies.trial import Trial


@dataclass(frozen=True)
class Importance:
    """The share of the differences between trials that a dimension explains by itself."""

    name: str  # the pointer, after the options that the dimension depends on
    pointer: str
    share: float | None  # from 0 to 1; None: too few trials have this dimension
    trials: int  # that ended and have it


def importances(study: Study, trials: Sequence[Trial]) -> list[Importance]:
    """Return every dimension with more than one value, the most important first.

    A dimension of an option is judged on the trials that have this option; a pruned trial counts with its last rung.
    """
    question = Question(study, study.space, tuple(trials), len(trials), "")
    told = [(each, loss) for each in question.placed if (loss := question.loss(each.trial)) is not None]
    found = []
    for leaf in leaves(study.space):
        if leaf.dimension.count == 1:
            continue
        own = [(each.units[leaf.name][1], loss) for each, loss in told if leaf.name in each.units]
        share = explained_share([unit for unit, _ in own], [loss for _, loss in own])
        found.append(Importance(leaf.name, leaf.pointer, share, len(own)))
    return sorted(found, key=lambda each: -1.0 if each.share is None else each.share, reverse=True)
