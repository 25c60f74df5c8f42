"""Quotas of projects and people, and their use."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "quota",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("project_id", WORD),
        sa.Column("member_id", WORD),
        sa.Column("value", sa.BigInteger),
        sa.Column("set_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("subject IN ('project', 'person')", name=op.f("quota_subject_known_check")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("quota_project_id_fkey")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("quota_member_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quota_pkey")),
    )
    op.create_index(
        "quota_name_subject_project_id_member_id_key",
        "quota",
        ["name", "subject", "project_id", "member_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "quota_use",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("member_id", WORD),
        sa.Column("device_s", sa.Double, nullable=False),
        sa.Column("upload_bytes", sa.BigInteger, nullable=False),
        sa.Column("checkpoint_bytes", sa.BigInteger, nullable=False),
        sa.Column("running_limit", sa.Integer),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("counted_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("quota_use_project_id_fkey")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("quota_use_member_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("quota_use_pkey")),
    )
    op.create_index(
        "quota_use_project_id_member_id_key",
        "quota_use",
        ["project_id", "member_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )


def downgrade() -> None:
    op.drop_table("quota_use")
    op.drop_table("quota")
