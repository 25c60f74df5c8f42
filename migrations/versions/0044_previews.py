"""Previews: jobs of a spec that nobody has submitted yet, which belong to no experiment."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

BEFORE = {
    "relation_known": "relation IN ('retry', 'fork', 'replay', 'probe')",
    "probe_has_task": "(relation IS NOT DISTINCT FROM 'probe') = (task IS NOT NULL)",
    "parent_has_relation": "(relation IS NULL) = (parent_run_id IS NULL)",
}
AFTER = {
    "relation_known": "relation IN ('retry', 'fork', 'replay', 'probe', 'preview')",
    "job_has_task": "coalesce(relation IN ('probe', 'preview'), false) = (task IS NOT NULL)",
    "parent_has_relation": "(relation IS NULL OR relation = 'preview') = (parent_run_id IS NULL)",
    "preview_has_no_experiment": "(relation IS NOT DISTINCT FROM 'preview') = (experiment_id IS NULL)",
}


def upgrade() -> None:
    op.alter_column("run", "experiment_id", nullable=True)
    _replace(BEFORE, AFTER)
    op.create_index("run_preview_idx", "run", ["owner_id", "id"], postgresql_where=sa.text("task ? 'spec'"))


def downgrade() -> None:
    op.drop_index("run_preview_idx", "run")
    _forget_the_previews()
    _replace(AFTER, BEFORE)
    op.alter_column("run", "experiment_id", nullable=False)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for name in old:
        op.drop_constraint(op.f(f"run_{name}_check"), "run")
    for name, condition in new.items():
        op.create_check_constraint(op.f(f"run_{name}_check"), "run", condition)


def _forget_the_previews() -> None:
    previews = "SELECT id FROM run WHERE relation = 'preview'"
    op.execute(f"UPDATE worker SET run_id = NULL WHERE run_id IN ({previews})")  # noqa: S608  no value in it
    for table in ("event", "reading", "log_line", "attempt"):
        op.execute(f"DELETE FROM {table} WHERE run_id IN ({previews})")  # noqa: S608
    op.execute("DELETE FROM run WHERE relation = 'preview'")
