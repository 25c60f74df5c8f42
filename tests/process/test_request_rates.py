"""Rates of requests: a bucket for each name, and a bounded table of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.process.request_rates import BURST_S, RateLimiter


def test_ten_seconds_worth_may_come_at_once_and_then_one_at_a_time() -> None:
    limiter = RateLimiter(2.0)
    standings = [limiter.take("a", 100.0) for _ in range(21)]
    assert [each.remaining for each in standings[:20]] == list(range(19, -1, -1))
    assert all(each.allowed for each in standings[:20])
    assert (standings[20].allowed, standings[20].wait_s) == (False, pytest.approx(0.5))
    assert standings[19].reset_s == pytest.approx(BURST_S)
    assert not limiter.take("a", 100.49).allowed
    assert limiter.take("a", 100.5).allowed
    assert not limiter.take("a", 100.6).allowed
    assert limiter.take("b", 100.6).remaining == 19, "others have their own"
    assert limiter.take("a", 200.0).remaining == 19


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.floats(0.2, 20))
def test_no_window_holds_more_than_a_burst_and_what_the_rate_makes_up_for(gaps: list[float], rate: float) -> None:
    limiter, now, allowed = RateLimiter(rate), 0.0, list[float]()
    for gap in gaps:
        now += gap / rate
        if limiter.take("a", now).allowed:
            allowed.append(now)
        else:
            assert limiter.take("a", now).wait_s > 0
    for first, began in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= limiter.burst + rate * (allowed[last] - began) + 1e-6


def test_the_table_forgets_whom_it_has_not_heard_of_for_longest() -> None:
    limiter = RateLimiter(0.1, most=2)
    assert limiter.take("a", 0).allowed
    limiter.take("b", 1)
    assert not limiter.take("a", 2).allowed
    limiter.take("c", 3)
    assert limiter.take("b", 4).allowed, "forgotten"
    assert limiter.take("a", 5).allowed, "b came, so a went"
