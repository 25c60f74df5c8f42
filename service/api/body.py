"""Read the body of a request: JSON only, up to a size limit."""

import re

import anyio
from fastapi import Request

from service.errors import Malformed, TooLarge, UnsupportedMedia

MAX_BYTES = 256 * 1024
MAX_DRAINED_BYTES = 16 * 1024 * 1024  # read and discarded, so that the client still receives the error
BODY_TIMEOUT_S = 30.0
JSON = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)


async def raw_body(request: Request) -> bytes:
    """Return the bytes of the body; the limit is checked while reading, whatever the headers say."""
    if not JSON.fullmatch(request.headers.get("content-type", "").strip()):
        raise UnsupportedMedia("The Content-Type must be application/json (UTF-8).")
    if content_length(request) > MAX_DRAINED_BYTES:
        raise TooLarge(f"The body is longer than {MAX_BYTES} bytes.")
    parts, size = [], 0
    try:
        with anyio.fail_after(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size <= MAX_BYTES:
                    parts.append(part)
                elif size > MAX_DRAINED_BYTES:
                    break
    except TimeoutError:
        raise Malformed(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    if size > MAX_BYTES:
        raise TooLarge(f"The body is longer than {MAX_BYTES} bytes.")
    return b"".join(parts)


def content_length(request: Request) -> int:
    """Return the length that the headers declare; 0 if there is none."""
    length = request.headers.get("content-length", "0")
    return int(length[:20]) if length.isascii() and length.isdecimal() else 0
