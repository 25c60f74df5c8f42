"""Reading a request's body: JSON by its label, and never more than the limit."""

import re

import anyio
from fastapi import Request

from service.errors import Malformed, TooLarge, UnsupportedMedia

MAX_BYTES = 256 * 1024
MAX_DRAINED_BYTES = 16 * 1024 * 1024  # read and dropped, so that whoever sends too much still reads why it was refused
BODY_TIMEOUT_S = 30.0
JSON = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)


async def raw_body(request: Request) -> bytes:
    """The body's bytes; the limit is checked while reading, whatever the headers say."""
    if not JSON.fullmatch(request.headers.get("content-type", "").strip()):
        raise UnsupportedMedia("The Content-Type must be application/json (in UTF-8).")
    if _declared(request) > MAX_DRAINED_BYTES:
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


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else 0
