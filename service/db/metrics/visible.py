"""Which chunks readers see: the one definition of what a cut hides, as pieces of SQL.

When an attempt goes on from step k, every earlier attempt is cut at k: its chunks that end beyond `cut_step` are
superseded. A chunk never spans a cut, so each step is visible exactly once.
"""


def is_visible(step: str) -> str:
    """Return the condition under which a row of attempt `a` that ends at the column `step` is visible."""
    return f"(a.cut_step IS NULL OR {step} <= a.cut_step)"


def own(row: str) -> str:
    """Return the condition that joins a chunk or tile, named `row`, to its series `u` and attempt `a`."""
    return f"{row}.run_id = u.run_id AND {row}.series_id = u.series_id AND {row}.attempt = a.attempt"


ALL_VISIBLE_CHUNKS = f"""
    JOIN metric_chunk c ON c.run_id = u.run_id AND c.series_id = u.series_id
    JOIN attempt a ON a.run_id = c.run_id AND a.attempt = c.attempt AND {is_visible("c.last_step")}
"""  # the joins from `u` (run_id, series_id) to `c`, every visible chunk of each series


def visible_chunks(
    first: str, last: str, *, covered: str = "0", condition: str = "true", table: str = "metric_chunk", tier: str = ""
) -> str:
    """Return the joins from `u` (run_id, series_id) to `c`, its visible chunks with a step from `first` to `last`.

    Each scan enters the primary key at the chunk that holds `first`, or at the step `covered` if that is later.
    OFFSET 0 keeps the planner from reordering the joins. `tier` restricts both scans to some rows of `table`.
    """
    entry = f"""SELECT b.first_step FROM {table} b
        WHERE {own("b")} {tier.format("b")} AND b.first_step <= {first} ORDER BY b.first_step DESC LIMIT 1"""  # noqa: S608  callers pass column names and placeholders
    return f"""
    JOIN attempt a ON a.run_id = u.run_id
    CROSS JOIN LATERAL (SELECT greatest(coalesce(({entry}), 0), {covered}) AS low OFFSET 0) e
    CROSS JOIN LATERAL (SELECT * FROM {table} c WHERE {own("c")} {tier.format("c")}
        AND c.first_step BETWEEN e.low AND {last} AND c.last_step >= {first}
        AND {is_visible("c.last_step")} AND {condition} ORDER BY c.first_step OFFSET 0) c
    """  # noqa: S608  callers pass column names and placeholders
