"""Stored studies and trials as samplers and pruners see them."""

from collections.abc import Sequence
from functools import lru_cache

from service.db.studies.studies import StoredStudy
from service.db.studies.trials import StoredTrial
from service.nonfinite import dumps
from service.spec.studies.study import Study
from service.studies.trial import Trial, TrialState


def study_of(stored: StoredStudy) -> Study:
    """Return the document of a stored study; raise `ValidationError` where it names a plug-in that is gone."""
    return _parse(dumps(stored.document))


@lru_cache(maxsize=64)
def _parse(document: str) -> Study:
    return Study.model_validate_json(document)


def trials_of(stored: Sequence[StoredTrial]) -> list[Trial]:
    """Return the trials by number."""
    return [Trial(each.number, each.point, TrialState(each.state), each.rungs, each.value) for each in stored]
