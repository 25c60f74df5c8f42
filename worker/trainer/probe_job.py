"""A probe job inside the trainer: no step is trained; instruments look at one state, each as if it were alone.

What an instrument cannot do is told in place of its reading, and the next one looks. One that finds a changed state, as
the way out of a saddle, leaves it as a checkpoint at the same step, from which a fork goes on.
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
from worker.trainer.failures import describe_error, run_failure_of
from worker.trainer.loop import Training
from worker.trainer.probes.measurement import CheckpointWeights


class Job:
    """One attempt at a list of instruments."""

    def __init__(self, request: TrainRequest, training: Training, supervisor: SupervisorLink) -> None:
        self.request, self.training, self.supervisor = request, training, supervisor
        self.probes = validate(ProbeTask, request.task).probes
        self.changed = False  # a changed state was left: one is enough, for a step has one checkpoint
        self.conditions = environment(training.device, request.threads)
        started = self.conditions | self._load()
        step, rows = training.step, training.spec.rows_per_step
        supervisor.send(Started(from_step=step, total_steps=step, rows_per_step=rows, environment=started))

    def _load(self) -> dict[str, Any]:
        """Go to the state to look at; nothing where that is the beginning."""
        if not (resume := self.request.resume):
            return {}
        folder, sha256 = Path(resume["folder"]), resume["sha256"]
        if self.request.fork:
            document = checkpoint.load_fork(folder, sha256, self.training)[0]
        else:
            document = checkpoint.load(folder, sha256, self.training)
        differs = environment_differences(document["environment"], self.conditions)
        return {"reproducible": not differs} | ({"differs": differs} if differs else {})

    def run(self) -> None:
        """Look with one instrument after the other, and say how it ended; a wish is heard between two."""
        for probe in self.probes:
            if self.supervisor.stop is not None:
                self._end(OUTCOMES[self.supervisor.stop])
                return
            self._look(probe)
        self._end("succeeded")

    def _end(self, outcome: Outcome) -> None:
        self.supervisor.send(Ended(outcome=outcome, step=self.training.step))

    def _look(self, probe: Probe) -> None:
        """A reading in any case; only a broken device ends the job."""
        try:
            instrument = self._instrument(probe)
            look = instrument.measure(self.training)
        except Exception as error:
            if run_failure_of(error, None).kind == "device_failed":
                raise
            self._read(probe, {"error": describe_error(error)})
            return
        said = self._leave(instrument.step_out) if hasattr(instrument, "step_out") and not self.changed else {}
        self._points(look.values)
        self._read(probe, (look.data or {}) | {"values": look.values} | said)

    def _instrument(self, probe: Probe) -> Any:
        """Made with the weights of other states where it compares: read anew, so that no other job pays for them."""
        made = resolve(probe.target)
        needs = getattr(made, "needs", None)
        others = [_read_weights(each) for each in self.request.other_states.get(needs, ())] if needs else []
        if needs == "other":
            return made(probe, others[0].weights if others else None)
        return made(probe, others) if needs else made(probe)

    def _points(self, values: dict[str, float]) -> None:
        if values:
            step, payload = self.training.step, struct.pack(f"<{len(values)}d", *values.values())
            series = [SeriesHeader(name=name, first=step, every=1, n=1) for name in values]
            self.supervisor.send(Points(series=series, payload=payload))

    def _read(self, probe: Probe, data: dict[str, Any]) -> None:
        """What it was asked goes along: a reading is understood without its job."""
        asked = {name: value for name, value in probe.model_dump(mode="json").items() if name != "kind"}
        payload = dumps({"asked": asked} | data).encode()
        self.supervisor.send(Reading(step=self.training.step, name=probe.kind, payload=payload))

    def _leave(self, step_out: Callable[[Training], bool]) -> dict[str, Any]:
        """Save the state that the instrument steps out to as this step's checkpoint, then restore the model."""
        model, step = self.training.model, self.training.step
        before = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            if not step_out(self.training):
                return {}
            extra = {"environment": self.conditions, "scales": self.training.scales, "reason": "escape", "best": None}
            saved = checkpoint.save(Path(self.request.folder), self.training, extra)
        except OSError as error:
            return {"checkpoint": {"error": describe_error(error)}}
        finally:
            model.load_state_dict(before)
        folder, sha256, size_bytes = str(saved.folder), saved.sha256, saved.size_bytes
        self.supervisor.send(
            Checkpoint(step=step, folder=folder, sha256=sha256, size_bytes=size_bytes, reason="escape")
        )
        self.changed = True
        return {"checkpoint": {"step": step}}


def _read_weights(place: CheckpointFiles) -> CheckpointWeights:
    tensors, document = checkpoint.read(Path(place["folder"]), place["sha256"])
    return CheckpointWeights(document["step"], under("model", tensors))
