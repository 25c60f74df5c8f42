"""The tables. Times are timestamptz; `_s` columns are seconds; text is compared byte by byte (collation C)."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from service.db.states import ENDED, sql_list
from service.lifecycle import State

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _word(name: str, *rest: Any, **options: Any) -> Column[str]:
    """A text column ordered by bytes, so that ids sort the same in every database."""
    return Column(name, Text(collation="C"), *rest, nullable=options.pop("nullable", False), **options)


def _now(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())


project = Table("project", metadata, _word("id", primary_key=True), _word("name", unique=True), _now("created_at"))

member = Table(
    "member",
    metadata,
    _word("id", primary_key=True),
    _word("project_id", ForeignKey("project.id")),
    _word("name"),
    _word("role", server_default="admin"),
    _now("created_at"),
    Index("member_project_id_name_key", "project_id", "name", unique=True),
)

api_key = Table(
    "api_key",
    metadata,
    _word("id", primary_key=True),
    _word("member_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False, server_default=""),  # where it is used
    Column("secret_sha256", LargeBinary, nullable=False),
    _now("created_at"),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

experiment = Table(
    "experiment",
    metadata,
    _word("id", primary_key=True),
    _word("project_id", ForeignKey("project.id"), nullable=True),  # null once it is erased: nobody's, so nobody sees it
    _word("owner_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False),
    Column("spec", JSONB, nullable=False),
    _word("spec_hash"),
    _word("idempotency_key", nullable=True),
    _word("request_hash", nullable=True),
    Column("tags", JSONB, nullable=False, server_default="[]"),  # name, tags and notes may change; spec never does
    Column("notes", Text, nullable=False, server_default=""),
    Column("archived_at", DateTime(timezone=True)),
    Column("erased_at", DateTime(timezone=True)),
    Column("settled", Boolean, nullable=False, server_default="false"),  # its figures are written down
    _now("created_at"),
    CheckConstraint("(erased_at IS NULL) = (project_id IS NOT NULL)", name="owned_until_erased"),
    Index("experiment_project_id_id_idx", "project_id", "id", postgresql_include=["archived_at", "settled"]),
    Index("experiment_erased_at_idx", "erased_at", postgresql_where=text("erased_at IS NOT NULL")),
    Index("experiment_unsettled_idx", "id", postgresql_where=text("NOT settled")),
    Index(
        "experiment_project_id_idempotency_key_key",
        "project_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

run = Table(
    "run",
    metadata,
    _word("id", primary_key=True),
    _word("experiment_id", ForeignKey("experiment.id")),
    _word("project_id", ForeignKey("project.id"), nullable=True),  # null once its experiment is erased
    Column("seed", BigInteger, nullable=False),
    Column("total_steps", BigInteger, nullable=False),
    _word("state", server_default="queued"),
    _word("desired", server_default="run"),
    _word("pool"),
    # packages that its worker must have, sorted: one queue for each set of them
    Column("needs", ARRAY(Text(collation="C")), nullable=False, server_default="{}"),
    Column("memory_bytes", BigInteger),  # of a device, reserved where runs share one; null: not known
    Column("priority", Integer, nullable=False, server_default="0"),
    _now("queued_at"),
    _now("rank_at"),  # place in the queue: queued_at less ten minutes for each point of priority
    _now("not_before"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    _word("lease", nullable=True),
    Column("beat", BigInteger, nullable=False, server_default="0"),
    _word("worker", nullable=True),
    Column("checkpoint_step", BigInteger, nullable=False, server_default="0"),
    Column("step", BigInteger, nullable=False, server_default="0"),
    Column("crash_count", Integer, nullable=False, server_default="0"),
    Column("lost_count", Integer, nullable=False, server_default="0"),
    Column("device_count", Integer, nullable=False, server_default="0"),
    _word("device_worker", nullable=True),  # where the last device failure was
    Column("trained_s", Double, nullable=False, server_default="0"),  # of ended attempts
    Column("limit_s", Double),  # longest training time; null: none
    _word("parent_run_id", ForeignKey("run.id"), nullable=True),
    _word("relation", nullable=True),
    Column("origin_attempt", Integer),  # with origin_step: the parent's checkpoint this run starts from
    Column("origin_step", BigInteger, nullable=False, server_default="0"),
    Column("task", JSONB),  # what a probe job does instead of training
    Column("failure", JSONB),
    _now("created_at"),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("(state = 'running') = (lease IS NOT NULL)", name="lease_held_while_running"),
    CheckConstraint(f"state IN {sql_list(list(State))}", name="state_known"),
    CheckConstraint("desired IN ('run', 'pause', 'cancel')", name="desired_known"),
    CheckConstraint(f"project_id IS NOT NULL OR state IN {ENDED}", name="owned_until_ended"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_told"),
    CheckConstraint("relation IN ('retry', 'fork', 'replay', 'probe')", name="relation_known"),
    CheckConstraint("(relation IS NOT DISTINCT FROM 'probe') = (task IS NOT NULL)", name="probe_has_task"),
    CheckConstraint("(relation IS NULL) = (parent_run_id IS NULL)", name="parent_has_relation"),
    ForeignKeyConstraint(
        ["parent_run_id", "origin_attempt", "origin_step"],
        ["checkpoint.run_id", "checkpoint.attempt", "checkpoint.step"],
        name="run_origin_fkey",
        use_alter=True,
    ),
    Index("run_experiment_id_idx", "experiment_id"),
    Index("run_parent_run_id_idx", "parent_run_id"),
    Index("run_project_id_id_idx", "project_id", "id"),
    Index(
        "run_waiting_idx",
        "pool",
        "needs",
        "project_id",
        "rank_at",
        "id",
        postgresql_where=text("state = 'queued'"),
    ),
    Index("run_state_experiment_id_idx", "state", "experiment_id"),
    Index("run_running_idx", "id", postgresql_where=text("state = 'running'")),
)

attempt = Table(
    "attempt",
    metadata,
    _word("run_id", ForeignKey("run.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _word("lease"),
    _word("worker"),
    Column("start_step", BigInteger, nullable=False),
    Column("cut_step", BigInteger),  # rows beyond it are superseded; null: none are
    Column("environment", JSONB),
    _now("started_at"),
    Column("ended_at", DateTime(timezone=True)),
    _word("ending", nullable=True),
    Column("detail", Text),
)

series = Table(
    "series",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _word("run_id", ForeignKey("run.id")),
    _word("name"),
    # the summary that lists read; kept in the transaction that writes points
    Column("n", BigInteger, nullable=False, server_default="0"),
    Column("first_step", BigInteger),
    Column("last_step", BigInteger),
    Column("last", Double),
    Column("min", Double),
    Column("min_step", BigInteger),
    Column("max", Double),
    Column("max_step", BigInteger),
    Column("nonfinite", BigInteger, nullable=False, server_default="0"),
    Column("final", Double),  # mean over the steps from final_from to last_step; null: the last value speaks
    Column("final_from", BigInteger),
    Index("series_run_id_name_key", "run_id", "name", unique=True),
    Index("series_nonfinite_idx", "run_id", "name", postgresql_where=text("nonfinite > 0")),  # who diverged
    Index("series_run_id_id_key", "run_id", "id", unique=True),  # what points name: so deleting one needs no scan
)

experiment_figure = Table(
    "experiment_figure",
    metadata,
    _word("name"),  # of a series; first in the key, because a list asks for one name of all experiments
    _word("experiment_id", ForeignKey("experiment.id")),
    Column("last", Double),  # this and the next two: means over the runs with a finite value
    Column("min", Double),
    Column("max", Double),
    # of the lowest seed; no foreign key: settling locks experiments first, and would deadlock with a retry
    _word("run_id"),
    Column("n", Integer, nullable=False),  # runs with a finite last value
    Column("best_n", Integer, nullable=False),  # best: min or max, see service.spec.measures
    Column("last_spread", Double),  # standard deviations between the runs; null with fewer than two
    Column("best_spread", Double),
    Column("diverged", Integer, nullable=False),  # runs
    Column("incomplete", Integer, nullable=False),
    Column("final_from", BigInteger),
    Column("last_step", BigInteger),
    PrimaryKeyConstraint("name", "experiment_id", postgresql_include=["last", "min", "max"]),
)

metric_chunk = Table(
    "metric_chunk",
    metadata,
    _word("run_id", primary_key=True),
    Column("series_id", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("first_step", BigInteger, primary_key=True),
    Column("last_step", BigInteger, nullable=False),
    Column("every", Integer, nullable=False),  # distance between steps; 0: see steps
    Column("n", Integer, nullable=False),
    Column("min", Double),
    Column("min_step", BigInteger),
    Column("max", Double),
    Column("max_step", BigInteger),
    Column("mean", Double),
    Column("last", Double, nullable=False),
    Column("nonfinite", Integer, nullable=False),
    Column("values", LargeBinary, nullable=False),
    Column("steps", LargeBinary),
    Column("buckets", LargeBinary),  # of 16 steps, see service.db.metrics.rollup_codec; null: read the values
    ForeignKeyConstraint(["run_id", "series_id"], ["series.run_id", "series.id"]),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

metric_tile = Table(
    "metric_tile",
    metadata,
    _word("run_id", primary_key=True),
    Column("series_id", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("level", Integer, primary_key=True),  # its buckets span 2^level steps
    Column("first_step", BigInteger, primary_key=True),
    Column("last_step", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),  # points
    Column("buckets", LargeBinary, nullable=False),
    ForeignKeyConstraint(["run_id", "series_id"], ["series.run_id", "series.id"]),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _word("run_id", primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("folder", Text, nullable=False),
    _word("sha256"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("damaged", Boolean, nullable=False, server_default="false"),
    Column("removed_at", DateTime(timezone=True)),
    _word("reason", server_default="due"),
    Column("value", Double),  # of the watched series, where the reason is 'best'
    _now("created_at"),
    CheckConstraint("reason IN ('due', 'best', 'end', 'wish', 'escape')", name="reason_known"),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

reading = Table(
    "reading",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _word("run_id"),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    _word("kind"),
    Column("data", JSONB, nullable=False),
    _now("at"),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
    Index("reading_run_id_attempt_step_kind_key", "run_id", "attempt", "step", "kind", unique=True),
    Index("reading_run_id_id_idx", "run_id", "id"),
)

worker = Table(
    "worker",
    metadata,
    _word("name", primary_key=True),
    _word("pool"),
    _word("host"),
    Column("pid", Integer, nullable=False),
    _word("version"),
    Column("device", JSONB, nullable=False),
    Column("packages", JSONB, nullable=False, server_default="{}"),  # name -> version
    _word("state", server_default="starting"),
    Column("detail", Text),
    _word("run_id", ForeignKey("run.id"), nullable=True),
    _now("started_at"),
    _now("beat_at"),
    CheckConstraint(
        "state IN ('starting', 'idle', 'busy', 'draining', 'unhealthy', 'gone')",
        name="state_known",
    ),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _word("project_id", ForeignKey("project.id")),
    _word("run_id", ForeignKey("run.id")),
    _word("kind"),
    Column("data", JSONB, nullable=False, server_default="{}"),
    _now("at"),
    Column("xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint")),
    Index("event_run_id_id_idx", "run_id", "id"),
    Index("event_project_id_xid_id_idx", "project_id", "xid", "id"),
)

dataset = Table(
    "dataset",
    metadata,
    _word("id", primary_key=True),
    _word("project_id", ForeignKey("project.id")),
    _word("owner_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False),
    _word("sha256"),
    _word("format"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("report", JSONB, nullable=False),
    _now("created_at"),
    Index("dataset_project_id_id_idx", "project_id", "id"),
)

verification = Table(
    "verification",
    metadata,
    _word("id", primary_key=True),
    _word("project_id", ForeignKey("project.id")),
    _word("owner_id", ForeignKey("member.id")),
    _word("run_id", ForeignKey("run.id")),
    _word("finding"),
    Column("found", JSONB, nullable=False),  # the finding as it was
    Column("seeds", JSONB, nullable=False),
    Column("from_step", BigInteger, nullable=False),
    _word("control_id", ForeignKey("experiment.id")),
    _word("job_id", ForeignKey("run.id"), nullable=True),  # the probe job whose changed state the remedy starts from
    _word("patched_id", ForeignKey("experiment.id"), nullable=True),  # null: waits for the job
    Column("failure", Text),  # why the remedy could not be tried
    _word("idempotency_key", nullable=True),
    _now("created_at"),
    Index("verification_run_id_idx", "run_id"),
    Index("verification_job_id_idx", "job_id", postgresql_where=text("patched_id IS NULL AND failure IS NULL")),
)

judgement = Table(
    "judgement",
    metadata,
    _word("subject", primary_key=True),  # the id of a verification, or of a replay run
    Column("basis", JSONB, nullable=False),  # the runs and rule versions it was drawn from; it is void for another
    Column("result", JSON, nullable=False),  # as text, because jsonb would lose the sign of -0.0
    _now("created_at"),
)

comparison = Table(
    "comparison",
    metadata,
    _word("id", primary_key=True),
    _word("project_id", ForeignKey("project.id")),
    _word("owner_id", ForeignKey("member.id")),
    Column("question", JSONB, nullable=False),
    _now("created_at"),
)

confirmation = Table(
    "confirmation",
    metadata,
    _word("comparison_id", ForeignKey("comparison.id"), primary_key=True),
    _word("experiment_id", ForeignKey("experiment.id"), primary_key=True),  # trains the contestant from fresh seeds
    _word("trial_id", ForeignKey("experiment.id")),  # the contestant as it was chosen
    Column("label", Text, nullable=False),  # of its group
    Column("trials", Integer, nullable=False),  # it was chosen from
    _now("created_at"),
    Index("confirmation_experiment_id_idx", "experiment_id", unique=True),
)
