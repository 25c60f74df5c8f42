"""The request that queued a run, and its trace."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")


def upgrade() -> None:
    op.add_column("run", sa.Column("request_id", WORD))
    op.add_column("run", sa.Column("trace", WORD))


def downgrade() -> None:
    op.drop_column("run", "trace")
    op.drop_column("run", "request_id")
