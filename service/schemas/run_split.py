"""The rows of each part of a run."""

from pydantic import Field

from service.schemas.common import View


class SplitView(View):
    """Rows of the uploaded file, counted from 0 without its header; a row that was left out is in no part."""

    fold: int | None = Field(description="that the run validates on; null: its dataset has no folds")
    train: list[int]
    validation: list[int]
    test: list[int]
