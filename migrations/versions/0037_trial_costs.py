"""What a trial took is counted from its runs, which know it to the last step."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("study_trial", "steps")
    op.drop_column("study_trial", "device_s")


def downgrade() -> None:
    op.add_column("study_trial", sa.Column("steps", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("study_trial", sa.Column("device_s", sa.Double, nullable=False, server_default="0"))
