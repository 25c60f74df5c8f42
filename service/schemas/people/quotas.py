"""Quotas, and changes of them."""

from typing import Literal

from pydantic import Field

from service.schemas.common import View
from service.spec.component import Part

QuotaName = Literal["queued_runs", "running_runs", "device_hours", "run_hours", "upload_bytes", "checkpoint_bytes"]
MAX_VALUE = 2**62


class QuotaView(View):
    """A limit that holds, and how much of it is used."""

    name: str
    what: str = Field(description="what is counted")
    unit: str
    limit: float | None = Field(description="null: none")
    used: float | None = Field(description="null: it is nothing that adds up")


class QuotasView(View):
    """The quotas of a project and of one person in it."""

    project: str
    quotas: list[QuotaView] = Field(description="of the project; server admins raise them")
    member: str
    own: list[QuotaView] = Field(description="of this member; admins of the project raise them")
    key: list[QuotaView] = Field(description="the limits of the key that asks, which it was made with; empty: none")


class PersonQuota(Part):
    """A limit for the people of the project."""

    value: int | None = Field(ge=0, le=MAX_VALUE, description="null: no limit")
    member: str | None = Field(
        None, max_length=200, description="the name of one member; null: everyone without an own limit"
    )


class ServerQuota(Part):
    """A limit that server admins set."""

    value: int | None = Field(ge=0, le=MAX_VALUE, description="null: no limit")
    subject: Literal["project", "person"] = "project"
    project: str | None = Field(
        None, max_length=200, description="the name of one project; null: all without an own limit"
    )
