"""The thread that does what has time: notes of used keys and refusals, emptying bins, old uploads and predictions."""

import logging
import threading
from contextlib import suppress

from service.db.access import audit_log, keys
from service.db.experiments import bin, datasets, deletion
from service.db.runs import prediction_jobs
from service.db.session import Engine, transaction
from service.db.studies.bin import erase as erase_study
from service.errors import Conflict
from service.process.refusals import Refusals
from service.process.tasks import BackgroundThread, Tasks
from service.process.unnamed_files import remove_unless_named
from service.settings import Settings
from service.storage.abandoned_uploads import remove_abandoned_uploads

EVERY_S = 60.0
MAX_ERASED = 20  # of a kind at once
MAX_PREDICTIONS = 1_000  # likewise
log = logging.getLogger(__name__)


class KeyUse:
    """The keys that requests came with since they were last written down; noting one costs no statement."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def note(self, key_id: str) -> None:
        """Note that a key was used."""
        self._used.add(key_id)

    def take(self) -> list[str]:
        """Return the keys used since the last call."""
        used, self._used = self._used, set()
        return sorted(used)


class Upkeep(BackgroundThread):
    """Does each of its tasks once a minute; of several processes one empties the bins."""

    def __init__(
        self, engine: Engine, settings: Settings, key_use: KeyUse, refusals: Refusals, stopping: threading.Event
    ) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._engine, self._settings, self._stopping = engine, settings, stopping
        self.tasks = Tasks("upkeep", log)
        self._key_use, self._refusals = key_use, refusals

    def run(self) -> None:
        """Work until the process ends."""
        while not self._stopping.wait(EVERY_S):
            self.look()
        self._note()

    def look(self) -> None:
        """Do each task once."""
        self._note()
        self.tasks.attempt("empty the bins", self._empty_bins)
        self.tasks.attempt("delete old predictions", self._delete_predictions)
        self.tasks.attempt("remove abandoned uploads", self._remove_abandoned_uploads)

    def _note(self) -> None:
        self.tasks.attempt("note which keys were used", self._note_keys)
        self.tasks.attempt("note who was refused", self._note_refusals)

    def _note_keys(self) -> None:
        if used := self._key_use.take():
            with transaction(self._engine) as connection:
                keys.note_use(connection, used)

    def _empty_bins(self) -> None:
        """Erase what has been in a bin for long enough; what something still needs is tried again."""
        age_s = self._settings.bin_days * 86400
        files = []
        with transaction(self._engine) as connection:
            if not bin.lock(connection):
                return
            for principal, experiment_id in bin.old(connection, "experiment", age_s, MAX_ERASED):
                with suppress(Conflict), connection.begin_nested():
                    deletion.erase(connection, principal, experiment_id)
            for principal, study_id in bin.old(connection, "study", age_s, MAX_ERASED):
                with suppress(Conflict), connection.begin_nested():
                    erase_study(connection, principal, study_id)
            for principal, dataset_id in bin.old(connection, "dataset", age_s, MAX_ERASED):
                with suppress(Conflict), connection.begin_nested():
                    files.append(datasets.erase(connection, principal, dataset_id))
        for sha256 in files:
            remove_unless_named(self._engine, self._settings, sha256)

    def _delete_predictions(self) -> None:
        with transaction(self._engine) as connection:
            prediction_jobs.empty_old(connection, MAX_PREDICTIONS)

    def _remove_abandoned_uploads(self) -> None:
        remove_abandoned_uploads(self._settings.dataset_dir / ".incoming")

    def _note_refusals(self) -> None:
        if refused := self._refusals.take():
            with transaction(self._engine) as connection:
                audit_log.add_all(connection, refused)
