"""A probe job inside the trainer: probes measure one state, independently of each other, and nothing is trained.

If a probe fails, its reading is the error, and the next probe runs. A probe that finds a better state, such as the
escape from a saddle, has it saved as a checkpoint at the same step, from which a fork can continue.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.nonfinite import dumps
from service.spec.parse.document import validate
from service.spec.probe_jobs import ProbeTask
from service.spec.probes import Probe
from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    CheckpointFiles,
    Ended,
    Outcome,
    Points,
    Reading,
    SeriesHeader,
    Started,
    TrainRequest,
)
from worker.trainer.build import resolve
from worker.trainer.channel import SupervisorLink
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.fork import under
from worker.trainer.environment import environment, environment_differences
from worker.trainer.failures import describe_error, loses_device
from worker.trainer.loop import Training
from worker.trainer.probes.measurement import CheckpointWeights


class ProbeJob:
    """One attempt of a job that measures a state with instruments: a saved one, or the beginning of a run."""

    def __init__(self, request: TrainRequest, training: Training, supervisor: SupervisorLink) -> None:
        self.probes = validate(ProbeTask, request.task).probes
        self.has_saved = False  # at most one state is saved, because a step has one checkpoint
        self.request, self.training, self.supervisor = request, training, supervisor
        self.saved: dict[str, Any] = {}  # what the checkpoint holds beside tensors, if there is one
        self.environment = environment(training.device, request.threads, training.spec)
        started = self.environment | self._load()
        step, rows = training.step, training.spec.rows_per_step
        supervisor.send(Started(from_step=step, total_steps=step, rows_per_step=rows, environment=started))

    def _load(self) -> dict[str, Any]:
        """Load the state, unless it is the beginning; return how the environment differs."""
        if not (resume := self.request.resume):
            return {}
        folder, sha256 = Path(resume["folder"]), resume["sha256"]
        if self.request.fork:
            self.saved = checkpoint.load_fork(folder, sha256, self.training)[0]
        else:
            self.saved = checkpoint.load(folder, sha256, self.training)
        differs = environment_differences(self.saved["environment"], self.environment)
        return {"reproducible": not differs} | ({"differs": differs} if differs else {})

    def _end(self, outcome: Outcome) -> None:
        self.supervisor.send(Ended(outcome=outcome, step=self.training.step))

    def run(self) -> None:
        """Run the probes and send the end; a stop request takes effect between two probes."""
        for probe in self.probes:
            if self.supervisor.stop is not None:
                self._end(OUTCOMES[self.supervisor.stop])
                return
            self._measure(probe)
        self._end("succeeded")

    def _measure(self, probe: Probe) -> None:
        """Send a reading, which is the error if the probe fails; only the loss of the device ends the job."""
        try:
            instrument = self._build_instrument(probe)
            measurement = instrument.measure(self.training)
        except Exception as error:
            if loses_device(error):
                raise
            self._send_reading(probe, {"error": describe_error(error)})
            return
        saved = {}
        if hasattr(instrument, "step_out") and not self.has_saved:
            saved = self._save_stepped_out(instrument.step_out)
        self._send_points(measurement.values)
        self._send_reading(probe, (measurement.data or {}) | {"values": measurement.values} | saved)

    def _build_instrument(self, probe: Probe) -> Any:
        """Build the instrument of a probe, with the weights of the states that it compares with, if any."""
        target = resolve(probe.target)
        needs = getattr(target, "needs", None)
        others = [_read_weights(each) for each in self.request.other_states.get(needs, ())] if needs else []
        if needs == "other":
            return target(probe, others[0].weights if others else None)
        return target(probe, others) if needs else target(probe)

    def _send_points(self, values: dict[str, float]) -> None:
        if values:
            step, payload = self.training.step, struct.pack(f"<{len(values)}d", *values.values())
            series = [SeriesHeader(name=name, first=step, every=1, n=1) for name in values]
            self.supervisor.send(Points(series=series, payload=payload))

    def _send_reading(self, probe: Probe, data: dict[str, Any]) -> None:
        """Send a reading with the probe's settings, so that it can be understood without its job."""
        asked = {name: value for name, value in probe.model_dump(mode="json").items() if name != "kind"}
        payload = dumps({"asked": asked} | data).encode()
        self.supervisor.send(Reading(step=self.training.step, name=probe.kind, payload=payload))

    def _save_stepped_out(self, step_out: Callable[[Training], bool]) -> dict[str, Any]:
        """Save the state that the instrument moves to as this step's checkpoint, then restore the model."""
        model, step = self.training.model, self.training.step
        before = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            if not step_out(self.training):
                return {}
            extra = {"environment": self.environment} | self.training.fitted | {"reason": "escape", "best": None}
            saved = checkpoint.save(Path(self.request.folder), self.training, extra)
        except OSError as error:
            return {"checkpoint": {"error": describe_error(error)}}
        finally:
            model.load_state_dict(before)
        folder, sha256, size_bytes = str(saved.folder), saved.sha256, saved.size_bytes
        self.supervisor.send(
            Checkpoint(step=step, folder=folder, sha256=sha256, size_bytes=size_bytes, reason="escape")
        )
        self.has_saved = True
        return {"checkpoint": {"step": step}}


def _read_weights(files: CheckpointFiles) -> CheckpointWeights:
    tensors, document = checkpoint.read(Path(files["folder"]), files["sha256"])
    return CheckpointWeights(document["step"], under("model", tensors))
