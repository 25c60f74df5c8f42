"""What a probe job needs beside the state it looks at: other states that an instrument compares with."""

from typing import Any

from sqlalchemy import Connection, text

KEPT = text(
    """
    SELECT DISTINCT ON (c.step) c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value
    FROM run r JOIN checkpoint c ON c.run_id = r.parent_run_id
    WHERE r.id = :run_id AND NOT c.damaged AND c.removed_at IS NULL ORDER BY c.step, c.attempt DESC
    """
)
OTHER = text(
    """
    SELECT c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value
    FROM run r JOIN run o ON o.project_id = r.project_id JOIN checkpoint c ON c.run_id = o.id
    WHERE r.id = :run_id AND o.id = :other AND NOT c.damaged AND c.removed_at IS NULL
        AND (cast(:step AS bigint) IS NULL OR c.step = :step)
    ORDER BY c.step DESC, c.attempt DESC LIMIT 1
    """
)


def beside(connection: Connection, run_id: str, task: dict[str, Any]) -> dict[str, list[Any]]:
    """Rows of checkpoints by what they are to the job: `kept` of its parent, oldest first, and one `other`."""
    found: dict[str, list[Any]] = {}
    for probe in task["probes"]:
        if probe["kind"] == "trajectory":
            found["kept"] = list(connection.execute(KEPT, {"run_id": run_id}))
        elif probe["kind"] == "line" and probe.get("run"):
            asked = {"run_id": run_id, "other": probe["run"], "step": probe.get("step")}
            found["other"] = list(connection.execute(OTHER, asked))
    return found
