"""Predictions of a trained model for given rows."""

from pydantic import Field

from service.lifecycle import State
from service.schemas.common import Json, View


class PredictionView(View):
    """A job that predicts rows, and what it found."""

    id: str = Field(description="of the job, which is a run of its own")
    run_id: str
    step: int = Field(description="of the checkpoint whose weights predict")
    state: State = Field(description="of the job: once it has succeeded, predictions or the error are there")
    predictions: list[Json] | None = Field(
        description="one for each row, in order: `class` with `probabilities`, `value` in the units of the data (with "
        "a `deviation` where the loss models one), or the most likely `next` tokens, with `likelihood` and "
        "`continuation` where they were asked for; null: not yet, or an error"
    )
    error: str | None = Field(description="why the rows could not be predicted")
