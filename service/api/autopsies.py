"""The route of a diverged run's autopsy as a file that makes the step again."""

from fastapi import APIRouter, Response

from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.db import experiments, readings, runs
from service.errors import NotFound
from service.export.reproduction import script

router = APIRouter(prefix="/v1/runs", tags=["diagnosis"])
MEDIA = "text/x-python"
FILE = {200: {"description": "The file.", "content": {MEDIA: {"schema": {"type": "string"}}}}}


@router.get("/{run_id}/autopsy.py", operation_id="get_autopsy_script", response_class=Response, responses=FILE)  # type: ignore[arg-type]
def get_autopsy_script(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> Response:
    """A program that makes the step again in which a number was first none; with torch alone where that is small."""
    run = runs.get(connection, principal, run_id)
    found = [
        each for each in readings.of_run(connection, principal, run_id, "autopsy", 0, 1000) if each.data.get("kind")
    ]
    if not found:
        raise NotFound(f"Run {run_id} has no autopsy that found something: only a run that diverged is examined.")
    spec = experiments.get(connection, principal, run.experiment_id).spec
    threads = next((a.environment["threads"] for a in reversed(runs.attempts(connection, run_id)) if a.environment), 1)
    text = script(run_id, run.seed, spec, found[-1].data, threads)
    headers = {"Content-Disposition": f'attachment; filename="{run_id}-autopsy.py"'}
    return Response(text, media_type=MEDIA, headers=headers)
