"""Predictions of a run on its validation part: where they are stored, verified before they are sent."""

import json

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.runs import checkpoints, runs
from service.db.runs.checkpoints import StoredCheckpoint
from service.db.session import Connection
from service.errors import Conflict, NotFound, Unavailable
from service.storage.files import PREDICTIONS, STATE, sha256_of_pieces
from service.storage.store import Store


def find_predictions(connection: Connection, principal: Principal, run_id: str) -> StoredCheckpoint:
    """Return the checkpoint that the predictions of a run lie in; raise `NotFound` if it can have none."""
    run = runs.get(connection, principal, run_id)
    if run.state != "succeeded":
        raise NotFound(f"The run is {run.state}; predictions are written when it succeeds.")
    kept = [each for each in checkpoints.of_run(connection, principal, run_id) if each.removed_at is None]
    if not kept:
        raise NotFound("The predictions of this run were removed with its last checkpoint.")
    audit.record(connection, principal, "checkpoint.export", run_id, step=kept[0].step, file=PREDICTIONS)
    return kept[0]


def verified_size(store: Store, stored: StoredCheckpoint) -> int:
    """Return the size of the file in bytes; raise `Conflict` if it is not what was written."""
    try:
        written = json.loads(b"".join(store.pieces(stored.folder, STATE))).get("predictions")
        if written is None:
            raise NotFound("This run wrote no predictions: submit its spec with predictions set to true.")
        size = store.size(stored.folder, PREDICTIONS)
        found = sha256_of_pieces(store.pieces(stored.folder, PREDICTIONS))
    except FileNotFoundError:
        raise Conflict("The predictions of this run are damaged: a file is missing.") from None
    except OSError as error:
        raise Unavailable("The checkpoint storage does not answer.") from error
    if found != written["sha256"]:
        raise Conflict("The predictions of this run are damaged: the file is not what was written.")
    return size
