"""Row policies: a connection that is set to one project finds and writes no row of another.

Whoever does not set `saddle.project` (the workers, the background of the API, people with SQL) is held back by nothing.
What is erased belongs to nobody; runs in a bin have no project either, but their experiment has.
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

REACH = "(SELECT coalesce(current_setting('saddle.project', true), ''))"  # read once a statement, not once a row
SHARED = f"(SELECT s.experiment_id FROM share s WHERE s.project_id = {REACH})"  # noqa: S608  no value
RUNS = f"(SELECT r.id FROM run r WHERE r.experiment_id IN {SHARED})"  # noqa: S608
POLICIES = {
    "experiment": f"bin_project_id = {REACH} OR erased_at IS NOT NULL OR id IN {SHARED}",
    "run": f"project_id IS NULL OR experiment_id IN {SHARED}",
    "event": f"run_id IN {RUNS}",
    "verification": f"run_id IN {RUNS}",
    "comment": f"experiment_id IN {SHARED}",
    "dataset": f"id IN (SELECT g.dataset_id FROM dataset_grant g WHERE g.project_id = {REACH})",  # noqa: S608
    "comparison": "false",
}


def upgrade() -> None:
    for table, more in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY within_project ON {table} USING ({REACH} = '' OR project_id = {REACH} OR {more})"
            f" WITH CHECK ({REACH} = '' OR project_id = {REACH} OR project_id IS NULL)"
        )


def downgrade() -> None:
    for table in POLICIES:
        op.execute(f"DROP POLICY within_project ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
