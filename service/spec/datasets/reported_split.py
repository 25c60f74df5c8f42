"""Splits that only a worker can make, because it alone reads the classes: it reports the part of each row."""

from service.spec.datasets.base import DatasetBase, TableBase
from service.spec.datasets.images import Images
from service.spec.datasets.uploaded import Upload

SPLIT = "split"  # the kind of the reading


def splits_in_worker(dataset: DatasetBase) -> bool:
    """Whether rows are split by classes of data that no upload holds: bundled, generated or mounted."""
    return isinstance(dataset, TableBase) and dataset.strata > 0 and not isinstance(dataset, Upload | Images)
