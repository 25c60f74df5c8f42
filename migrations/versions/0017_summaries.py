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
REQUIRED = {"run_id": sa.Text(collation="C"), **dict.fromkeys(("n", "best_n", "diverged", "incomplete"), sa.Integer())}
OPTIONAL = {
    **dict.fromkeys(("last_spread", "best_spread"), sa.Double()),
    **dict.fromkeys(("final_from", "last_step"), sa.BigInteger()),
}


def upgrade() -> None:
    op.create_index(INDEX, "run", ["state", "experiment_id"])
    op.execute(f"DELETE FROM {TABLE}")  # noqa: S608  every experiment settles anew
    op.execute("UPDATE experiment SET settled = false WHERE settled")
    for name, kind in (REQUIRED | OPTIONAL).items():
        op.add_column(TABLE, sa.Column(name, kind, nullable=name in OPTIONAL))
    op.execute(f"{KEY} INCLUDE (last, min, max)")  # a sorted list reads the index alone
    op.create_foreign_key(op.f("experiment_figure_run_id_fkey"), TABLE, "run", ["run_id"], ["id"])


def downgrade() -> None:
    op.execute(KEY)
    for name in REQUIRED | OPTIONAL:
        op.drop_column(TABLE, name)
    op.drop_index(INDEX, "run")
