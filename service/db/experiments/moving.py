"""Moving an experiment into another project, with its runs, curves, checkpoints and comments.

Runs elsewhere that began from one of its checkpoints stay and go on; what it began from stays behind and keeps its id.
Its uploads can be trained on in both projects from then on.
"""

from sqlalchemy import Connection, text

from service.db import rights
from service.db.access import audit, quotas
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import runs
from service.db.session import EVERY_PROJECT, see_only
from service.errors import Conflict, Forbidden, NotFound
from service.levels import ROLE_LEVELS, Level
from service.lifecycle import TERMINAL
from service.spec.datasets.upload_references import PATHS

TARGET = text(
    """
    SELECT p.id AS project_id, p.name AS project, m.id AS member_id, m.name AS member, m.role
    FROM project p JOIN member m ON m.project_id = p.id AND m.account_id = :account_id AND m.removed_at IS NULL
    WHERE p.name = :name
    """
)
OWNER = text(
    """
    SELECT m.id, m.name FROM experiment e JOIN member o ON o.id = e.owner_id
    JOIN member m ON m.account_id = o.account_id AND m.project_id = :place AND m.removed_at IS NULL WHERE e.id = :id
    """
)
KEPT = text(
    """
    SELECT coalesce(sum(c.size_bytes), 0) FROM run r JOIN checkpoint c ON c.run_id = r.id
    WHERE r.experiment_id = :id AND c.removed_at IS NULL
    """
)
MOVE = (
    text(
        """
        UPDATE experiment SET project_id = :place, owner_id = :owner_id, idempotency_key = NULL, request_hash = NULL,
            study_id = NULL, trial = NULL
        WHERE id = :id
        """
    ),
    text(
        "UPDATE run SET project_id = :place, owner_id = :owner_id WHERE experiment_id = :id"
        " AND task IS DISTINCT FROM cast('{}' AS jsonb)"  # emptied jobs stay in no project
    ),
    text("UPDATE event SET project_id = :place WHERE run_id IN (SELECT id FROM run WHERE experiment_id = :id)"),
    text("UPDATE comment SET project_id = :place WHERE experiment_id = :id"),
    text("UPDATE verification SET project_id = :place WHERE run_id IN (SELECT id FROM run WHERE experiment_id = :id)"),
    text("DELETE FROM share WHERE experiment_id = :id"),
    text(
        """
        INSERT INTO dataset_grant (dataset_id, project_id)
        SELECT d.id, :place FROM experiment e JOIN dataset d
            ON d.id IN (SELECT e.spec #>> cast(path AS text[]) FROM unnest(cast(:paths AS text[])) AS path)
        WHERE e.id = :id AND d.project_id <> :place ON CONFLICT DO NOTHING
        """
    ),
)


def move(connection: Connection, principal: Principal, experiment_id: str, project: str) -> Principal:
    """Move an experiment that has ended; return who the principal is in the other project.

    It belongs to its owner there, or to who moves it where the owner is no member. `Conflict` while a run has not
    ended, `Forbidden` where the principal may not submit in the other project.
    """
    there = _target(connection, principal, project)
    see_only(connection, EVERY_PROJECT)  # until the end of the request, which answers with what is there now
    found = experiments.get(connection, principal, experiment_id, lock=True)
    if there.project_id == principal.project_id:
        raise Conflict(f"The experiment is in the project {project} already.")
    going = [each for each in runs.lock_of_experiment(connection, experiment_id) if each.state not in TERMINAL]
    if going:
        raise Conflict(f"Run {going[0].id} is {going[0].state.value}: wait for its end or cancel it, then move.")
    bytes_kept = int(connection.execute(KEPT, {"id": experiment_id}).scalar_one())
    quotas.standing(connection, there).check("checkpoint_bytes", bytes_kept)
    known = {"id": experiment_id, "place": there.project_id, "paths": PATHS}
    owner = connection.execute(OWNER, known).one_or_none()
    owner_id = there.member_id if owner is None else owner.id
    with rights.acting_as(connection, "saddle_mover"):
        for statement in MOVE:
            connection.execute(statement, known | {"owner_id": owner_id})
    told = {"name": found.name, "from": principal.project, "to": there.project}
    for who in (principal, there):
        audit.record(connection, who, "experiment.move", experiment_id, **told)
    return there


def _target(connection: Connection, principal: Principal, project: str) -> Principal:
    """Return the principal as a member of the other project; one that is no member learns nothing about it."""
    row = connection.execute(TARGET, {"account_id": principal.account_id, "name": project}).one_or_none()
    if row is None:
        raise NotFound(f"You are in no project {project}: ask one of its admins for an invitation.")
    if principal.scope != "admin":
        raise Forbidden(f"The scope of this key is {principal.scope}: only all of its member's rights reach elsewhere.")
    if ROLE_LEVELS[row.role] < Level.SUBMIT:
        raise Forbidden(f"You may only look in the project {project}: ask one of its admins for more.")
    return Principal(
        principal.key_id,
        row.member_id,
        row.member,
        row.project_id,
        row.project,
        row.role,
        principal.account_id,
        principal.scope,
        address=principal.address,
        request_id=principal.request_id,
    )
