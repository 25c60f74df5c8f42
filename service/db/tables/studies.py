"""Studies and their trials, each of which is an experiment."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from service.db.tables.columns import metadata, now, word

study = Table(
    "study",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("owner_id", ForeignKey("member.id")),  # who the trials are submitted for
    word("key_id", ForeignKey("api_key.id"), nullable=True),  # that posted it, and whose limits its trials count for
    Column("name", Text, nullable=False),
    Column("document", JSON, nullable=False),  # normalised, and as text: samplers draw in the order of its space
    word("state", server_default="running"),
    Column("why", Text),  # what it waits for, or why it ended
    word("comparison_id", ForeignKey("comparison.id"), nullable=True),  # of its best trials, to confirm them
    word("cloned_from", ForeignKey("study.id"), nullable=True),
    word("idempotency_key", nullable=True),
    word("request_hash", nullable=True),
    now("created_at"),
    Column("finished_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),  # set: in the project's bin
    word("deleted_by", ForeignKey("member.id"), nullable=True),
    CheckConstraint("(deleted_at IS NULL) = (deleted_by IS NULL)", name="bin_told"),
    CheckConstraint("state IN ('running', 'paused', 'finished', 'stopped', 'failed')", name="state_known"),
    Index("study_project_id_id_idx", "project_id", "id"),
    Index("study_running_idx", "id", postgresql_where=text("state = 'running'")),
    Index(
        "study_project_id_idempotency_key_key",
        "project_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

study_trial = Table(
    "study_trial",
    metadata,
    word("study_id", ForeignKey("study.id"), primary_key=True),
    Column("number", Integer, primary_key=True),  # 0, 1, ...
    word("project_id", ForeignKey("project.id")),
    Column("point", JSONB, nullable=False),  # pointer -> value, of the active dimensions
    word("state", server_default="running"),
    Column("by_hand", Boolean, nullable=False, server_default="false"),
    Column("repeats", Integer),  # the failed trial whose point this one has
    word("experiment_id", ForeignKey("experiment.id"), nullable=True),  # null: its point makes no valid spec
    Column("total_steps", BigInteger, nullable=False, server_default="0"),  # of each of its runs
    Column("rung_steps", JSONB, nullable=False, server_default="[]"),  # where its runs pause
    Column("rungs", JSONB, nullable=False, server_default="[]"),  # the objective at each rung reached; null: diverged
    Column("value", Double),  # the objective at its end; null: it has none, or diverged
    Column("seed_values", JSONB, nullable=False, server_default="[]"),  # by seed, in their order; null: none
    Column("why", Text),
    now("created_at"),
    Column("ended_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('running', 'waiting', 'finished', 'pruned', 'failed')", name="state_known"),
    CheckConstraint("(state IN ('running', 'waiting')) = (ended_at IS NULL)", name="end_told"),
    Index("study_trial_experiment_id_idx", "experiment_id", unique=True),
)
