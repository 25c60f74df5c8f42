"""The full life of a run: parents and origins, a place in the queue, device failures, time limits; workers that are seen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WAITING = "state = 'queued'"


def upgrade() -> None:
    _runs()
    _checkpoints()
    _workers()


def _runs() -> None:
    op.add_column("run", sa.Column("parent_run_id", sa.Text(collation="C")))
    op.add_column("run", sa.Column("relation", sa.Text(collation="C")))
    op.add_column("run", sa.Column("origin_attempt", sa.Integer()))
    op.add_column("run", sa.Column("origin_step", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column(
        "run",
        sa.Column("rank_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    )
    op.add_column("run", sa.Column("device_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("device_worker", sa.Text(collation="C")))
    op.add_column("run", sa.Column("trained_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("limit_s", sa.Double()))
    op.execute("UPDATE run SET rank_at = queued_at - priority * interval '10 minutes'")
    op.create_foreign_key("run_parent_run_id_fkey", "run", "run", ["parent_run_id"], ["id"])
    op.create_foreign_key(
        "run_origin_fkey",
        "run",
        "checkpoint",
        ["parent_run_id", "origin_attempt", "origin_step"],
        ["run_id", "attempt", "step"],
    )
    op.create_check_constraint(op.f("run_relation_known_check"), "run", "relation IN ('retry', 'fork', 'replay')")
    op.create_check_constraint(
        op.f("run_parent_has_relation_check"), "run", "(relation IS NULL) = (parent_run_id IS NULL)"
    )
    op.create_index("run_parent_run_id_idx", "run", ["parent_run_id"])
    op.drop_index("run_waiting_idx", table_name="run")
    op.create_index(
        "run_waiting_idx", "run", ["pool", "project_id", "rank_at", "id"], postgresql_where=sa.text(WAITING)
    )


def _checkpoints() -> None:
    op.add_column("checkpoint", sa.Column("reason", sa.Text(collation="C"), nullable=False, server_default="due"))
    op.add_column("checkpoint", sa.Column("value", sa.Double()))
    op.create_check_constraint(
        op.f("checkpoint_reason_known_check"), "checkpoint", "reason IN ('due', 'best', 'end', 'wish')"
    )


def _workers() -> None:
    op.create_table(
        "worker",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("pool", sa.Text(collation="C"), nullable=False),
        sa.Column("host", sa.Text(collation="C"), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("device", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(collation="C"), server_default="starting", nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('starting', 'idle', 'busy', 'draining', 'unhealthy', 'gone')",
            name=op.f("worker_state_known_check"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("worker_run_id_fkey")),
        sa.PrimaryKeyConstraint("name", name=op.f("worker_pkey")),
    )


def downgrade() -> None:
    op.drop_table("worker")
    op.drop_constraint(op.f("checkpoint_reason_known_check"), "checkpoint")
    for column in ("value", "reason"):
        op.drop_column("checkpoint", column)
    op.drop_index("run_waiting_idx", table_name="run")
    op.create_index(
        "run_waiting_idx",
        "run",
        ["pool", sa.literal_column("priority DESC"), "queued_at", "id"],
        postgresql_where=sa.text(WAITING),
    )
    op.drop_index("run_parent_run_id_idx", table_name="run")
    for constraint in ("run_parent_has_relation_check", "run_relation_known_check"):
        op.drop_constraint(op.f(constraint), "run")
    for constraint in ("run_origin_fkey", "run_parent_run_id_fkey"):
        op.drop_constraint(constraint, "run")
    for column in ("limit_s", "trained_s", "device_worker", "device_count", "rank_at"):
        op.drop_column("run", column)
    for column in ("origin_step", "origin_attempt", "relation", "parent_run_id"):
        op.drop_column("run", column)
