"""Channels of people and projects, and the outbox of messages to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "channel",
        sa.Column("id", WORD, nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("member_id", WORD, nullable=False),
        sa.Column("shared", sa.Boolean, server_default="false", nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", TIME),
        sa.Column("events", postgresql.ARRAY(WORD), nullable=False),
        sa.Column("own_only", sa.Boolean, server_default="false", nullable=False),
        sa.Column("bundle_s", sa.Integer, server_default="300", nullable=False),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("retry_at", TIME),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_why", sa.Text),
        sa.Column("removed_at", TIME),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("kind IN ('webhook', 'slack', 'email')", name=op.f("channel_kind_known_check")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("channel_project_id_fkey")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("channel_member_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("channel_pkey")),
    )
    there = sa.text("removed_at IS NULL")
    op.create_index("channel_project_id_idx", "channel", ["project_id"], postgresql_where=there)
    op.create_table(
        "delivery",
        sa.Column("id", WORD, nullable=False),
        sa.Column("channel_id", WORD, nullable=False),
        sa.Column("bundle", WORD, nullable=False),
        sa.Column("events", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", WORD, server_default="open", nullable=False),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("due_at", TIME, server_default=NOW, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("status", sa.Integer),
        sa.Column("detail", sa.Text),
        sa.CheckConstraint("state IN ('open', 'sent', 'failed')", name=op.f("delivery_state_known_check")),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("delivery_channel_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("delivery_pkey")),
    )
    collecting = sa.text("state = 'open' AND attempts = 0")
    key = ["channel_id", "bundle"]
    op.create_index("delivery_collecting_key", "delivery", key, unique=True, postgresql_where=collecting)
    op.create_index("delivery_due_at_idx", "delivery", ["due_at"], postgresql_where=sa.text("state = 'open'"))
    op.create_index("delivery_channel_id_bundle_idx", "delivery", key)
    op.create_index("delivery_channel_id_id_idx", "delivery", ["channel_id", "id"])
    op.create_table(
        "alarm",
        sa.Column("kind", WORD, nullable=False),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("since", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("alarm_project_id_fkey")),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("alarm_pkey")),
    )
    op.create_table(
        "event_reader",
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("xid", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.BigInteger, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("event_reader_project_id_fkey")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("event_reader_pkey")),
    )


def downgrade() -> None:
    for name in ("event_reader", "alarm", "delivery", "channel"):
        op.drop_table(name)
