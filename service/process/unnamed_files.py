"""Removing the file of an upload once no row names it."""

import logging

from service.db.experiments import datasets
from service.db.session import Engine, transaction
from service.settings import Settings
from service.storage.factory import open_uploads

log = logging.getLogger(__name__)


def remove_unless_named(engine: Engine, settings: Settings, sha256: str) -> None:
    """Remove a file from its storage unless a row names it; what the storage refuses stays there and is logged.

    Call it after the commit that deleted a row.
    """
    try:
        with transaction(engine) as connection:
            if datasets.is_unreferenced(connection, sha256):
                open_uploads(settings).remove(sha256)
    except OSError as error:
        log.warning("the upload %s stays in the storage, and no row names it: %s", sha256, error)
