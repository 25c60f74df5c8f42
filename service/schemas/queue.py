"""The queue of each pool: who has used how much of it, and what starts next."""

from pydantic import Field

from service.schemas.common import View


class PersonShareView(View):
    """What one person of the project uses of a pool."""

    member: str
    use_s: float = Field(description="seconds of a device, which count half after half_life_s; running runs included")
    running: int
    waiting: int


class OtherProjectsView(View):
    """What all other projects use of a pool; `projects` have a run that runs or waits."""

    projects: int
    use_s: float
    most_use_s: float = Field(description="of the project that has used most")
    running: int
    waiting: int


class NextRunView(View):
    """A waiting run of the project."""

    run_id: str
    experiment_id: str
    experiment: str
    member: str
    seed: int
    priority: int
    before: int = Field(description="runs of the pool, also of other projects, that are expected to start before it")
    waited_s: float


class PoolQueueView(View):
    """The queue of one pool."""

    pool: str
    use_s: float = Field(description="of the project; the one that has used least is next")
    running: int
    waiting: int
    people: list[PersonShareView]
    others: OtherProjectsView
    next: list[NextRunView] = Field(description="the first waiting runs of the project, in their order")


class QueueView(View):
    """Whose turn it is, as a member of a project may see it."""

    project: str
    half_life_s: float
    pools: list[PoolQueueView]
