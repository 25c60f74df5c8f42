"""Names of accounts are unique however they are capitalised; of two that differ only in that, the older keeps its name."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE account a SET name = name || ' (' || right(id, 6) || ')'
        WHERE EXISTS (SELECT FROM account b WHERE lower(b.name) = lower(a.name) AND b.id < a.id)
        """
    )
    op.drop_constraint("account_name_key", "account", type_="unique")
    op.execute("CREATE UNIQUE INDEX account_name_key ON account (lower(name))")


def downgrade() -> None:
    op.drop_index("account_name_key", "account")
    op.create_unique_constraint("account_name_key", "account", ["name"])
