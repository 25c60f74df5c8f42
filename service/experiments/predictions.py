"""Predictions for a few rows: a job for a worker, which loads the kept weights of a run, and its answer."""

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import derived_runs, probe_results, runs
from service.db.session import Connection
from service.errors import Conflict, Invalid, NotFound
from service.experiments.context import Context, Made
from service.experiments.model_files import feature_names
from service.experiments.parsed_spec import parsed_spec
from service.lifecycle import State
from service.schemas.predictions import PredictionView
from service.schemas.requests import PredictRequest
from service.spec.prediction_rows import read_rows
from service.spec.probe_jobs import PREDICTIONS


def ask(context: Context, run_id: str, request: PredictRequest, key: str | None) -> Made[PredictionView]:
    """Queue the rows, once each of them fits what the run trained on."""
    connection, principal = context.connection, context.principal
    run = runs.get(connection, principal, run_id)
    spec = parsed_spec(experiments.get(connection, principal, run.experiment_id))
    if spec.dataset.facts.task == "objective":
        raise Conflict("An objective has no model: there are no rows to predict.")
    rows, problems = read_rows(spec.dataset, feature_names(connection, principal, spec), request.rows)
    if problems := [*problems, *request.text_problems(spec.dataset.facts.task == "language")]:
        raise Invalid.of(problems)
    more = request.model_dump(mode="json", include={"likelihood", "continuation"})
    asked = {"rows": rows} | {name: value for name, value in more.items() if value}
    job_id, new = derived_runs.predict(connection, principal, run_id, asked, request.weights, key)
    location = f"/v1/runs/{run_id}/predictions/{job_id}"
    return Made(answer(connection, principal, run_id, job_id), location, new, ((run.pool, 1),) if new else ())


def answer(connection: Connection, principal: Principal, run_id: str, job_id: str) -> PredictionView:
    """Return what a job has found so far."""
    job = runs.get(connection, principal, job_id)
    if job.parent_run_id != run_id or not job.predicts:
        raise NotFound(f"There is no prediction {job_id} of run {run_id}.")
    found = None
    if job.state is State.SUCCEEDED:
        (reading,) = probe_results.of_run(connection, principal, job_id, PREDICTIONS, 0, 1)
        found = reading.data
    return PredictionView(
        id=job.id,
        run_id=run_id,
        step=job.origin_step,
        state=job.state,
        predictions=found and found.get("predictions"),
        error=found.get("error") if found else (job.failure or {}).get("detail"),
    )
