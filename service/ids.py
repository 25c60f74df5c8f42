"""Identifiers: a prefix that says what it is, then 26 characters that sort by the time of making (ULID's layout)."""

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
PATTERN = re.compile(r"[a-z]{2,4}_[0-9a-hjkmnp-tv-z]{26}")


def new_id(prefix: str) -> str:
    """`prefix_` + 48 bits of milliseconds since 1970 + 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return prefix + "_" + "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
