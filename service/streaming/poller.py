"""One poll of the database for all followed runs and projects of a process, in a few statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.db.access import sessions
from service.db.access.principal import Access
from service.db.runs import stream_queries
from service.db.session import Connection, Engine, snapshot
from service.streaming.positions import ProjectPosition, RunPosition
from service.streaming.readers import Batch
from service.streaming.updates import MAX_EVENTS, Message, encode, project_message, read_updates


@dataclass(frozen=True)
class PollResult:
    """What one poll found, by id; runs and projects without news are left out."""

    runs: dict[str, Batch[RunPosition]]
    projects: dict[str, Batch[ProjectPosition]]
    closed: set[Access]
    hidden: set[tuple[str, str]]  # runs, with projects that may read them no longer


class Poller:
    """Reads news from one snapshot; remembers what it sent of running runs, so that only changes are sent."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sent: dict[str, dict[str, dict[str, Any]]] = {}  # by project and run

    def resend(self, project_id: str) -> None:
        """Make the next poll send every running run of a project again."""
        self._sent.pop(project_id, None)

    def poll(
        self,
        runs: Mapping[str, RunPosition | None],
        projects: Mapping[str, ProjectPosition | None],
        readers: set[Access],
        followed: set[tuple[str, str]],
    ) -> PollResult:
        """Return the news since these positions, and which readers may read no longer."""
        with snapshot(self._engine) as connection:
            closed = readers - sessions.still_open(connection, readers) if readers else set()
            return PollResult(
                run_batches(connection, runs) if runs else {},
                self._project_batches(connection, projects) if projects else {},
                closed,
                stream_queries.hidden(connection, followed) if followed else set(),
            )

    def _project_batches(
        self, connection: Connection, positions: Mapping[str, ProjectPosition | None]
    ) -> dict[str, Batch[ProjectPosition]]:
        horizon = stream_queries.horizon(connection)
        known = [(project_id, *position) for project_id, position in positions.items() if position is not None]
        events = stream_queries.of_projects(connection, known, horizon, MAX_EVENTS) if known else {}
        running = stream_queries.running(connection, list(positions))
        batches = {}
        for project_id, position in positions.items():
            messages = [project_message(event) for event in events.get(project_id, ())]
            after = ProjectPosition(horizon) if len(messages) < MAX_EVENTS else messages[-1].after
            now, before = running.get(project_id, {}), self._sent.get(project_id, {})
            self._sent[project_id] = now
            if changed := [run for run_id, run in now.items() if before.get(run_id) != run]:
                messages.append(Message(encode("runs", {"runs": changed})))
            if messages or position is None:
                batches[project_id] = Batch(messages, after, first=position is None)
        return batches


def run_batches(connection: Connection, positions: Mapping[str, RunPosition | None]) -> dict[str, Batch[RunPosition]]:
    """Return the news of each run since its position; None stands for a run that is followed from now on."""
    heads = stream_queries.run_progress(connection, list(positions))
    known = {run_id: position for run_id, position in positions.items() if position is not None}
    batches = {
        run_id: Batch(found.messages, found.position)
        for run_id, found in read_updates(connection, heads, known).items()
    }
    for run_id, position in positions.items():
        if run_id not in heads:
            batches[run_id] = Batch([], None, deleted=True)
        elif position is None:
            batches[run_id] = Batch([], RunPosition(heads[run_id].event, heads[run_id].step), first=True)
    return batches
