"""The datasets, in files by where the rows come from: every class of these files with a kind is in the union."""

from typing import TYPE_CHECKING

from service.spec.datasets import bundled, drawn, generated, images, mounted, nothing, text, uploaded
from service.spec.datasets.base import DatasetBase
from service.spec.plugins import family_union

if TYPE_CHECKING:
    Dataset = DatasetBase
else:
    Dataset = family_union("dataset", DatasetBase, bundled, generated, drawn, uploaded, mounted, images, text, nothing)

__all__ = ["Dataset", "DatasetBase"]
