"""The frames that a supervisor and its trainer exchange over a pipe, one class each; `worker.pipe` encodes them.

A field named `payload` travels as raw bytes behind the frame's JSON header, every other field inside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypedDict

Stop = Literal["pause", "cancel", "drain", "yield"]
Outcome = Literal["succeeded", "paused", "cancelled", "drained", "yielded"]
OUTCOMES: Final[dict[Stop, Outcome]] = {
    "pause": "paused",
    "cancel": "cancelled",
    "drain": "drained",  # its worker stops
    "yield": "yielded",  # it makes way for another run
}


class CheckpointFiles(TypedDict):
    """A checkpoint on this machine's disk."""

    folder: str
    sha256: str


class SeriesHeader(TypedDict):
    """Part of a series: n values at steps first, first + every, ...; with `every` 0 the payload lists the steps."""

    name: str
    first: int
    every: int
    n: int


class SystemUsage(TypedDict):
    """What a trainer takes of the machine, measured by its supervisor at a step."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Any message; `lease` says for which attempt, where a trainer has several, or a frame was `put_back`."""

    tag: ClassVar[str]
    lease: str | None = None
    put_back: bool = False  # by the supervisor into its own queue


@dataclass(frozen=True, kw_only=True)
class TrainRequest(Frame):
    """To the trainer: train this run, or look at one state of it with probes."""

    tag = "train"
    spec: dict[str, Any]
    seed: int
    threads: int
    flush_s: float
    checkpoint_s: float
    folder: str  # for the checkpoints of this attempt
    datasets: str | None = None  # folder of uploaded files
    mounted: str | None = None  # folder of files that an operator provides
    resident_bytes: int = 0  # larger uploads stay on disk
    resume: CheckpointFiles | None = None
    fork: bool = False  # `resume` belongs to the parent, which has another spec
    pause_at: int | None = None  # pause by itself after this step
    last_step: int | None = None  # of a replay; None: the last step of the spec
    autopsy_s: float = 0.0  # time to look for the cause of a divergence; 0: do not look
    task: dict[str, Any] | None = None  # of a probe job
    other_states: dict[str, list[CheckpointFiles]] = field(default_factory=dict)  # that probes compare with
    run: str = ""  # its id, by which readings of other runs of its pack name it


@dataclass(frozen=True, kw_only=True)
class PackRequest(Frame):
    """To the trainer: train these runs as a pack. Each request and each frame about a run has its `lease`.

    A frame that ends a run, `Ended` or `Failed`, ends that run alone; the request is over with the last of them.
    """

    tag = "pack"
    requests: list[dict[str, Any]]  # the fields of a `TrainRequest` each

    @classmethod
    def of(cls, requests: Sequence[TrainRequest]) -> "PackRequest":
        """Return the request to train these runs."""
        return cls(requests=[dict(vars(request)) for request in requests])

    @property
    def members(self) -> list[TrainRequest]:
        """The request of each run."""
        return [TrainRequest(**request) for request in self.requests]


@dataclass(frozen=True, kw_only=True)
class StopRequest(Frame):
    """To the trainer: stop at the next step boundary; of a pack only the run with this `lease`."""

    tag = "stop"
    how: Stop


@dataclass(frozen=True, kw_only=True)
class Ready(Frame):
    """The trainer is warm and waits for a run."""

    tag = "ready"
    device: dict[str, Any]  # kind, name, memory_bytes, threads


@dataclass(frozen=True, kw_only=True)
class Waiting(Frame):
    """A spare trainer is warm except for its device, which it takes when it is told to."""

    tag = "waiting"


@dataclass(frozen=True, kw_only=True)
class TakeDevice(Frame):
    """To a spare trainer: it is the active one now; take the device and get ready."""

    tag = "take_device"


@dataclass(frozen=True, kw_only=True)
class Alive(Frame):
    """The training loop has moved within the last second although no step has ended."""

    tag = "alive"


