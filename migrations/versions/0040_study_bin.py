"""Studies in the bin."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    op.add_column("study", sa.Column("deleted_by", sa.Text(collation="C")))
    op.create_foreign_key(op.f("study_deleted_by_fkey"), "study", "member", ["deleted_by"], ["id"])
    op.create_check_constraint(op.f("study_bin_told_check"), "study", "(deleted_at IS NULL) = (deleted_by IS NULL)")


def downgrade() -> None:
    op.drop_column("study", "deleted_by")
    op.drop_column("study", "deleted_at")
