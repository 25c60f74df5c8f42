"""An experiment is found by its name through an index."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("experiment_project_id_name_idx", "experiment", ["project_id", "name"])


def downgrade() -> None:
    op.drop_index("experiment_project_id_name_idx", "experiment")
