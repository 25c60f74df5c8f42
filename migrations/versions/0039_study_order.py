"""A study keeps the order of its space, in which samplers draw; jsonb would sort it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, JSONB

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _change(JSONB(), JSON(), "json")


def downgrade() -> None:
    _change(JSON(), JSONB(), "jsonb")


def _change(old: sa.types.TypeEngine[object], new: sa.types.TypeEngine[object], name: str) -> None:
    op.alter_column(
        "study", "document", existing_type=old, type_=new, postgresql_using=f"document::{name}", existing_nullable=False
    )
