"""Route of the script that reproduces the step at which a run diverged."""

from fastapi import APIRouter, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.diagnosis.autopsy import autopsy_script

router = APIRouter(prefix="/v1/runs", tags=["diagnosis"])
MEDIA = "text/x-python"
FILE = {200: {"description": "The file.", "content": {MEDIA: {"schema": {"type": "string"}}}}}


@router.get("/{run_id}/autopsy.py", operation_id="get_autopsy_script", response_class=Response, responses=FILE)  # type: ignore[arg-type]
def get_autopsy_script(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> Response:
    """Return a program that reproduces the first step with a non-finite number."""
    text = autopsy_script(connection, principal, run_id)
    headers = {"Content-Disposition": f'attachment; filename="{run_id}-autopsy.py"'}
    return Response(text, media_type=MEDIA, headers=headers)