@dataclass(frozen=True, kw_only=True)
class DeviceUsage(Frame):
    """Memory (bytes) and utilisation (percent) of the GPU, once a second."""

    tag = "usage"
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Started(Frame):
    """The training is built, resumed where it had to be, and about to take its next step."""

    tag = "started"
    from_step: int
    total_steps: int
    environment: dict[str, Any]  # versions and devices, stored with the attempt
    rows_per_step: int = 0


@dataclass(frozen=True, kw_only=True)
class Points(Frame):
    """Values of some series: n little-endian float64 each, with n int64 steps in front where `every` is 0."""

    tag = "points"
    series: list[SeriesHeader]
    payload: bytes
    usage: SystemUsage | None = None  # added by the supervisor


@dataclass(frozen=True, kw_only=True)
class Reading(Frame):
    """What a probe found at a step; the payload is JSON."""

    tag = "reading"
    step: int
    name: str  # the probe's kind
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Snapshot(Frame):
    """The state after a step was copied and is being written; exactly the points up to that step were sent before.

    `Checkpoint` or `CheckpointFailed` follows, perhaps after points of later steps.
    """

    tag = "snapshot"
    step: int


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Frame):
    """A checkpoint was written; every point up to its step was sent before."""

    tag = "checkpoint"
    step: int
    folder: str
    sha256: str
    size_bytes: int
    reason: str = "due"
    value: float | None = None  # of the watched series, if this is the best


@dataclass(frozen=True, kw_only=True)
class CheckpointFailed(Frame):
    """A checkpoint could not be written; the run goes on."""

    tag = "checkpoint_failed"
    step: int
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Ended(Frame):
    """The training ended in good order; `note` names the stop rule that ended it early."""

    tag = "end"
    outcome: Outcome
    step: int
    note: str | None = None
    memory: dict[str, float] = field(default_factory=dict)  # the attempt's peak in bytes, and the estimate


@dataclass(frozen=True, kw_only=True)
class Failing(Frame):
    """The run has failed and `Failed` will follow once the trainer has looked for the cause."""

    tag = "failing"
    kind: str
    detail: str
    step: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed(Failing):
    """The run has failed; `trainer_usable` says whether the trainer can take another one."""

    tag = "failed"
    trainer_usable: bool


@dataclass(frozen=True, kw_only=True)
class NextStep(Frame):
    """Rank 0 to the other ranks of a run on several devices: make this step."""

    tag = "next_step"
    step: int
    schedule: dict[str, Any] | None = None  # a plateau's state, which evaluations on rank 0 change


@dataclass(frozen=True, kw_only=True)
class SendStates(Frame):
    """Rank 0 to the other ranks: send your random states, for a checkpoint."""

    tag = "send_states"


@dataclass(frozen=True, kw_only=True)
class RankStates(Frame):
    """A rank to rank 0: its random states as safetensors, and a digest of its weights."""

    tag = "rank_states"
    digest: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class RunOver(Frame):
    """Rank 0 to the other ranks: wait for the next run."""

    tag = "run_over"


@dataclass(frozen=True, kw_only=True)
class Fetched(Frame):
    """The supervisor to itself: what the run starts from has arrived on this machine."""

    tag = "fetched"


@dataclass(frozen=True, kw_only=True)
class Died(Frame):
    """The supervisor to itself: the trainer's stream has ended, so no frame follows."""

    tag = "died"


FRAMES: Final[dict[str, type[Frame]]] = {
    frame.tag: frame
    for frame in (
        *(TrainRequest, PackRequest, StopRequest, TakeDevice),
        *(Waiting, Ready, Alive, DeviceUsage, Started, Points, Reading),
        *(Snapshot, Checkpoint, CheckpointFailed, Ended, Failing, Failed),
        *(NextStep, SendStates, RankStates, RunOver),
        *(Fetched, Died),
    )
}
