"""Experiments that are deleted: nobody's from then on, and their points go without a scan of everybody's."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

POINTS = ("metric_chunk", "metric_tile")
ENDED = "project_id IS NOT NULL OR state IN ('succeeded', 'failed', 'cancelled')"
ERASED = "SELECT id FROM run WHERE project_id IS NULL"


def upgrade() -> None:
    op.add_column("experiment", sa.Column("erased_at", sa.DateTime(timezone=True)))
    for table in ("experiment", "run"):
        op.alter_column(table, "project_id", nullable=True)
    owned = "(erased_at IS NULL) = (project_id IS NOT NULL)"
    op.create_check_constraint(op.f("experiment_owned_until_erased_check"), "experiment", owned)
    op.create_check_constraint(op.f("run_owned_until_ended_check"), "run", ENDED)
    there = sa.text("erased_at IS NOT NULL")
    op.create_index("experiment_erased_at_idx", "experiment", ["erased_at"], postgresql_where=there)
    # by the run too: the points' own keys begin with it, so a series is deleted without a scan of all points
    op.create_index("series_run_id_id_key", "series", ["run_id", "id"], unique=True)
    for table in POINTS:
        op.drop_constraint(f"{table}_series_id_fkey", table)
        _refer(table, ["run_id", "series_id"], ["run_id", "id"])


def downgrade() -> None:
    _forget_the_erased()
    for table in POINTS:
        op.drop_constraint(f"{table}_run_id_series_id_fkey", table)
        _refer(table, ["series_id"], ["id"])
    op.drop_index("series_run_id_id_key", table_name="series")
    op.drop_index("experiment_erased_at_idx", table_name="experiment")
    op.drop_constraint(op.f("run_owned_until_ended_check"), "run")
    op.drop_constraint(op.f("experiment_owned_until_erased_check"), "experiment")
    for table in ("experiment", "run"):
        op.alter_column(table, "project_id", nullable=False)
    op.drop_column("experiment", "erased_at")


def _refer(table: str, columns: list[str], others: list[str]) -> None:
    op.create_foreign_key(f"{table}_{'_'.join(columns)}_fkey", table, "series", columns, others)


def _forget_the_erased() -> None:
    """Their rows go too; the runs that were forked from them stand alone."""
    alone = "parent_run_id = NULL, relation = NULL, origin_attempt = NULL, origin_step = 0"
    op.execute(f"UPDATE run SET {alone} WHERE parent_run_id IN ({ERASED})")  # noqa: S608  no value in it
    op.execute(f"UPDATE worker SET run_id = NULL WHERE run_id IN ({ERASED})")  # noqa: S608
    for table in ("checkpoint", "attempt"):
        op.execute(f"DELETE FROM {table} WHERE run_id IN ({ERASED})")  # noqa: S608
    op.execute("DELETE FROM run WHERE project_id IS NULL")
    op.execute("DELETE FROM experiment WHERE project_id IS NULL")
