"""Who counts as one sender."""

import pytest

from service.process.senders import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"), ("::ffff:10.0.0.1", "10.0.0.1"), (None, "unknown")],
)
def test_an_ipv6_host_is_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
