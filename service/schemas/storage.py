"""The storage that runs occupy."""

from pydantic import Field

from service.schemas.common import View


class RunStorage(View):
    """The storage of one run."""

    run_id: str
    experiment_id: str
    points: int
    points_bytes: int = Field(description="packed values and buckets, without what Postgres keeps about rows")
    checkpoints: int
    checkpoints_bytes: int


class StorageView(View):
    """The storage of a project or of one experiment."""

    runs: int
    points: int
    points_bytes: int
    checkpoints: int
    checkpoints_bytes: int
    bin_bytes: int = Field(description="of checkpoints and uploads in the bin, which the quotas count too")
    greatest: list[RunStorage] = Field(description="the runs that take most, at most `limit`")
