"""A run may pause by itself after a step, so that a decision about it never races with its training."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("pause_at", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("run", "pause_at")
