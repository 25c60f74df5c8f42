"""An attempt keeps who had it trained, so that device hours stay with them when the experiment moves."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("owner_id", sa.Text(collation="C")))
    op.execute("UPDATE attempt a SET owner_id = r.owner_id FROM run r WHERE r.id = a.run_id")
    op.create_foreign_key(op.f("attempt_owner_id_fkey"), "attempt", "member", ["owner_id"], ["id"])


def downgrade() -> None:
    op.drop_column("attempt", "owner_id")
