"""What people write on an experiment after it was posted: tags, notes, and whether it is put away."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("tags", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column("experiment", sa.Column("notes", sa.Text(), server_default="", nullable=False))
    op.add_column("experiment", sa.Column("archived_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE experiment SET tags = coalesce(spec -> 'tags', '[]'), notes = coalesce(spec ->> 'notes', '')")


def downgrade() -> None:
    for column in ("archived_at", "notes", "tags"):
        op.drop_column("experiment", column)
