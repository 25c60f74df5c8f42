"""Keys have names, so that it can be told which one to revoke."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("name", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("api_key", "name")
