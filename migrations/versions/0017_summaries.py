"""Lists read an experiment's counts and spreads as they were settled, and find its runs by their state."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE, INDEX = "experiment_figure", "run_state_experiment_id_idx"
KEY = (
    "ALTER TABLE experiment_figure DROP CONSTRAINT experiment_figure_pkey, "
    "ADD CONSTRAINT experiment_figure_pkey PRIMARY KEY (name, experiment_id)"
)
REQUIRED = ("n", "best_n", "diverged", "incomplete")
OPTIONAL = ("last_spread", "best_spread", "final_from", "last_step")


def upgrade() -> None:
    op.create_index(INDEX, "run", ["state", "experiment_id"])
    op.execute(f"DELETE FROM {TABLE}")  # noqa: S608  every experiment settles anew
    op.execute("UPDATE experiment SET settled = false WHERE settled")
    op.add_column(TABLE, sa.Column("run_id", sa.Text(collation="C"), nullable=False))
    for name in REQUIRED:
        op.add_column(TABLE, sa.Column(name, sa.Integer(), nullable=False))
    for name in OPTIONAL:
        op.add_column(TABLE, sa.Column(name, sa.Double() if name.endswith("spread") else sa.BigInteger()))
    op.execute(f"{KEY} INCLUDE (last, min, max)")  # a sorted list reads the index alone


def downgrade() -> None:
    op.execute(KEY)
    for name in ("run_id", *REQUIRED, *OPTIONAL):
        op.drop_column(TABLE, name)
    op.drop_index(INDEX, "run")
