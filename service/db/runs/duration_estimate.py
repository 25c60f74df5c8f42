"""Seconds per step of comparable finished runs, from which the duration of a new one is estimated."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.nonfinite import dumps
from service.spec.experiment import Experiment

MAX_RUNS = 500  # the newest succeeded runs of the project
MATCHED_FIELDS = ("dataset", "model", "batch_size", "precision", "accumulate")  # they decide the duration of a step

STEP_DURATION = text(
    """
    SELECT count(*) AS n, percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY spent) AS spent
    FROM (
        SELECT r.trained_s / (r.step - r.origin_step) AS spent
        FROM (SELECT * FROM run WHERE project_id = :project AND state = 'succeeded' AND step > origin_step
            AND trained_s > 0 ORDER BY id DESC LIMIT :most) r
        JOIN experiment e ON e.id = r.experiment_id
        WHERE e.spec @> cast(:spec AS jsonb)
    ) found
    """
)


@dataclass(frozen=True)
class StepDuration:
    """Seconds per step of comparable runs: the median, and the 10th and 90th percentile."""

    runs: int
    low: float
    middle: float
    high: float


def step_duration(connection: Connection, principal: Principal, spec: Experiment) -> StepDuration | None:
    """Return the step duration of runs with the same data, model and batch; None without such runs."""
    document: dict[str, Any] = spec.normalised()
    asked = dumps({name: document[name] for name in MATCHED_FIELDS})
    row = connection.execute(STEP_DURATION, {"project": principal.project_id, "most": MAX_RUNS, "spec": asked}).one()
    return StepDuration(row.n, *row.spent) if row.n else None
