"""The address to listen on, and the host names that the API answers to.

A page of a foreign site can point its own name at 127.0.0.1 (DNS rebinding); a server that knows its names refuses.
"""

import ipaddress
import socket

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


def known_hosts(host: str) -> str:
    """Return the names for SADDLE_ALLOWED_HOSTS: this machine's, and the address to listen on.

    An address that means every interface adds those of this machine's name.
    """
    name = socket.gethostname()
    names = [*LOCAL_NAMES, name, written(host)]
    if ipaddress.ip_address(host).is_unspecified:
        names += [written(each) for each in addresses_of(name)]
    return ",".join(dict.fromkeys(each.lower() for each in names))


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a name; none if it has none."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []


def written(host: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def address(host: str, port: int) -> str:
    """Return the URL under which this machine reaches an API that listens on `host`."""
    anywhere = ipaddress.ip_address(host).is_unspecified
    return f"http://{LOOPBACK if anywhere and ':' not in host else written('::1' if anywhere else host)}:{port}"
