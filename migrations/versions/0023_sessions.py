"""Sessions of browsers: random ids of which only hashes are stored, instead of API keys in cookies."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("id", WORD, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
        sa.Column("account_id", WORD, nullable=False),
        sa.Column("member_id", WORD),
        sa.Column("key_id", WORD),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("seen_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("session_account_id_fkey")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("session_member_id_fkey")),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("session_key_id_fkey")),
    )
    op.create_index("session_account_id_idx", "session", ["account_id", "id"])


def downgrade() -> None:
    op.drop_table("session")
