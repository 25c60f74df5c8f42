"""A job that predicts rows with the weights of a checkpoint, and with what was fitted for them on the training part."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from service.nonfinite import dumps
from service.spec.datasets.images import ImagesBase
from service.spec.datasets.text import LanguageBase
from service.spec.model_inputs import model_inputs
from service.spec.probe_jobs import PREDICTIONS
from service.spec.text_answers import Continuation
from worker.protocol import OUTCOMES, Ended, Outcome, Reading, Started, TrainRequest
from worker.trainer.build import read_spec
from worker.trainer.channel import SupervisorLink
from worker.trainer.checkpoints.stored_model import StoredModel
from worker.trainer.data.text_codec import TextCodec
from worker.trainer.environment import environment, environment_differences
from worker.trainer.failures import describe_error, loses_device
from worker.trainer.loop import Training
from worker.trainer.optim.schedule_free import eval_weights
from worker.trainer.predict.rows import describe_outputs, model_rows
from worker.trainer.probes.runner import MAX_READING_BYTES
from worker.trainer.text_answers import likelihood, shown, write_tokens, written_text


class PredictionJob:
    """One attempt: the rows are in the task, the answers become a reading. The data of the training are not read."""

    def __init__(self, request: TrainRequest, device: torch.device, supervisor: SupervisorLink) -> None:
        self.request, self.supervisor = request, supervisor
        self.stored = StoredModel(read_spec(request.spec), request.seed, device)
        assert request.resume is not None, "predictions are made with the weights of a checkpoint"
        self.saved = self.stored.load(Path(request.resume["folder"]), request.resume["sha256"], request.fork)
        spec, step = self.stored.spec, self.stored.step
        here = environment(device, request.threads, spec)
        differs = environment_differences(self.saved["environment"], here)
        started = here | {"reproducible": not differs} | ({"differs": differs} if differs else {})
        supervisor.send(
            Started(from_step=step, total_steps=step, rows_per_step=spec.rows_per_step, environment=started)
        )

    def run(self) -> None:
        """Predict and send the end, unless a stop request was first."""
        if self.supervisor.stop is not None:
            self._end(OUTCOMES[self.supervisor.stop])
            return
        assert self.request.task is not None
        try:
            found: dict[str, Any] = {"predictions": predict(self.stored, self.saved, self.request.task)}
            if (size := len(dumps(found).encode())) > MAX_READING_BYTES:
                raise ValueError(f"the answers have {size} bytes, at most {MAX_READING_BYTES}: ask for fewer rows")
        except Exception as error:
            if loses_device(error):
                raise
            found = {"error": str(error) if isinstance(error, ValueError) else describe_error(error)}
        payload = dumps(found).encode()
        self.supervisor.send(Reading(step=self.stored.step, name=PREDICTIONS, payload=payload))
        self._end("succeeded")

    def _end(self, outcome: Outcome) -> None:
        self.supervisor.send(Ended(outcome=outcome, step=self.stored.step))


def predict(training: StoredModel | Training, saved: dict[str, Any], task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an answer for each row of a task, and what else it asks of texts."""
    found = predict_rows(training, saved, task["rows"])
    asked = None if task.get("continuation") is None else Continuation.model_validate(task["continuation"])
    dataset = training.spec.dataset
    if not isinstance(dataset, LanguageBase) or not (asked or task.get("likelihood")):
        return found
    model, codec = training.model, training.codec
    with eval_weights(training.optimizers), torch.no_grad():
        model.eval()
        for at, (row, answer) in enumerate(zip(task["rows"], found, strict=True)):
            tokens = _as_numbers(row, at, training)
            if task.get("likelihood"):
                logits = model(torch.tensor([tokens], device=training.device))[0]
                answer["likelihood"] = likelihood(logits, tokens, codec)
            if asked:
                draws = f"continuation:{asked.seed}:{at}"
                written = write_tokens(model, tokens, dataset.context, asked, draws, training.device)
                answer["continuation"] = written_text(codec, tokens, written)
    return found


def predict_rows(training: StoredModel | Training, saved: dict[str, Any], rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return an answer for each row; `saved` is the checkpoint's state.json. The model taken home answers alike."""
    if "scales" not in saved:
        raise ValueError("the checkpoint is of an earlier release, which did not store how rows are scaled")
    inputs, model, dataset = model_inputs(training.spec, saved), training.model, training.spec.dataset
    given = [_as_numbers(row, at, training) for at, row in enumerate(rows)]
    blocks = [[row] for row in given] if isinstance(dataset, LanguageBase) else [given]  # texts differ in length
    found: list[dict[str, Any]] = []
    with eval_weights(training.optimizers), torch.no_grad():
        model.eval()
        for block in blocks:
            found += describe_outputs(model(model_rows(block, inputs).to(training.device)), inputs)
    if training.codec is not None and training.codec.document is not None:
        for each in [each for answer in found for each in answer["next"]]:
            each["text"] = shown(training.codec.decode([each["token"]]))
    return found


def _as_numbers(row: Any, at: int, training: StoredModel | Training) -> Any:
    """Return a text as its tokens, and an image as its bytes; other rows are numbers, or prepared as the model says."""
    dataset = training.spec.dataset
    try:
        if isinstance(row, str) and isinstance(dataset, LanguageBase):
            return _tokens(row, training.codec, dataset.context)
        if isinstance(row, str) and isinstance(dataset, ImagesBase):
            return _pixels(row, dataset)
    except ValueError as error:
        raise ValueError(f"row {at}: {error}") from error
    return row


def _tokens(text: str, codec: TextCodec | None, context: int) -> list[int]:
    if codec is None:
        raise ValueError("the texts of this dataset are not known: give tokens")
    tokens = codec.encode(text)
    if len(tokens) > context:
        raise ValueError(f"has {len(tokens)} tokens; the model sees {context}")
    return tokens


def _pixels(encoded: str, dataset: ImagesBase) -> Any:
    """Return the bytes (C, H, W) of an image file, decoded as those of the training were."""
    from service.ingest.images.decode import decode_image  # noqa: PLC0415  loads Pillow

    channels, height, width = dataset.shape
    return decode_image(base64.b64decode(encoded), channels, (height, width), dataset.resize).tolist()
