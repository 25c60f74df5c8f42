"""Who may do what in Postgres: one table of roles, granted anew at every upgrade.

A bug in the API cannot take a run from its worker, and one in a worker cannot change what was asked for: the server
refuses. The tables belong to whoever upgrades, to none of these roles. None that logs in may delete what people wrote.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql
from sqlalchemy import Connection, text

from service.errors import SaddleError
from service.settings import Settings

SECRET = (
    "account",
    "api_key",
    "session",
    "invitation",
    "identity",
    "sign_in_failure",
    "audit",
    "channel",
    "delivery",
)  # only the API reads them
PEOPLE = ("project", "member")
NOBODY = (  # taken on for one transaction
    *("saddle_reaper", "saddle_eraser", "saddle_mover", "saddle_keymaker", "saddle_doorkeeper"),
    "saddle_registrar",
)


@dataclass(frozen=True)
class Rights:
    """What a role may do besides reading; `update` names columns by table."""

    hidden: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    insert_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # where not every column is for them
    update: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    acts_as: tuple[str, ...] = ()  # roles it may take on for one transaction


ROLES: dict[str, Rights] = {
    "saddle_reaper": Rights(  # takes a lost worker's run back; nobody logs in as it
        hidden=SECRET,
        insert=("event", "device_use"),
        update={
            "device_use": ("seconds", "at"),
            "run": ("state", "lease", "desired", "lost_count", "failure", "not_before", "finished_at", "trained_s"),
            "attempt": ("ended_at", "ending", "detail"),
        },
    ),
    "saddle_eraser": Rights(  # deletes what its people no longer want; nobody logs in as it
        hidden=SECRET,
        update={
            "experiment": (
                *("project_id", "name", "spec", "spec_hash", "tags", "notes"),
                *("idempotency_key", "request_hash", "erased_at", "bin_project_id", "deleted_at", "deleted_by"),
                *("study_id", "trial"),
            ),
            "run": ("project_id", "failure", "task"),
            "attempt": ("environment", "detail", "ended_at"),
            "checkpoint": ("removed_at", "value"),
            "worker": ("run_id",),
            "study": ("cloned_from",),
        },
        delete=(
            *("metric_chunk", "metric_tile", "series", "event", "reading", "log_line"),
            *(
                "dataset",
                "verification",
                "experiment_figure",
                "confirmation",
                "judgement",
                "comment",
                "mention",
                "share",
                "dataset_grant",
                "study",
                "study_trial",
                "saved_view",
            ),
        ),
    ),
    "saddle_mover": Rights(  # puts things into the bin, back, and into other projects; nobody logs in as it
        hidden=SECRET,
        insert=("share", "dataset_grant"),
        update={
            "experiment": (
                *("project_id", "owner_id", "idempotency_key", "request_hash"),
                *("bin_project_id", "deleted_at", "deleted_by", "study_id", "trial"),
            ),
            "dataset": ("deleted_at", "deleted_by"),
            "study": ("deleted_at", "deleted_by", "idempotency_key", "request_hash"),
            "run": ("project_id", "owner_id"),
            **dict.fromkeys(("event", "comment", "verification"), ("project_id",)),
        },
        delete=("share",),
    ),
    "saddle_keymaker": Rights(  # makes and revokes keys for whoever asks with one; nobody logs in as it
        insert=("api_key",),
        update={"api_key": ("revoked_at", "expires_at")},
    ),
    "saddle_doorkeeper": Rights(  # starts and ends the sessions of browsers; nobody logs in as it
        insert=("session", "sign_in_failure"),
        update={
            "session": ("member_id", "address", "seen_at", "ended_at"),
            "sign_in_failure": ("count", "last_at"),
        },
        delete=("sign_in_failure",),
    ),
    "saddle_registrar": Rights(  # enters people into accounts and projects; never makes an admin of the server
        insert=("identity", "project", "member", "invitation"),
        insert_columns={"account": ("id", "name", "kind", "email", "password_hash")},
        update={
            "account": ("email", "password_hash", "disabled_at"),
            "member": ("role", "removed_at"),
            "invitation": ("used_at", "used_by", "revoked_at"),
        },
        delete=("identity",),
    ),
    "saddle_api": Rights(
        insert=(
            *("experiment", "run", "event", "comparison", "dataset", "verification", "experiment_figure"),
            *("confirmation", "judgement", "audit", "comment", "mention", "quota", "quota_use"),
            *("channel", "delivery", "alarm", "event_reader", "study", "study_trial", "saved_view"),
        ),
        update={
            "run": (
                *("state", "desired", "priority", "rank_at", "queued_at", "not_before", "finished_at"),
                *("yields_to", "pause_at"),
            ),
            "experiment": ("name", "tags", "notes", "archived_at", "settled"),  # never its spec
            "study": ("document", "state", "why", "comparison_id", "finished_at"),
            "study_trial": (*("state", "rungs", "value", "seed_values", "why", "ended_at"),),
            "verification": ("patched_id", "failure"),
            "judgement": ("basis", "result"),
            "quota": ("value", "set_at"),
            "quota_use": (*("device_s", "upload_bytes", "checkpoint_bytes", "running_limit", "held", "counted_at"),),
            "channel": (
                *("name", "address", "secret", "old_secret", "old_secret_until", "events", "own_only", "bundle_s"),
                *("failures", "failing_since", "retry_at", "disabled_at", "disabled_why", "removed_at"),
            ),
            "delivery": ("events", "state", "attempts", "due_at", "ended_at", "status", "detail"),
            "event_reader": ("xid", "event_id"),
            "api_key": ("last_used_at",),
            "comment": ("text", "edited_at"),
            "saved_view": ("name", "query", "text", "edited_at"),
            "project": ("members_manage",),
            "worker": ("drain_since", "drain_by"),
        },
        delete=(
            *("experiment_figure", "quota"),  # figures are computed from series, and computed anew
            *("delivery", "alarm"),  # what was sent long ago, and conditions that no longer hold
            "device_use",  # it decays
        ),
        acts_as=(
            *("saddle_reaper", "saddle_eraser", "saddle_mover", "saddle_keymaker", "saddle_doorkeeper"),
            "saddle_registrar",
        ),
    ),
    "saddle_worker": Rights(
        hidden=(
            *SECRET,
            *PEOPLE,
            "comparison",
            "confirmation",
            "dataset",
            "verification",
            "judgement",
            "study",
            "study_trial",
            "saved_view",
        ),
        insert=(
            "attempt",
            "series",
            "metric_chunk",
            "metric_tile",
            "checkpoint",
            "reading",
            "log_line",
            "event",
            "worker",
            "device_use",
        ),
        update={
            "device_use": ("seconds", "at"),
            "run": (
                *("state", "lease", "beat", "worker", "attempt", "step", "checkpoint_step"),
                *("crash_count", "lost_count", "failure", "queued_at", "not_before", "started_at", "finished_at"),
                *("device_count", "device_worker", "trained_s", "memory_bytes", "yields_to"),
            ),
            "attempt": ("cut_step", "environment", "pack_runs", "ended_at", "ending", "detail"),
            "series": (
                *("n", "first_step", "last_step", "last", "min", "min_step", "max", "max_step", "nonfinite"),
                *("final", "final_from"),
            ),
            "checkpoint": ("damaged", "removed_at"),
            "worker": (
                "pool",
                "host",
                "pid",
                "version",
                "device",
                "packages",
                "state",
                "detail",
                "run_id",
                "started_at",
                "beat_at",
                "clock_ahead_s",
            ),
        },
        delete=("metric_chunk",),  # compaction puts one chunk of equal content in the place of several
        acts_as=("saddle_reaper",),  # for what its own former life held
    ),
    "saddle_reader": Rights(hidden=SECRET),
}


class CannotGrant(SaddleError):
    """The user that upgrades may not make roles."""


def grant(connection: Connection, settings: Settings) -> None:
    """Create missing roles, and grant each what its row says and nothing else."""
    make(connection, list(ROLES))
    tables = set(connection.execute(text(TABLES)).scalars())
    for role, rights in ROLES.items():
        for statement in _statements(role, rights, tables):
            _run(connection, statement)
    for role, password in passwords(settings).items():
        _run(connection, sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"


def passwords(settings: Settings) -> dict[str, str]:
    """The passwords that the operator gave; a role without one can log in only where the server asks for none."""
    given = {role: getattr(settings, f"{role.removeprefix('saddle_')}_db_password", None) for role in ROLES}
    return {role: secret.get_secret_value() for role, secret in given.items() if secret}


def make(connection: Connection, roles: Sequence[str]) -> None:
    """Make those of `roles` that the server does not have yet; `CannotGrant` where this user may not."""
    there = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    missing = [role for role in roles if role not in there]
    may = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    if missing and not connection.execute(text(may)).scalar_one():
        wanted = " ".join(f"CREATE ROLE {role} {'NOLOGIN' if role in NOBODY else 'LOGIN'};" for role in missing)
        raise CannotGrant(f"This database user may not make roles. Have an administrator run: {wanted}")
    for role in missing:
        login = sql.SQL("NOLOGIN") if role in NOBODY else sql.SQL("LOGIN")
        # two databases of one server may be upgraded at once
        _run(connection, sql.SQL(CREATE).format(role=sql.Identifier(role), login=login))


CREATE = """
DO $$ BEGIN CREATE ROLE {role} {login};
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""


