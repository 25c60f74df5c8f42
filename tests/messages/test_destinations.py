"""Where messages may go: the public internet, and networks that the operator named."""

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from service.messages import destinations, post
from service.messages.destinations import Refused, check_literal, is_allowed, parse_url, resolve

PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "192.0.0.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address), "")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), "")


def test_the_operator_names_networks() -> None:
    named = "10.1.0.0/16, fd00::/8"
    for address, allowed in {"10.1.2.3": True, "10.2.0.1": False, "fd00::5": True, "::ffff:10.1.2.3": False}.items():
        assert is_allowed(ip_address(address), named) == allowed


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/", "file:///etc/passwd", "//host/", "host/path", "", "http://", "https://user:pw@host/"),
        *("https://user@host/", "https://ho st/", "https://host/a b", "https://host:99999/", "https://host:0/"),
        *("https://host/\r\nX: y", "https://[::1", "javascript:alert(1)", "https://h\u00f6st/"),
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        parse_url(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "api.localhost", "LOCALHOST.", "169.254.169.254"])
def test_an_address_of_this_machine_is_refused_when_it_is_given(host: str) -> None:
    with pytest.raises(Refused, match="SADDLE_WEBHOOK_NETWORKS"):
        check_literal(parse_url(f"https://{host}/"), "")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
def test_other_spellings_of_loopback_are_refused_when_they_are_used(host: str) -> None:
    with pytest.raises(Refused):
        resolve(parse_url(f"https://{host}/"), "")


def answering(*addresses: str) -> Any:
    """A resolver that gives other addresses at each look-up."""
    left = list(addresses)

    def resolver(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]

    return resolver


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means a public address when it is checked, and loopback a moment later."""
    reached: list[Any] = []
    monkeypatch.setattr(destinations.socket, "getaddrinfo", answering("8.8.8.8", "127.0.0.1"))

    def connect(address: Any, timeout: float) -> Any:
        reached.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(post.socket, "create_connection", connect)
    outcome = post.post("https://rebinding.test/", b"{}", {}, "")
    assert reached == [("8.8.8.8", 443)]
    assert outcome.detail == "the connection failed: Connection refused."


def test_a_name_of_private_addresses_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations.socket, "getaddrinfo", answering("169.254.169.254"))
    monkeypatch.setattr(post.socket, "create_connection", lambda *_: pytest.fail("it connected"))
    outcome = post.post("https://metadata.test/", b"{}", {}, "")
    assert not outcome.delivered
    assert "private" in (outcome.detail or "")


def test_http_to_the_internet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations.socket, "getaddrinfo", answering("8.8.8.8"))
    with pytest.raises(Refused, match="in the clear"):
        resolve(parse_url("http://host.test/"), "")
