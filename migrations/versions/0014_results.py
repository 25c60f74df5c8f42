"""Where a series with one value per minibatch ends: the mean over its final stretch. Experiments settle anew by it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# the stretch as service.analysis.result has it: 5 percent, 10 to 1000 steps, a fifth of the run at most
FINAL = """
WITH ended AS (
    SELECT s.id, s.run_id, s.last_step - greatest(least(greatest(s.last_step / 20, 10), 1000, s.last_step / 5), 1) + 1 AS first
    FROM series s JOIN run r ON r.id = s.run_id JOIN experiment e ON e.id = r.experiment_id
    WHERE r.state = 'succeeded' AND s.last_step IS NOT NULL
        AND (s.name IN ('loss', 'grad_norm') OR starts_with(s.name, 'grad_norm/'))
        AND e.spec->>'batch_size' IS DISTINCT FROM 'full' AND e.spec->'dataset'->>'kind' IS DISTINCT FROM 'none'),
point AS (
    SELECT e.id, saddle_step(c.first_step, c.every, c.steps, i) AS step, saddle_value(c.values, i) AS value, e.first
    FROM ended e
    JOIN metric_chunk c ON c.run_id = e.run_id AND c.series_id = e.id AND c.last_step >= e.first
    JOIN attempt a ON a.run_id = c.run_id AND a.attempt = c.attempt AND (a.cut_step IS NULL OR c.last_step <= a.cut_step)
    CROSS JOIN LATERAL generate_series(
        CASE WHEN c.every > 0 THEN greatest(0, (e.first - c.first_step) / c.every)::int ELSE 0 END, c.n - 1) AS i),
mean AS (SELECT id, avg(value) AS final, min(step) AS final_from FROM point
    WHERE step >= first AND abs(value) < 'Infinity' GROUP BY id)
UPDATE series s SET final = m.final, final_from = m.final_from FROM mean m WHERE m.id = s.id
"""


def upgrade() -> None:
    op.add_column("series", sa.Column("final", sa.Double()))
    op.add_column("series", sa.Column("final_from", sa.BigInteger()))
    op.create_index("series_nonfinite_idx", "series", ["run_id", "name"], postgresql_where=sa.text("nonfinite > 0"))
    op.execute(FINAL)
    op.execute("UPDATE experiment SET settled = false WHERE settled")


def downgrade() -> None:
    op.drop_index("series_nonfinite_idx", "series")
    op.drop_column("series", "final_from")
    op.drop_column("series", "final")
