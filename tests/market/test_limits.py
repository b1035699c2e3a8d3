"""The weight budget and retry delays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradebot.clock import MINUTE, SteppedClock
from tradebot.errors import BadReply, TradebotError, VenueBusy, VenueRejected, VenueUnreachable
from tradebot.market.limits import LONGEST_DELAY_MS, Budget, retry_delay_ms

T0 = 1_516_406_400_000  # begins a minute


def budget(limit: int = 100, margin: float = 0.5) -> tuple[Budget, SteppedClock]:
    clock = SteppedClock(T0 + 10_000)
    return Budget(clock, limit, margin), clock


def test_weight_is_spent_up_to_the_margin_and_comes_back_with_the_minute() -> None:
    weights, clock = budget()
    assert [weights.wait_ms(20) for _ in range(3)] == [0, 0, 50_000]
    assert weights.usage.used == 40
    clock.advance(T0 + MINUTE)
    assert weights.wait_ms(20) == 0


def test_the_venues_counter_is_the_truth_and_the_local_one_its_floor() -> None:
    weights, clock = budget()
    weights.wait_ms(10)
    weights.observe(45, clock.now())
    assert weights.wait_ms(10) == 50_000
    weights.observe(3, clock.now())
    assert weights.usage.used == 45


def test_the_counter_of_an_earlier_minute_says_nothing_about_this_one() -> None:
    weights, clock = budget()
    sent = clock.now()
    clock.advance(T0 + MINUTE)
    weights.observe(49, sent)
    assert weights.wait_ms(40) == 0


def test_a_request_heavier_than_the_share_may_go_alone() -> None:
    weights, _ = budget()
    assert weights.wait_ms(80) == 0
    assert weights.wait_ms(1) == 50_000


def test_after_a_ban_nothing_goes_until_its_end_whatever_the_minute() -> None:
    weights, clock = budget()
    weights.block(3 * MINUTE)
    weights.block(MINUTE)
    assert weights.wait_ms(1) == weights.blocked_ms() == 3 * MINUTE
    clock.advance(T0 + 10_000 + 3 * MINUTE - 1)
    assert weights.wait_ms(1) == 1
    clock.advance(T0 + 10_000 + 3 * MINUTE)
    assert weights.wait_ms(1) == 0


class Spending(RuleBasedStateMachine):
    """However it is asked, no minute spends more than its share."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.clock = budget(limit=1000, margin=0.9)
        self.spent: dict[int, int] = {}
        self.banned = 0

    @rule(weight=st.integers(1, 400))
    def ask(self, weight: int) -> None:
        now = self.clock.now()
        wait = self.weights.wait_ms(weight)
        if wait == 0:
            self.spent[now // MINUTE] = self.spent.get(now // MINUTE, 0) + weight
            assert now >= self.banned
        else:
            assert now + wait <= max(self.banned, (now // MINUTE + 1) * MINUTE)

    @rule(ms=st.integers(1, 90_000))
    def let_time_pass(self, ms: int) -> None:
        self.clock.advance(self.clock.now() + ms)

    @rule(used=st.integers(0, 1200))
    def hear_of_others(self, used: int) -> None:
        self.weights.observe(used, self.clock.now())
        if used >= 900:
            assert self.weights.wait_ms(1) > 0

    @rule(ms=st.integers(1, 200_000))
    def be_banned(self, ms: int) -> None:
        self.weights.block(ms)
        self.banned = max(self.banned, self.clock.now() + ms)

    @invariant()
    def within_the_share(self) -> None:
        assert all(spent <= 900 for spent in self.spent.values())


TestSpending = Spending.TestCase

FAULTS: list[TradebotError] = [
    VenueUnreachable("cut off"),
    BadReply("html"),
    VenueBusy("later", wait_ms=5, status=429),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@given(attempt=st.integers(1, 50), seed=st.text(max_size=5))
def test_delays_grow_to_a_bound_and_follow_from_the_seed(fault: TradebotError, attempt: int, seed: str) -> None:
    delay = retry_delay_ms(fault, attempt, seed)
    assert delay is not None
    assert delay == retry_delay_ms(fault, attempt, seed)
    ceiling = min(200 * 2 ** (attempt - 1), LONGEST_DELAY_MS)
    assert ceiling / 2 <= delay <= ceiling


def test_requests_that_failed_together_do_not_come_back_together() -> None:
    assert len({retry_delay_ms(FAULTS[0], 1, f"7/{i}") for i in range(50)}) == 50


def test_what_no_retry_can_help_is_not_tried_again() -> None:
    assert retry_delay_ms(VenueRejected("no", code=-1121, status=400), 1, "") is None
