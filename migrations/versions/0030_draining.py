"""Workers that a server admin drains, and how far their clocks are off."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

STATES = ("starting", "idle", "busy", "draining", "drained", "unhealthy", "gone")


def _check(states: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("worker_state_known_check"), "worker")
    listed = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint(op.f("worker_state_known_check"), "worker", f"state IN ({listed})")


def upgrade() -> None:
    op.add_column("worker", sa.Column("drain_since", sa.DateTime(timezone=True)))
    op.add_column("worker", sa.Column("drain_by", sa.Text))
    op.add_column("worker", sa.Column("clock_ahead_s", sa.Double))
    _check(STATES)


def downgrade() -> None:
    op.execute("UPDATE worker SET state = 'idle' WHERE state = 'drained'")
    _check(tuple(state for state in STATES if state != "drained"))
    op.drop_column("worker", "clock_ahead_s")
    op.drop_column("worker", "drain_by")
    op.drop_column("worker", "drain_since")
