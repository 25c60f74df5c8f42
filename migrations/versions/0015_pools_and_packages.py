"""Pools are called cpu and gpu; a run says which packages it needs, and a worker which it has."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEX, TABLE = "run_waiting_idx", "run"
WAITING = sa.text("state = 'queued'")
# what the specs of earlier releases can ask for -> a condition on their JSON
NEEDS = {
    "c++": "(spec -> 'compile') = 'true'",
    "pytorch-optimizer": """jsonb_path_exists(spec, '$.**.kind ? (@ == "lion" || @ == "pytorch_optimizer")')""",
    "schedulefree": """jsonb_path_exists(spec, '$.**.kind ? (@ starts with "schedule_free_")')""",
    "timm": "spec #>> '{model,kind}' = 'timm'",
    "torchvision": "spec #>> '{model,kind}' = 'torchvision'",
}


def upgrade() -> None:
    for table in ("run", "worker"):  # a local start called the GPUs' pool cuda, the compose file gpu
        op.execute(f"UPDATE {table} SET pool = 'gpu' WHERE pool = 'cuda'")  # noqa: S608
    packages = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("worker", sa.Column("packages", packages, server_default="{}", nullable=False))
    needs = postgresql.ARRAY(sa.Text(collation="C"))
    op.add_column("run", sa.Column("needs", needs, server_default="{}", nullable=False))
    for package, condition in NEEDS.items():
        op.execute(
            f"UPDATE run SET needs = run.needs || '{package}'::text FROM experiment e WHERE e.id = run.experiment_id "  # noqa: S608
            f"AND {condition.replace('spec', 'e.spec', 1)}"
        )
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, ["pool", "needs", "project_id", "rank_at", "id"], postgresql_where=WAITING)


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, ["pool", "project_id", "rank_at", "id"], postgresql_where=WAITING)
    op.drop_column("run", "needs")
    op.drop_column("worker", "packages")
