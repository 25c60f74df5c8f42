"""The pipe between a supervisor and its trainer: frames of a JSON header and raw bytes.

A frame is four bytes (big-endian length of the header), the header, and `header["bytes"]` bytes of payload.

Supervisor to trainer
    train    run, attempt, lease, spec, seed, threads, flush_s, checkpoint_s, folder (of this run's checkpoints),
             resume ({folder, sha256} as a `checkpoint` frame said them, or null), fork (true: `resume` is the
             parent's, under another spec), until (a replay's last step, or null: the spec's),
             autopsy_s (seconds to look for the cause of a divergence; 0: do not),
             task (of a probe job, or null), beside ({name: [{folder, sha256}]} of other states it asks for)
    wish     wish: "pause" | "cancel" | "drain"; obeyed at the next step boundary
Trainer to supervisor
    ready    device, environment (versions, thread count), facts (kind, name, memory_bytes, threads): warm, waiting
    pulse    while no step ends: the loop's thread stands elsewhere than a second ago
    usage    device: {device_memory_bytes, device_utilisation (percent)} of a GPU; once a second
    started  from_step, total_steps, rows_per_step, environment
    points   series: [{name, first, every, n}] ; payload: n little-endian float64 each, in this order
             (every 0: the steps come first, n little-endian int64)
    reading  step, name (the probe's kind); payload: what it found, as JSON; once a step and name
    checkpoint   step, folder, sha256, size_bytes, reason, value; all points up to `step` were sent before it
    checkpoint_failed   step, reason, detail: it could not be written; the run goes on
    end      outcome: "succeeded" | "paused" | "cancelled" | "drained"; step; note: which stop rule ended it, or null
    failing  kind, detail, step, evidence: it will be said again as `failed`, once its causes were looked for
    failed   kind, detail, step, evidence; stays: whether the trainer takes another run, or ends itself
"""

import json
import struct
from typing import IO, Any

LENGTH = struct.Struct(">I")
MAX_HEADER = 16 * 2**20


def write_frame(stream: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    """Send one frame in one write; BrokenPipeError where the other side is gone."""
    text = json.dumps(header | {"bytes": len(payload)}).encode()
    stream.write(LENGTH.pack(len(text)) + text + payload)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """The next frame, or None at the end of the stream, also where it ends within a frame.

    ValueError where the bytes are no frame: something else wrote into the pipe; where the next begins is unknown.
    """
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(prefix)
    if size > MAX_HEADER:
        raise ValueError(f"a frame's header of {size} bytes; at most {MAX_HEADER}")
    text = stream.read(size)
    if len(text) < size:
        return None
    header = json.loads(text)
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise ValueError("a frame's header without a type")
    if not isinstance(header.get("bytes"), int) or header["bytes"] < 0:
        raise ValueError("a frame's header without the size of its payload")
    payload = stream.read(header["bytes"])
    return (header, payload) if len(payload) == header["bytes"] else None
