"""The view metric_point: packed chunks as plain rows (run, attempt, step, name, value) for anybody with SQL."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Little-endian IEEE 754 in plain SQL (where << and | bind alike, hence the parentheses). A double's smallest unit is 2^-1074, a single's 2^-149.
FUNCTIONS = """
CREATE FUNCTION saddle_double(data bytea, at integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN exponent = 2047 AND fraction <> 0 THEN 'NaN'::float8
        WHEN exponent = 2047 THEN sign * 'Infinity'::float8
        WHEN exponent = 0 THEN sign * (fraction::float8 * '4.9406564584124654e-324'::float8)
        ELSE sign * (1 + fraction / 4503599627370496::float8) * power(2::float8, exponent - 1023) END
    FROM (SELECT
        CASE WHEN get_byte(data, at + 7) >= 128 THEN -1::float8 ELSE 1::float8 END AS sign,
        (get_byte(data, at + 7) & 127) * 16 + get_byte(data, at + 6) / 16 AS exponent,
        ((get_byte(data, at + 6) & 15)::bigint << 48) | (get_byte(data, at + 5)::bigint << 40)
        | (get_byte(data, at + 4)::bigint << 32) | (get_byte(data, at + 3)::bigint << 24)
        | (get_byte(data, at + 2)::bigint << 16) | (get_byte(data, at + 1)::bigint << 8)
        | get_byte(data, at)::bigint AS fraction) bits
$$;
CREATE FUNCTION saddle_single(data bytea, at integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN exponent = 255 AND fraction <> 0 THEN 'NaN'::float8
        WHEN exponent = 255 THEN sign * 'Infinity'::float8
        WHEN exponent = 0 THEN sign * fraction * power(2::float8, -149)
        ELSE sign * (1 + fraction / 8388608::float8) * power(2::float8, exponent - 127) END
    FROM (SELECT
        CASE WHEN get_byte(data, at + 3) >= 128 THEN -1::float8 ELSE 1::float8 END AS sign,
        (get_byte(data, at + 3) & 127) * 2 + get_byte(data, at + 2) / 128 AS exponent,
        (get_byte(data, at + 2) & 127) * 65536 + get_byte(data, at + 1) * 256 + get_byte(data, at) AS fraction) bits
$$;
CREATE FUNCTION saddle_value(data bytea, i integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE get_byte(data, 0)
        WHEN 0 THEN saddle_double(data, 1)
        WHEN 1 THEN saddle_single(data, 1 + 4 * i)
        WHEN 2 THEN saddle_double(data, 1 + 8 * i) END
$$;
CREATE FUNCTION saddle_step(first_step bigint, every integer, steps bytea, i integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN every > 0 THEN first_step + every::bigint * i ELSE
        get_byte(steps, 8 * i)::bigint | (get_byte(steps, 8 * i + 1)::bigint << 8)
        | (get_byte(steps, 8 * i + 2)::bigint << 16) | (get_byte(steps, 8 * i + 3)::bigint << 24)
        | (get_byte(steps, 8 * i + 4)::bigint << 32) | (get_byte(steps, 8 * i + 5)::bigint << 40)
        | (get_byte(steps, 8 * i + 6)::bigint << 48) | (get_byte(steps, 8 * i + 7)::bigint << 56) END
$$;
CREATE VIEW metric_point AS
SELECT c.run_id AS run, c.attempt, saddle_step(c.first_step, c.every, c.steps, i) AS step,
    s.name, saddle_value(c.values, i) AS value
FROM metric_chunk c
JOIN series s ON s.id = c.series_id
JOIN attempt a ON a.run_id = c.run_id AND a.attempt = c.attempt
CROSS JOIN LATERAL generate_series(0, c.n - 1) AS i
WHERE a.cut_step IS NULL OR c.last_step <= a.cut_step;
ALTER TABLE metric_chunk ALTER COLUMN values SET STORAGE EXTERNAL;
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute(
        """
        DROP VIEW metric_point;
        DROP FUNCTION saddle_value(bytea, integer);
        DROP FUNCTION saddle_step(bigint, integer, bytea, integer);
        DROP FUNCTION saddle_double(bytea, integer);
        DROP FUNCTION saddle_single(bytea, integer);
        ALTER TABLE metric_chunk ALTER COLUMN values SET STORAGE EXTENDED;
        """
    )