def _statements(role: str, rights: Rights, tables: set[str]) -> list[sql.Composable]:
    """Revoke everything, then grant what the role's row says."""
    to = sql.Identifier(role)
    readable = sorted(tables - set(rights.hidden))
    made: list[sql.Composable] = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(to),
        sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC, {}").format(to),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(to),
        sql.SQL("GRANT SELECT ON {} TO {}").format(_names(readable), to),
    ]
    for word, names in (("INSERT", rights.insert), ("DELETE", rights.delete)):
        if names:
            made.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(word), _names(names), to))
    for word, given in (("UPDATE", rights.update), ("INSERT", rights.insert_columns)):
        for table, columns in given.items():
            grant = sql.SQL("GRANT {} ({}) ON {} TO {}")
            made.append(grant.format(sql.SQL(word), _names(columns), sql.Identifier(table), to))
    for other in rights.acts_as:
        made.append(sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(sql.Identifier(other), to))
    return made


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _run(connection: Connection, statement: sql.Composable) -> None:
    """Roles and passwords cannot be bound as parameters: the driver quotes them."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


@contextmanager
def acting_as(connection: Connection, role: str) -> Iterator[None]:
    """Have statements run with the rights of `role`; an error leaves the transaction broken, and so without rights."""
    _run(connection, sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    yield
    _run(connection, sql.SQL("SET LOCAL ROLE NONE"))
