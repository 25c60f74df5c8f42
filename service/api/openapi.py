"""The OpenAPI document: what FastAPI derives from the routes, plus the bodies and errors that we handle ourselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.middleware.authentication import is_open
from service.api.problems import MEDIA_TYPE
from service.schemas.catalog import SchedulePreview
from service.schemas.comparisons import Question
from service.schemas.confirmations import ConfirmRequest, MoreSeedsRequest
from service.schemas.people.accounts import (
    Acceptance,
    AccountChange,
    CurrentProject,
    InvitationToken,
    NewInvitation,
    NewProject,
    NewServiceMember,
    PasswordChange,
    ProviderReturn,
    RoleRequest,
)
from service.schemas.people.channels import ChannelChange, NewChannel
from service.schemas.people.comments import EditedComment, NewComment
from service.schemas.people.keys import NewKey, Rotation
from service.schemas.people.quotas import PersonQuota, ServerQuota
from service.schemas.people.saved_views import NewView, ViewChanges
from service.schemas.people.sessions import SignIn
from service.schemas.people.sharing import OtherProject, ProjectChanges
from service.schemas.problems import ProblemDocument
from service.schemas.requests import (
    ForkRequest,
    Labels,
    PredictRequest,
    PriorityRequest,
    ProbeRequest,
    ReplayRequest,
    RetryRequest,
    VerifyRequest,
)
from service.schemas.studies.requests import CloneRequest, ConfirmStudyRequest, ExtendRequest, TrialRequest
from service.spec.experiment import Experiment
from service.spec.studies.study import Study

PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request was refused; `errors` says where and why."} | PROBLEM,
    "5XX": {"description": "The server could not answer; `instance` names the request in its log."} | PROBLEM,
}
OWN_SCHEMAS: tuple[type[BaseModel], ...] = (
    *(Acceptance, AccountChange, CurrentProject, InvitationToken, NewInvitation, NewProject, NewServiceMember),
    *(PasswordChange, RoleRequest, ProviderReturn),
    *(Experiment, SchedulePreview, Question, ConfirmRequest, MoreSeedsRequest, ProblemDocument, SignIn),
    *(PriorityRequest, RetryRequest, ForkRequest, ReplayRequest, ProbeRequest, VerifyRequest),
    *(PredictRequest, Labels, NewKey),
    *(PersonQuota, ServerQuota, Rotation, NewChannel, ChannelChange),
    *(NewComment, EditedComment, NewView, ViewChanges, OtherProject, ProjectChanges),
    *(Study, TrialRequest, ExtendRequest, CloneRequest, ConfirmStudyRequest),
)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document, which is made once."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            servers=app.servers,
        )
        definitions = models_json_schema(
            [(model, "validation") for model in OWN_SCHEMAS], ref_template="#/components/schemas/{model}"
        )[1]["$defs"]
        components = document.setdefault("components", {})
        components["schemas"] = dict(sorted({**components.get("schemas", {}), **definitions}.items()))
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "key_id.secret"}}
        document["security"] = [{"key": []}]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if is_open(method.upper(), path):
                    operation["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
