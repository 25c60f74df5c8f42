"""Invitations by link, identities at a provider, and failed sign-ins."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "invitation",
        sa.Column("id", WORD, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
        sa.Column("project_id", WORD),
        sa.Column("role", WORD),
        sa.Column("account_id", WORD),
        sa.Column("email", sa.Text),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME),
        sa.Column("used_by", WORD),
        sa.Column("revoked_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("invitation_pkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("invitation_project_id_fkey")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("invitation_account_id_fkey")),
        sa.ForeignKeyConstraint(["used_by"], ["account.id"], name=op.f("invitation_used_by_fkey")),
        sa.CheckConstraint(
            "(project_id IS NULL) = (role IS NULL) AND (project_id IS NULL) <> (account_id IS NULL)",
            name=op.f("invitation_one_purpose_check"),
        ),
        sa.CheckConstraint("role IN ('viewer', 'member', 'admin')", name=op.f("invitation_role_known_check")),
    )
    op.create_index("invitation_project_id_id_idx", "invitation", ["project_id", "id"])
    op.create_table(
        "identity",
        sa.Column("issuer", WORD, nullable=False),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("account_id", WORD, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("identity_pkey")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("identity_account_id_fkey")),
    )
    op.create_index("identity_account_id_idx", "identity", ["account_id"])
    op.create_table(
        "sign_in_failure",
        sa.Column("subject", WORD, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("sign_in_failure_pkey")),
    )


def downgrade() -> None:
    for table in ("sign_in_failure", "identity", "invitation"):
        op.drop_table(table)
