"""What a project and a person may store as uploads: the one place where that limit is looked up."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from service.db.access import quotas
from service.db.access.principal import Principal
from service.db.access.quotas import Standing, Subject
from service.db.tables import dataset

NAME = "upload_bytes"


@dataclass(frozen=True)
class UploadRoom:
    """The limits of a project and a person, and the bytes that they have stored."""

    standing: Standing

    def check(self, more: int, project_bytes: int = 0, person_bytes: int = 0) -> None:
        """Raise `QuotaExceeded` where `more` bytes have no room beside unfinished uploads of so many bytes."""
        unfinished: dict[Subject, int] = {"project": project_bytes, "person": person_bytes}
        used = {(subject, NAME): self.standing.used[subject, NAME] + size for subject, size in unfinished.items()}
        Standing(self.standing.principal, self.standing.limits, used).check(NAME, more)


def upload_room(connection: Connection, principal: Principal, default_bytes: int) -> UploadRoom:
    """Return what the quotas allow, and `default_bytes` where no quota of the project was set."""
    limits = quotas.standing(connection, principal, project_bytes=default_bytes).limits
    size, is_mine = dataset.c.size_bytes, dataset.c.owner_id == principal.member_id
    sums = select(func.coalesce(func.sum(size), 0), func.coalesce(func.sum(size).filter(is_mine), 0))
    project, person = connection.execute(sums.where(dataset.c.project_id == principal.project_id)).one()
    used: dict[tuple[Subject, str], float] = {("project", NAME): int(project), ("person", NAME): int(person)}
    return UploadRoom(Standing(principal, limits, used))
