"""The bin, moving and sharing of experiments, and a project's settings."""

from typing import Literal

from pydantic import Field

from service.schemas.common import Utc, View
from service.spec.component import Part


class BinView(View):
    """An experiment, study or dataset in the bin."""

    id: str
    kind: Literal["experiment", "study", "dataset"]
    name: str
    owner: str
    runs: int = Field(description="0 for a dataset")
    size_bytes: int = Field(description="of its checkpoints, or of the dataset's file")
    deleted_at: Utc
    deleted_by: str
    erased_after: Utc = Field(description="until then it can be restored")


class OtherProject(Part):
    """A project by its name."""

    project: str = Field(min_length=1, max_length=128, description="its name")


class MovedView(View):
    """Where an experiment is now."""

    id: str
    project: str


class ShareView(View):
    """A project that may read an experiment."""

    project: str
    shared_by: str
    created_at: Utc


class SharesView(View):
    """All of them, by name."""

    items: list[ShareView]


class ProjectSettingsView(View):
    """A project and its settings."""

    id: str
    name: str
    members_manage: bool = Field(description="members may cancel, change and delete each other's work, as admins may")


class ProjectChanges(Part):
    """New settings of the project."""

    members_manage: bool = Field(description="whether members may manage each other's work")
