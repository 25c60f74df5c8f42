"""Views of the page that a project keeps."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

REACH = "(SELECT coalesce(current_setting('saddle.project', true), ''))"  # as in migration 0028


def word(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.Text(collation="C"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "saved_view",
        word("id"),
        word("project_id"),
        word("owner_id"),
        word("place"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.Column("edited_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("saved_view_pkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("saved_view_project_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["member.id"], name=op.f("saved_view_owner_id_fkey")),
        sa.CheckConstraint("place IN ('experiments', 'compare')", name=op.f("saved_view_place_known_check")),
    )
    op.create_index("saved_view_project_id_place_name_key", "saved_view", ["project_id", "place", "name"], unique=True)
    op.create_index("saved_view_project_id_id_idx", "saved_view", ["project_id", "id"])
    op.execute("ALTER TABLE saved_view ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY within_project ON saved_view USING ({REACH} = '' OR project_id = {REACH})"
        f" WITH CHECK ({REACH} = '' OR project_id = {REACH})"
    )


def downgrade() -> None:
    op.drop_table("saved_view")
