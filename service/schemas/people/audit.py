"""Rows of the audit."""

from pydantic import Field

from service.schemas.common import Json, Utc, View


class AuditView(View):
    """Something that somebody did."""

    id: int
    at: Utc
    project: str | None = Field(description="null: it concerns the server")
    actor: str = Field(description="the name at that time")
    account_id: str | None
    key_id: str | None = Field(description="the key it was done with")
    address: str | None = Field(description="where the request came from")
    request_id: str | None
    action: str = Field(description="noun.verb")
    target: str | None = Field(description="the id it happened to")
    data: Json


AUDIT_COLUMNS = tuple(AuditView.model_fields)
