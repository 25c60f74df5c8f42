"""The index of lists holds what most of them filter by, so that rows are read for one page only."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX, TABLE, KEY = "experiment_project_id_id_idx", "experiment", ["project_id", "id"]


def upgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, KEY, postgresql_include=["archived_at", "settled"])


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, KEY)
