"""The rows of each part of a run."""

from pydantic import Field

from service.schemas.common import View


class SplitView(View):
    """Rows of the data, counted from 0; of an uploaded table without its header. A row that was left out is in no part.

    Where the parts are files of their own, the rows of each are those of its file.
    """

    fold: int | None = Field(description="that the run validates on; null: its dataset has no folds")
    files: dict[str, str] | None = Field(None, description="upload of each part; null: all are of the dataset's")
    names: list[str] | None = Field(None, description="of images in class folders: the path of each row in the archive")
    train: list[int]
    validation: list[int]
    test: list[int]
