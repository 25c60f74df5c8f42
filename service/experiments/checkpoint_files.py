"""Files of a checkpoint, verified before they are sent."""

from service.db.runs.checkpoints import StoredCheckpoint
from service.errors import Conflict, Unavailable
from service.storage.store import Store


def verified_size(store: Store, stored: StoredCheckpoint, file: str) -> int:
    """Return the size of the file in bytes; raise `Conflict` if the checkpoint is damaged."""
    try:
        found = store.sha256(stored.folder)
        size = store.size(stored.folder, file)
    except FileNotFoundError:
        raise Conflict(f"The checkpoint at step {stored.step} is damaged: a file is missing.") from None
    except OSError as error:
        raise Unavailable("The checkpoint storage does not answer.") from error
    if found != stored.sha256:
        raise Conflict(f"The checkpoint at step {stored.step} is damaged: it is not what was written.")
    return size
