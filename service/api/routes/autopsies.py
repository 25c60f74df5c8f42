"""The route of a diverged run's autopsy as a file that makes the step again."""

from fastapi import APIRouter, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.diagnosis.autopsy import autopsy_script

router = APIRouter(prefix="/v1/runs", tags=["diagnosis"])
MEDIA = "text/x-python"
FILE = {200: {"description": "The file.", "content": {MEDIA: {"schema": {"type": "string"}}}}}


@router.get("/{run_id}/autopsy.py", operation_id="get_autopsy_script", response_class=Response, responses=FILE)  # type: ignore[arg-type]
def get_autopsy_script(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> Response:
    """A program that makes the step again in which a number was first none; with torch alone where that is small."""
    text = autopsy_script(connection, principal, run_id)
    headers = {"Content-Disposition": f'attachment; filename="{run_id}-autopsy.py"'}
    return Response(text, media_type=MEDIA, headers=headers)
