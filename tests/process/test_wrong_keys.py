"""Wrong keys: counted by address, refused beyond a few, and no hindrance to anybody else."""

import logging

import pytest

from service.errors import WrongKeys
from service.process import wrong_keys
from service.process.wrong_keys import LOOK_S, MAX_WRONG, WINDOW_S, WrongKeyLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def filled(address: str, clock: Clock) -> WrongKeyLimit:
    limit = WrongKeyLimit(clock=clock)
    for _ in range(MAX_WRONG):
        limit.check(address, "wrong")
        limit.count(address)
    return limit


def test_an_address_is_refused_beyond_the_limit_until_its_minute_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with caplog.at_level(logging.WARNING):
        limit = filled("10.0.0.1", clock)
        clock.now = 20.0
        limit.check("10.0.0.1", "new")  # one at a time is looked up: a good one from there waits for a moment only
        for _ in range(50):
            with pytest.raises(WrongKeys, match="20 wrong keys") as refused:
                limit.check("10.0.0.1", "wrong")
    assert refused.value.retry_after_s == 1
    assert len(caplog.records) == 1, "a line for each burst, not for each request"
    assert "10.0.0.1" in caplog.text
    clock.now = 20.0 + 2 * LOOK_S
    limit.check("10.0.0.1", "new")
    with pytest.raises(WrongKeys):
        limit.check("10.0.0.1", "wrong")
    clock.now = WINDOW_S
    limit.check("10.0.0.1", "wrong")
    limit.count("10.0.0.1")
    limit.check("10.0.0.1", "wrong")


def test_one_below_the_limit_is_not_refused() -> None:
    limit = WrongKeyLimit(clock=Clock())
    for _ in range(MAX_WRONG - 1):
        limit.count("10.0.0.1")
    limit.check("10.0.0.1", "wrong")


def test_other_addresses_and_keys_that_opened_are_still_looked_up() -> None:
    limit = filled("10.0.0.1", Clock())
    limit.check("10.0.0.2", "wrong")
    limit.remember("good")
    limit.check("10.0.0.1", "good")
    with pytest.raises(WrongKeys):
        limit.check("10.0.0.1", "wrong")


def test_the_addresses_of_one_ipv6_host_count_together_and_an_ipv4_has_one_form() -> None:
    limit = filled("2001:db8:0:1::1", Clock())
    limit.check("2001:db8:0:2::1", "wrong")
    with pytest.raises(WrongKeys):
        limit.check("2001:db8:0:1:ffff::2", "wrong")
    with pytest.raises(WrongKeys):
        filled("10.0.0.1", Clock()).check("::ffff:10.0.0.1", "wrong")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "MAX_ADDRESSES", 3)
    monkeypatch.setattr(wrong_keys, "MAX_GOOD", 3)
    limit = WrongKeyLimit(clock=Clock())
    for each in range(10):
        limit.count(f"10.0.0.{each}")
        limit.remember(str(each))
    assert (len(limit._windows), len(limit._good)) == (3, 3)
