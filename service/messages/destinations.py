"""Where messages may go: a URL or mail address as people give it, and the network address that it means now.

A name is resolved once for each attempt, and the connection is made to that very address: what was checked is what is
used, whatever the name means a moment later (DNS rebinding).
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

IpAddress = IPv4Address | IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")
MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
PATH = re.compile(r"[\x21-\x7e]*")


class Refused(Exception):
    """Messages may not go there; the text says why."""


@dataclass(frozen=True)
class Destination:
    """The parts of an http(s) URL."""

    secure: bool
    host: str
    port: int
    target: str  # path and query
    netloc: str  # as the Host header has it


def parse_url(url: str) -> Destination:
    """Return the parts of a URL; raise `Refused` if it is none that messages can go to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("it is no URL: give one like https://host/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not PATH.fullmatch(url):
        raise Refused("it is no http(s) URL: give one like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise Refused("it holds a user or password: leave them out, the signature says who sends")
    if not HOST.fullmatch(parts.hostname) or port == 0:
        raise Refused("its host is no name or address")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(secure, parts.hostname, port or (443 if secure else 80), target, parts.netloc)


def check_literal(destination: Destination, networks: str) -> None:
    """Raise `Refused` for an address, or a name of this machine, that no look-up is needed to refuse."""
    try:
        literal = ipaddress.ip_address(destination.host)
    except ValueError:
        name = destination.host.lower().rstrip(".")
        if (name == "localhost" or name.endswith(".localhost")) and not networks:
            raise Refused(_why(destination.host)) from None
    else:
        if not is_allowed(literal, networks):
            raise Refused(_why(destination.host))


def resolve(destination: Destination, networks: str) -> IpAddress:
    """Return the first address of the host that messages may go to; raise `Refused` if there is none."""
    try:
        found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"the name {destination.host} cannot be resolved") from None
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    allowed = [each for each in addresses if is_allowed(each, networks)]
    if not allowed:
        raise Refused(_why(destination.host))
    if not destination.secure and not is_named(allowed[0], networks):
        raise Refused("http sends it in the clear: give an https URL, or have the network named as private")
    return allowed[0]


def _why(host: str) -> str:
    return (
        f"{host} is a private, local or reserved address, where messages do not go:"
        " the operator can name a network in SADDLE_WEBHOOK_NETWORKS"
    )


def is_allowed(address: IpAddress, networks: str) -> bool:
    """Return whether messages may go to an address: on the public internet, or in one of the named networks."""
    return is_named(address, networks) or _is_public(address)


def is_named(address: IpAddress, networks: str) -> bool:
    """Return whether the operator named a network that holds the address."""
    named = [ipaddress.ip_network(each.strip()) for each in networks.split(",") if each.strip()]
    return any(address.version == network.version and address in network for network in named)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return _is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a gateway would go on to."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 or int(address) < 2**32 else None
