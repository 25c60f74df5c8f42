"""Uploaded datasets: which file a project means by which id; the files lie beside the database."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_id", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(collation="C"), nullable=False),
        sa.Column("format", sa.Text(collation="C"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["member.id"], name="dataset_owner_id_fkey"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="dataset_project_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="dataset_pkey"),
    )
    op.create_index("dataset_project_id_id_idx", "dataset", ["project_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("dataset_project_id_id_idx", table_name="dataset")
    op.drop_table("dataset")
