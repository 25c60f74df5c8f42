"""A run knows the fold that it validates on, so that lists of runs need no spec."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("fold", sa.Integer))
    op.execute(
        """
        UPDATE run r SET fold = r.seed % cast(e.spec #>> '{dataset,folds}' AS int) FROM experiment e
        WHERE e.id = r.experiment_id AND e.spec #>> '{dataset,folds}' IS NOT NULL
        """
    )


def downgrade() -> None:
    op.drop_column("run", "fold")
