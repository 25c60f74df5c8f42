"""A run says how much memory of a device it needs, for slots that share one."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("memory_bytes", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("run", "memory_bytes")
