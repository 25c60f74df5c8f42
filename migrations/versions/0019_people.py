"""Accounts are people of the server, and members are accounts in projects; keys have scopes; there is an audit.

Every member of before gets an account of its own, because one name in two projects may be two people.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)
FILL = """
    INSERT INTO account (id, name, created_at)
    SELECT 'acc' || substr(m.id, 4),
        CASE WHEN count(*) OVER (PARTITION BY m.name) = 1 THEN m.name ELSE m.name || ' (' || p.name || ')' END,
        m.created_at
    FROM member m JOIN project p ON p.id = m.project_id
"""


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("kind", WORD, server_default="person", nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("admin", sa.Boolean, server_default="false", nullable=False),
        sa.Column("disabled_at", TIME),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("kind IN ('person', 'service')", name=op.f("account_kind_known_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("account_pkey")),
        sa.UniqueConstraint("name", name=op.f("account_name_key")),
    )
    op.create_index("account_email_key", "account", [sa.text("lower(email)")], unique=True)
    op.execute(FILL)
    op.add_column("project", sa.Column("members_manage", sa.Boolean, server_default="false", nullable=False))
    op.add_column("member", sa.Column("account_id", WORD))
    op.execute("UPDATE member SET account_id = 'acc' || substr(id, 4)")
    op.alter_column("member", "account_id", nullable=False)
    op.create_foreign_key(op.f("member_account_id_fkey"), "member", "account", ["account_id"], ["id"])
    op.create_index("member_account_id_project_id_key", "member", ["account_id", "project_id"], unique=True)
    op.add_column("member", sa.Column("removed_at", TIME))
    op.alter_column("member", "role", server_default="member")
    op.create_check_constraint(op.f("member_role_known_check"), "member", "role IN ('viewer', 'member', 'admin')")
    op.add_column("api_key", sa.Column("scope", WORD, server_default="admin", nullable=False))
    op.create_check_constraint(op.f("api_key_scope_known_check"), "api_key", "scope IN ('read', 'submit', 'admin')")
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.Column("project_id", WORD),
        sa.Column("account_id", WORD),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key_id", WORD),
        sa.Column("address", sa.Text),
        sa.Column("request_id", WORD),
        sa.Column("action", WORD, nullable=False),
        sa.Column("target", WORD),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("audit_project_id_fkey")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("audit_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
    )
    op.create_index("audit_project_id_id_idx", "audit", ["project_id", "id"])


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_constraint(op.f("api_key_scope_known_check"), "api_key")
    op.drop_column("api_key", "scope")
    op.drop_constraint(op.f("member_role_known_check"), "member")
    op.alter_column("member", "role", server_default="admin")
    op.drop_column("member", "removed_at")
    op.drop_index("member_account_id_project_id_key", "member")
    op.drop_column("member", "account_id")
    op.drop_column("project", "members_manage")
    op.drop_table("account")
