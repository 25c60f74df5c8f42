"""An index of the jobs that predict rows, which are deleted a while after their end."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("run_predicts_idx", "run", ["id"], postgresql_where=sa.text("task ? 'rows'"))


def downgrade() -> None:
    op.drop_index("run_predicts_idx", "run")
