"""Who is one sender: whoever holds an IPv6 network of 64 bits can send each request from another address."""

import ipaddress
from functools import lru_cache

REMEMBERED = 10_000  # addresses


@lru_cache(maxsize=REMEMBERED)
def network_of(address: str | None) -> str:
    """Return what is counted as one sender: an IPv4 address, or the network of 64 bits that one IPv6 host may hold."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
