"""Deleted experiments and uploads lie in a bin first; experiments move and are shared; people comment."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

WORD = sa.Text(collation="C")
NOW = sa.text("clock_timestamp()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("experiment", sa.Column("bin_project_id", WORD))
    for table in ("experiment", "dataset"):
        op.add_column(table, sa.Column("deleted_at", TIME))
        op.add_column(table, sa.Column("deleted_by", WORD))
        op.create_foreign_key(op.f(f"{table}_deleted_by_fkey"), table, "member", ["deleted_by"], ["id"])
    op.create_foreign_key(op.f("experiment_bin_project_id_fkey"), "experiment", "project", ["bin_project_id"], ["id"])
    op.drop_constraint(op.f("experiment_owned_until_erased_check"), "experiment")
    one = "num_nonnulls(project_id, bin_project_id, erased_at) = 1"
    op.create_check_constraint(op.f("experiment_in_project_bin_or_erased_check"), "experiment", one)
    told = "num_nulls(bin_project_id, deleted_at, deleted_by) IN (0, 3)"
    op.create_check_constraint(op.f("experiment_bin_told_check"), "experiment", told)
    op.create_check_constraint(op.f("dataset_bin_told_check"), "dataset", "(deleted_at IS NULL) = (deleted_by IS NULL)")
    op.create_index(
        "experiment_bin_project_id_idx",
        "experiment",
        ["bin_project_id"],
        postgresql_where=sa.text("bin_project_id IS NOT NULL"),
    )
    _tables()


def _tables() -> None:
    op.create_table(
        "dataset_grant",
        sa.Column("dataset_id", WORD, nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("dataset_grant_dataset_id_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("dataset_grant_project_id_fkey")),
        sa.PrimaryKeyConstraint("dataset_id", "project_id", name=op.f("dataset_grant_pkey")),
    )
    op.create_index("dataset_grant_project_id_idx", "dataset_grant", ["project_id"])
    op.create_table(
        "share",
        sa.Column("experiment_id", WORD, nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("shared_by", WORD, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("share_experiment_id_fkey")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("share_project_id_fkey")),
        sa.ForeignKeyConstraint(["shared_by"], ["member.id"], name=op.f("share_shared_by_fkey")),
        sa.PrimaryKeyConstraint("experiment_id", "project_id", name=op.f("share_pkey")),
    )
    op.create_index("share_project_id_experiment_id_idx", "share", ["project_id", "experiment_id"])
    op.create_table(
        "comment",
        sa.Column("id", WORD, nullable=False),
        sa.Column("project_id", WORD, nullable=False),
        sa.Column("experiment_id", WORD, nullable=False),
        sa.Column("run_id", WORD),
        sa.Column("author_id", WORD, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("edited_at", TIME),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("comment_project_id_fkey")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("comment_experiment_id_fkey")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("comment_run_id_fkey")),
        sa.ForeignKeyConstraint(["author_id"], ["member.id"], name=op.f("comment_author_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("comment_pkey")),
    )
    op.create_index("comment_experiment_id_id_idx", "comment", ["experiment_id", "id"])
    op.create_table(
        "mention",
        sa.Column("comment_id", WORD, nullable=False),
        sa.Column("member_id", WORD, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["comment_id"], ["comment.id"], name=op.f("mention_comment_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("mention_member_id_fkey")),
        sa.PrimaryKeyConstraint("comment_id", "member_id", name=op.f("mention_pkey")),
    )


def downgrade() -> None:
    for table in ("mention", "comment", "share", "dataset_grant"):
        op.drop_table(table)
    op.execute(
        "UPDATE run r SET project_id = e.bin_project_id FROM experiment e"
        " WHERE e.id = r.experiment_id AND e.bin_project_id IS NOT NULL"
    )
    op.drop_index("experiment_bin_project_id_idx", "experiment")
    for name in ("experiment_bin_told_check", "experiment_in_project_bin_or_erased_check"):
        op.drop_constraint(op.f(name), "experiment")
    op.execute("UPDATE experiment SET project_id = bin_project_id WHERE bin_project_id IS NOT NULL")
    op.create_check_constraint(
        op.f("experiment_owned_until_erased_check"), "experiment", "(erased_at IS NULL) = (project_id IS NOT NULL)"
    )
    op.drop_constraint(op.f("dataset_bin_told_check"), "dataset")
    op.drop_column("experiment", "bin_project_id")
    for table in ("experiment", "dataset"):
        op.drop_column(table, "deleted_by")
        op.drop_column(table, "deleted_at")
