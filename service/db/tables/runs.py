"""Runs, their attempts, checkpoints, events and workers."""

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
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.db.states import ENDED, sql_list
from service.db.tables.columns import metadata, now, word
from service.lifecycle import State

run = Table(
    "run",
    metadata,
    word("id", primary_key=True),
    word("experiment_id", ForeignKey("experiment.id"), nullable=True),  # null: a preview, whose spec is in its task
    word("project_id", ForeignKey("project.id"), nullable=True),  # null once its experiment is erased
    word("owner_id", ForeignKey("member.id")),  # who queued it, and whose turn it takes
    word("key_id", ForeignKey("api_key.id"), nullable=True),  # which queued it, and whose limits it counts for
    Column("seed", BigInteger, nullable=False),
    Column("fold", Integer),  # that it validates on; null: its dataset has no folds
    Column("total_steps", BigInteger, nullable=False),
    word("state", server_default="queued"),
    word("desired", server_default="run"),
    word("pool"),
    # packages that its worker must have, sorted: one queue for each set of them
    Column("needs", ARRAY(Text(collation="C")), nullable=False, server_default="{}"),
    word("pack_key", nullable=True),  # of runs that may be trained together; null: it trains alone
    Column("memory_bytes", BigInteger),  # of a device, reserved where runs share one; null: not known
    Column("priority", Integer, nullable=False, server_default="0"),
    now("queued_at"),
    now("rank_at"),  # place in the queue: queued_at less ten minutes for each point of priority
    now("not_before"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    word("lease", nullable=True),
    Column("beat", BigInteger, nullable=False, server_default="0"),
    word("worker", nullable=True),
    # the waiting run that this one makes way for; kept until it is claimed again
    word("yields_to", nullable=True),
    Column("checkpoint_step", BigInteger, nullable=False, server_default="0"),
    Column("step", BigInteger, nullable=False, server_default="0"),
    Column("crash_count", Integer, nullable=False, server_default="0"),
    Column("lost_count", Integer, nullable=False, server_default="0"),
    Column("device_count", Integer, nullable=False, server_default="0"),
    word("device_worker", nullable=True),  # where the last device failure was
    Column("trained_s", Double, nullable=False, server_default="0"),  # of ended attempts
    Column("pause_at", BigInteger),  # step after which it pauses by itself; null: it trains to the end
    Column("limit_s", Double),  # longest training time; null: none
    word("parent_run_id", ForeignKey("run.id"), nullable=True),
    word("relation", nullable=True),
    Column("origin_attempt", Integer),  # with origin_step: the parent's checkpoint this run starts from
    Column("origin_step", BigInteger, nullable=False, server_default="0"),
    Column("task", JSONB),  # what a job does instead of training
    Column("failure", JSONB),
    word("request_id", nullable=True),  # of the request that queued it; null: the server itself did
    word("trace", nullable=True),  # that request's trace context, as a W3C traceparent
    now("created_at"),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("(state = 'running') = (lease IS NOT NULL)", name="lease_held_while_running"),
    CheckConstraint(f"state IN {sql_list(list(State))}", name="state_known"),
    CheckConstraint("desired IN ('run', 'pause', 'cancel')", name="desired_known"),
    CheckConstraint(f"project_id IS NOT NULL OR state IN {ENDED}", name="owned_until_ended"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_told"),
    CheckConstraint("relation IN ('retry', 'fork', 'replay', 'probe', 'preview')", name="relation_known"),
    CheckConstraint("coalesce(relation IN ('probe', 'preview'), false) = (task IS NOT NULL)", name="job_has_task"),
    CheckConstraint("(relation IS NULL OR relation = 'preview') = (parent_run_id IS NULL)", name="parent_has_relation"),
    CheckConstraint(
        "(relation IS NOT DISTINCT FROM 'preview') = (experiment_id IS NULL)", name="preview_has_no_experiment"
    ),
    ForeignKeyConstraint(
        ["parent_run_id", "origin_attempt", "origin_step"],
        ["checkpoint.run_id", "checkpoint.attempt", "checkpoint.step"],
        name="run_origin_fkey",
        use_alter=True,
    ),
    Index("run_experiment_id_idx", "experiment_id"),
    Index("run_parent_run_id_idx", "parent_run_id"),
    Index("run_key_id_created_at_idx", "key_id", "created_at", postgresql_where=text("key_id IS NOT NULL")),
    Index("run_project_id_id_idx", "project_id", "id"),
    Index(
        "run_waiting_idx",
        "pool",
        "needs",
        "project_id",
        "owner_id",
        "rank_at",
        "id",
        postgresql_where=text("state = 'queued'"),
    ),
    Index(
        "run_pack_idx",
        "pack_key",
        "pool",
        "rank_at",
        "id",
        postgresql_where=text("state = 'queued' AND pack_key IS NOT NULL"),
    ),
    Index("run_yields_to_idx", "yields_to", postgresql_where=text("yields_to IS NOT NULL")),
    Index("run_state_experiment_id_idx", "state", "experiment_id"),
    Index("run_running_idx", "id", postgresql_where=text("state = 'running'")),
    Index("run_predicts_idx", "id", postgresql_where=text("task ? 'rows'")),
    Index("run_preview_idx", "owner_id", "id", postgresql_where=text("task ? 'spec'")),
)

device_use = Table(
    "device_use",
    metadata,
    # one row per worker, so that no two workers wait for each other; no foreign keys: rows vanish as use decays
    word("pool", primary_key=True),
    word("project_id", primary_key=True),
    word("owner_id", primary_key=True),
    word("worker", primary_key=True),
    Column("seconds", Double, nullable=False),  # of a device, in ended attempts; decayed up to `at`
    Column("at", DateTime(timezone=True), nullable=False),
)

attempt = Table(
    "attempt",
    metadata,
    word("run_id", ForeignKey("run.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    word("lease"),
    word("worker"),
    word("owner_id", ForeignKey("member.id"), nullable=True),  # the run's at that time: whose device hours these are
    Column("start_step", BigInteger, nullable=False),
    Column("pack_runs", Integer, nullable=False, server_default="1"),  # that shared its device's time from the start
    Column("cut_step", BigInteger),  # rows beyond it are superseded; null: none are
    Column("environment", JSONB),
    now("started_at"),
    Column("ended_at", DateTime(timezone=True)),
    word("ending", nullable=True),
    Column("detail", Text),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    word("run_id", primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("folder", Text, nullable=False),
    word("sha256"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("damaged", Boolean, nullable=False, server_default="false"),
    Column("removed_at", DateTime(timezone=True)),
    word("reason", server_default="due"),
    Column("value", Double),  # of the watched series, where the reason is 'best'
    now("created_at"),
    CheckConstraint("reason IN ('due', 'best', 'end', 'wish', 'escape')", name="reason_known"),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

reading = Table(
    "reading",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    word("run_id"),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    word("kind"),
    Column("data", JSONB, nullable=False),
    now("at"),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
    Index("reading_run_id_attempt_step_kind_key", "run_id", "attempt", "step", "kind", unique=True),
    Index("reading_run_id_id_idx", "run_id", "id"),
)

log_line = Table(
    "log_line",
    metadata,
    word("run_id", primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),  # within the attempt, from 1
    Column("at", DateTime(timezone=True), nullable=False),
    word("source"),
    word("level"),
    Column("text", Text, nullable=False),
    CheckConstraint("source IN ('saddle', 'output')", name="log_source_known"),
    CheckConstraint("level IN ('info', 'warning', 'error')", name="log_level_known"),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

worker = Table(
    "worker",
    metadata,
    word("name", primary_key=True),
    word("pool"),
    word("host"),
    Column("pid", Integer, nullable=False),
    word("version"),
    Column("device", JSONB, nullable=False),
    Column("packages", JSONB, nullable=False, server_default="{}"),  # name -> version
    word("state", server_default="starting"),
    Column("detail", Text),
    word("run_id", ForeignKey("run.id"), nullable=True),
    now("started_at"),
    now("beat_at"),
    Column("drain_since", DateTime(timezone=True)),  # it shall take no more runs; null: it may
    Column("drain_by", Text),  # the name of who asked, at that time
    Column("clock_ahead_s", Double),  # of its machine, before Postgres's, at its last beat
    CheckConstraint(
        "state IN ('starting', 'idle', 'busy', 'draining', 'drained', 'unhealthy', 'gone')",
        name="state_known",
    ),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("run_id", ForeignKey("run.id")),
    word("kind"),
    Column("data", JSONB, nullable=False, server_default="{}"),
    now("at"),
    Column("xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint")),
    Index("event_run_id_id_idx", "run_id", "id"),
    Index("event_project_id_xid_id_idx", "project_id", "xid", "id"),
)
