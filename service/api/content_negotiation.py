"""Content negotiation and caching: media types, content codings, entity tags, Cache-Control."""

import hashlib
from collections.abc import Sequence

from starlette.datastructures import Headers

from service.errors import NotAcceptable

IMMUTABLE = "private, max-age=31536000, immutable"
REVALIDATE = "private, no-cache"


def negotiate_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type that `accept` (RFC 9110, 12.5.1) prefers; the first of equals."""
    if not accept:
        return offered[0]
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    best = max(offered, key=lambda media: _quality(media, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"This answer is available as {', '.join(offered)}.")
    return best


def accepts_gzip(headers: Headers) -> bool:
    """Return whether Accept-Encoding (RFC 9110, 12.5.3) names gzip or every coding, and not with q=0."""
    qualities = dict(_parse_range(part) for part in headers.get("accept-encoding", "").split(","))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _parse_range(part: str) -> tuple[str, float]:
    media, *parameters = [word.strip().lower() for word in part.split(";")]
    quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return media, min(max(float(quality), 0.0), 1.0)
    except ValueError:
        return media, 0.0


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that matches the media type."""
    family = media.split("/", maxsplit=1)[0] + "/*"
    for wanted in (media, family, "*/*"):
        matching = [quality for each, quality in ranges if each == wanted]
        if matching:
            return max(matching)
    return 0.0


def weak_etag(*parts: object) -> str:
    """Return a weak entity tag: answers with equal tags hold the same points; a mean may differ in its last bit."""
    return f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def matches_etag(if_none_match: str | None, current: str) -> bool:
    """Return whether the client already has the current version."""
    given = [each.strip() for each in (if_none_match or "").split(",")]
    return "*" in given or current.removeprefix("W/") in [each.removeprefix("W/") for each in given]
