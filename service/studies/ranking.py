"""The order of finished trials."""

from collections.abc import Sequence

from service.db.studies.trials import StoredTrial
from service.spec.studies.study import Study


def finished_best_first(study: Study, found: Sequence[StoredTrial]) -> list[StoredTrial]:
    """Return the finished trials that have a value, best first; of equal ones the earlier."""
    known = [(trial.value, trial) for trial in found if trial.state == "finished" and trial.value is not None]
    known.sort(key=lambda pair: (study.objective.sign * pair[0], pair[1].number))
    return [trial for _, trial in known]
