"""What a trainer is told of a run: the request, and the files that it is given."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from service.db.runs.claims import Claim, SavedCheckpoint
from service.settings import Settings
from service.spec.datasets.upload_references import hashes_of
from worker.protocol import CheckpointFiles, TrainRequest
from worker.supervisor.file_transfer import FileTransfer
from worker.supervisor.trainer_account import trainer_account


def uploads_of(claim: Claim) -> list[str]:
    """Return the hashes of the files that the trainer reads: to predict rows, none but the checkpoint."""
    predicts = claim.task is not None and "rows" in claim.task
    return [] if predicts else hashes_of(claim.spec)


def train_request(claim: Claim, settings: Settings, transfer: FileTransfer) -> TrainRequest:
    """Return the request to train a claimed run, and give its files to the trainer's account."""
    folder = settings.checkpoint_dir / claim.run_id / f"a{claim.attempt}-{claim.lease[:8]}"
    folder = transfer.trainer_folder(folder).resolve()
    resume = _files(transfer, [claim.checkpoint])[0] if claim.checkpoint else None
    others = {name: _files(transfer, saved) for name, saved in claim.references.items()}
    account = trainer_account(settings)
    for sha256 in uploads_of(claim):
        account.show_upload(transfer.uploads.folder, sha256)
    for files in (*chain.from_iterable(others.values()), *([resume] if resume else [])):
        account.give_checkpoint(Path(files["folder"]))
    account.give_checkpoint(folder / "next")
    return TrainRequest(
        spec=claim.spec,
        seed=claim.seed,
        threads=settings.threads,
        flush_s=settings.flush_s,
        checkpoint_s=settings.checkpoint_s,
        folder=str(folder),
        datasets=str(transfer.uploads.folder),
        mounted=str(settings.dataset_folder.resolve()) if settings.dataset_folder else None,
        resident_bytes=settings.resident_bytes,
        resume=resume,
        fork=claim.forked,
        pause_at=claim.pause_at,
        last_step=claim.total_steps,
        autopsy_s=settings.autopsy_s,
        task=claim.task,
        other_states=others,
        run=claim.run_id,
    )


def _files(transfer: FileTransfer, saved: Sequence[SavedCheckpoint]) -> list[CheckpointFiles]:
    return [{"folder": str(transfer.local_folder(each)), "sha256": each.sha256} for each in saved]
