"""What the start of a run tells of its data: the part of each row, what was fitted on them, augmented images."""

from service.ingest.splits.part_codes import MAX_ROWS, encode_parts
from service.spec.datasets.reported_split import SPLIT
from service.spec.datasets.splits import PARTS
from worker.trainer.loop import Training
from worker.trainer.prepare.preparation import shorten
from worker.trainer.probes.runner import Reading as ProbeReading


def add_start_readings(training: Training, is_fork: bool) -> None:
    """Add the readings; what a resumed run has told before is not told again."""
    _add_split(training, is_fork)
    if training.step == 0:
        _add_preparation(training)
        _add_augmentation(training)


def _add_split(training: Training, is_fork: bool) -> None:
    """Add the part of each row, where only a worker can split the dataset."""
    numbers, training.row_numbers = training.row_numbers, []
    if not numbers or not (training.step == 0 or is_fork):
        return
    rows = training.spec.dataset.facts.rows
    if rows <= MAX_ROWS:
        counts = dict(zip(PARTS, map(len, numbers), strict=True))
        data = {"rows": rows} | counts | {"parts": encode_parts(rows, numbers)}
        training.probes.readings.append(ProbeReading(training.step, SPLIT, data))


def _add_preparation(training: Training) -> None:
    """Add what was fitted on the training rows."""
    data = {} if training.preparation is None else shorten(training.preparation)
    if training.target is not None:
        data["target"] = training.target
    if training.class_weights is not None:
        data["class_weights"] = training.class_weights
    if data:
        training.probes.readings.append(ProbeReading(0, "preparation", data))


def _add_augmentation(training: Training) -> None:
    """Add augmented images."""
    if training.augment is not None:
        from worker.trainer.augment.preview import KIND, augmented_samples  # noqa: PLC0415  loads Pillow

        training.probes.readings.append(ProbeReading(0, KIND, augmented_samples(training.batches, training.augment)))
