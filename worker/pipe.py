"""How frames travel: four bytes (big-endian length of the header), a JSON header, and `header["bytes"]` of payload."""

import json
import struct
from typing import IO

from worker.protocol import FRAMES, Frame

LENGTH = struct.Struct(">I")
MAX_HEADER_BYTES = 64 * 2**20  # the specs of a pack's runs


def encode(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    fields = dict(vars(frame))
    payload: bytes = fields.pop("payload", b"")
    header = json.dumps({"type": frame.tag, "bytes": len(payload), **fields}).encode()
    return LENGTH.pack(len(header)) + header + payload


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Send a frame in one write; BrokenPipeError if the other side is gone."""
    stream.write(encode(frame))
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Return the next frame, or None at the end of the stream, even if it ends inside a frame.

    ValueError if the bytes are not a frame: something else wrote into the pipe, and the next frame cannot be found.
    """
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(prefix)
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"a frame's header has {size} bytes; at most {MAX_HEADER_BYTES} are allowed")
    text = stream.read(size)
    if len(text) < size:
        return None
    header = json.loads(text)
    try:
        kind, payload_bytes = FRAMES[header.pop("type")], int(header.pop("bytes"))
        payload = stream.read(payload_bytes) if payload_bytes > 0 else b""
        if len(payload) < payload_bytes:
            return None
        if "payload" in kind.__dataclass_fields__:
            header["payload"] = payload
        return kind(**header)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a frame of this protocol: {error}") from error
