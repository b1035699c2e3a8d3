"""The budget of a venue's limits, and retry delays."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradebot.clock import DAY, MINUTE, SteppedClock
from tradebot.errors import BadReply, TradebotError, VenueBusy, VenueRejected, VenueUnreachable
from tradebot.market.limits import BULK as BULK_SHARE
from tradebot.market.limits import LONGEST_DELAY_MS, Budget, retry_delay_ms
from tradebot.market.tally import FileTally, Tally
from tradebot.market.usage import ORDERS, REQUESTS, WEIGHT, Cost, Traffic, Window

T0 = 1_516_406_400_000  # begins a minute
MINUTELY = (WEIGHT, MINUTE)
READ, BULK = Cost(20), Cost(20, traffic=Traffic.BULK)
ORDER = Cost(1, 1, 1, Traffic.ORDER)


def budget(share: float = 0.9, *limits: Window, tally: Tally | None = None) -> tuple[Budget, SteppedClock]:
    clock = SteppedClock(T0 + 10_000)
    return Budget(clock, limits or [Window(WEIGHT, MINUTE, 100)], share=share, tally=tally), clock


def spend(weights: Budget, cost: Cost) -> int:
    """How many such requests may go."""
    number = 0
    while not weights.wait_ms(cost):
        weights.answered(cost, {}, 0)
        number += 1
    return number


def used(weights: Budget, place: int = 0) -> int:
    return weights.usage.windows[place].used


def test_weight_is_spent_up_to_the_share_and_comes_back_with_the_minute() -> None:
    weights, clock = budget(0.5)
    assert [weights.wait_ms(READ) for _ in range(3)] == [0, 0, 50_000]
    assert used(weights) == 40
    for _ in range(2):
        weights.answered(READ, {}, clock.now())
    clock.advance(T0 + MINUTE)
    assert weights.wait_ms(READ) == 0
    assert used(weights) == 20


def test_after_a_burst_of_klines_there_is_room_for_marks_and_after_those_for_orders() -> None:
    weights, _ = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    assert spend(weights, Cost(2, traffic=Traffic.BULK)) == 382
    assert spend(weights, Cost(4)) == 34
    assert spend(weights, Cost(1, traffic=Traffic.ORDER)) == 100


def test_what_is_in_the_air_when_a_minute_begins_counts_in_it() -> None:
    weights, clock = budget()
    weights.wait_ms(READ)
    clock.advance(T0 + MINUTE)
    assert used(weights) == 20
    weights.answered(READ, {}, clock.now())
    clock.advance(T0 + 2 * MINUTE)
    assert used(weights) == 0


def test_the_venues_counter_is_the_truth_and_the_local_one_its_floor() -> None:
    weights, clock = budget()
    weights.wait_ms(READ)
    weights.answered(READ, {MINUTELY: 85}, clock.now())
    assert weights.wait_ms(READ) == 50_000
    assert weights.wait_ms(Cost(5)) == 0
    weights.answered(Cost(5), {MINUTELY: 3, ("UNHEARD_OF", 7): 5}, clock.now())
    assert used(weights) == 90


def test_beside_what_others_have_used_counts_what_is_in_the_air_once_and_for_all(tmp_path: Path) -> None:
    weights, clock = budget(0.9, Window(WEIGHT, MINUTE, 1_000), tally=FileTally(tmp_path / "venue"))
    for _ in range(3):
        weights.wait_ms(READ)
    known = []
    for count in (520, 540, 560):
        weights.answered(READ, {MINUTELY: count}, clock.now())
        known.append((tmp_path / "venue").read_bytes())
    assert known[0] == known[1] == known[2]
    assert used(weights) == 560


def test_where_nobody_else_asks_replies_in_any_order_change_nothing() -> None:
    weights, clock = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    for _ in range(3):
        weights.wait_ms(READ)
    for count in (60, 20, 40):
        weights.answered(READ, {MINUTELY: count}, clock.now())
        assert used(weights) == 60


def test_what_was_admitted_may_not_go_any_more_when_others_have_used_up_the_limit_or_the_venue_wants_silence() -> None:
    weights, clock = budget(0.9, Window(WEIGHT, MINUTE, 100))
    small = Cost(5, traffic=Traffic.BULK)
    assert [weights.wait_ms(small) for _ in range(3)] == [0, 0, 0]
    assert weights.barred_ms(small) == 0
    weights.answered(small, {MINUTELY: 80}, clock.now())
    assert (weights.barred_ms(small), weights.barred_ms(Cost(5))) == (50_000, 0)
    clock.advance(T0 + MINUTE)
    assert weights.barred_ms(small) == 0
    weights.silence(7_000, Traffic.BULK)
    assert (weights.barred_ms(small), weights.barred_ms(READ)) == (7_000, 0)


def test_what_is_heavier_than_a_whole_share_is_not_barred_by_itself() -> None:
    weights, _ = budget(0.9, Window(WEIGHT, MINUTE, 100))
    heavy = Cost(95, traffic=Traffic.BULK)
    assert (weights.wait_ms(heavy), weights.barred_ms(heavy)) == (0, 0)


def test_the_counter_of_an_earlier_minute_says_nothing_about_this_one() -> None:
    weights, clock = budget()
    sent = clock.now()
    weights.wait_ms(READ)
    clock.advance(T0 + MINUTE)
    weights.usage  # noqa: B018 (somebody looked meanwhile)
    weights.answered(READ, {MINUTELY: 99}, sent)
    assert weights.wait_ms(READ) == 0


def test_a_request_heavier_than_the_share_may_go_alone() -> None:
    weights, _ = budget(0.5)
    assert weights.wait_ms(Cost(80)) == 0
    assert weights.wait_ms(Cost(1)) == 50_000


def test_every_limit_that_the_venue_names_is_kept_each_by_what_it_counts() -> None:
    weights, clock = budget()
    weights.learn([Window(WEIGHT, MINUTE, 1_000), Window(REQUESTS, 5 * MINUTE, 40), Window(ORDERS, 10_000, 3)])
    assert spend(weights, ORDER) == 3
    assert weights.wait_ms(ORDER) == 10_000
    assert spend(weights, Cost(2)) == 33  # 36 requests of 40
    clock.advance(T0 + 20_000)
    assert spend(weights, ORDER) == 3
    assert weights.wait_ms(Cost(2)) == 4 * MINUTE + 40_000


def test_counters_of_orders_are_the_venues_too() -> None:
    weights, clock = budget(0.9, Window(ORDERS, 10_000, 50), Window(ORDERS, DAY, 500))
    weights.wait_ms(ORDER)
    weights.answered(ORDER, {(ORDERS, 10_000): 7, (ORDERS, DAY): 500}, clock.now())
    assert [used(weights, 0), used(weights, 1)] == [7, 500]
    assert weights.wait_ms(ORDER) == DAY - 10_000
    assert weights.wait_ms(Cost(5)) == 0


def test_after_a_ban_nothing_goes_until_its_end_whatever_the_minute() -> None:
    weights, clock = budget()
    weights.silence(3 * MINUTE)
    weights.silence(MINUTE)
    assert weights.wait_ms(Cost(1)) == weights.wait_ms(ORDER) == weights.silent_ms() == 3 * MINUTE
    clock.advance(T0 + 10_000 + 3 * MINUTE - 1)
    assert weights.wait_ms(Cost(1)) == 1
    clock.advance(T0 + 10_000 + 3 * MINUTE)
    assert weights.wait_ms(Cost(1)) == 0


def test_too_many_orders_hold_up_orders_only() -> None:
    weights, _ = budget()
    weights.silence(10_000, Traffic.ORDER)
    assert weights.wait_ms(ORDER) == 10_000
    assert weights.wait_ms(BULK) == 0


def test_a_clock_set_back_waits_at_most_a_minute_or_a_ban(tmp_path: Path) -> None:
    weights, _ = budget(tally=FileTally(tmp_path / "venue"))
    spend(weights, READ)
    weights.silence(2 * MINUTE)
    late = SteppedClock(T0 - DAY)
    again = Budget(late, [], tally=FileTally(tmp_path / "venue"))
    assert again.wait_ms(READ) == 2 * MINUTE
    late.advance(T0 - DAY + 2 * MINUTE)
    assert again.wait_ms(READ) == 0


# --- counted ahead

SMALL = Cost(2, traffic=Traffic.BULK)


def test_of_bulk_reads_that_follow_one_another_some_are_counted_ahead_and_given_back_when_anything_else_is_asked() -> (
    None
):
    weights, _ = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    known = []
    for _ in range(5):
        weights.wait_ms(SMALL)
        known.append(weights.known.windows[0].used)
    assert known == [2, 6, 6, 14, 14]
    weights.wait_ms(READ)
    assert weights.known.windows[0].used == 30


@pytest.mark.parametrize("share", [0.9, 0.45])
@pytest.mark.parametrize("most", [20, 100, 333])
def test_what_is_counted_ahead_fits_also_in_the_next_minute(most: int, share: float) -> None:
    weights, clock = budget(share, Window(WEIGHT, MINUTE, most))
    for minute in range(1, 4):
        fit = int(most * share * BULK_SHARE) // 2
        for _ in range(fit):
            assert weights.wait_ms(SMALL) == 0
            assert weights.known.windows[0].used <= fit * 2
            weights.answered(SMALL, {}, 0)
        assert weights.wait_ms(SMALL) > 0
        clock.advance(T0 + minute * MINUTE)


def test_what_was_counted_ahead_counts_no_more_when_its_minute_is_over() -> None:
    weights, clock = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    for _ in range(4):
        weights.wait_ms(SMALL)
        weights.answered(SMALL, {}, 0)
    clock.advance(T0 + MINUTE)
    assert weights.wait_ms(SMALL) == 0
    assert weights.known.windows[0].used == 2


def test_the_venues_counter_is_the_truth_beside_what_is_counted_ahead() -> None:
    weights, clock = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    for _ in range(4):
        weights.wait_ms(SMALL)
    weights.answered(SMALL, {MINUTELY: 12}, clock.now())
    assert weights.known.windows[0].used == 12 + 3 * 2 + 3 * 2
    assert used(weights) == 12 + 3 * 2  # in the air


def test_what_was_counted_ahead_does_not_go_into_a_ban_that_is_heard_of_meanwhile(tmp_path: Path) -> None:
    for who in range(2):
        two = [budget(tally=FileTally(tmp_path / f"venue {who}"))[0] for _ in range(2)]
        assert [two[0].wait_ms(SMALL) for _ in range(4)] == [0, 0, 0, 0]
        two[who].silence(MINUTE)
        assert two[0].wait_ms(SMALL) == MINUTE
        assert used(two[1]) == 8


def test_what_was_counted_ahead_counts_anew_where_the_venue_names_a_limit_meanwhile() -> None:
    weights, _ = budget(0.9, Window(WEIGHT, MINUTE, 1_000))
    assert [weights.wait_ms(SMALL) for _ in range(4)] == [0, 0, 0, 0]
    weights.learn([Window(WEIGHT, MINUTE, 1_000), Window(REQUESTS, 5 * MINUTE, 6)])
    assert weights.wait_ms(SMALL) > 0
    assert [used(weights, 0), used(weights, 1)] == [8, 4]


def test_what_was_counted_ahead_is_given_back_in_the_end(tmp_path: Path) -> None:
    weights, _ = budget(tally=FileTally(tmp_path / "venue"))
    for _ in range(4):
        weights.wait_ms(SMALL)
    weights.close()
    assert used(budget(tally=FileTally(tmp_path / "venue"))[0]) == 8


def test_to_a_file_that_is_another_one_by_now_no_more_is_given_back_than_it_counts(tmp_path: Path) -> None:
    weights, _ = budget(tally=FileTally(tmp_path / "venue"))
    for _ in range(4):
        weights.wait_ms(SMALL)
    (tmp_path / "venue").unlink()
    other, _ = budget(tally=FileTally(tmp_path / "venue"))
    other.wait_ms(SMALL)
    assert used(weights) == used(other) == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "venue"]


# --- several processes


def test_what_one_process_uses_the_others_count(tmp_path: Path) -> None:
    one, two = (budget(tally=FileTally(tmp_path / "venue"))[0] for _ in range(2))
    assert spend(one, READ) == 4
    assert two.wait_ms(READ) == 50_000
    assert two.wait_ms(Cost(10)) == 0
    assert used(one) == 90


@pytest.mark.parametrize("shared", [True, False])
def test_two_processes_with_half_the_margin_each_stay_below_the_limit_and_none_starves(
    tmp_path: Path, shared: bool
) -> None:
    limit = Window(WEIGHT, MINUTE, 600)
    folders = [tmp_path, tmp_path if shared else tmp_path / "other"]
    both = [budget(0.45, limit, tally=FileTally(each / "venue"))[0] for each in folders]
    spent = [spend(each, Cost(2, traffic=Traffic.BULK)) * 2 for each in both]
    assert spent == [228, 228]
    spent = [spent[i] + spend(each, Cost(1)) for i, each in enumerate(both)]
    assert spent == [270, 270]


def test_a_ban_outlives_the_process_that_met_it(tmp_path: Path) -> None:
    weights, _ = budget(tally=FileTally(tmp_path / "venue"))
    weights.silence(2 * MINUTE)
    again, clock = budget(tally=FileTally(tmp_path / "venue"))
    clock.advance(T0 + 70_000)
    assert again.wait_ms(Cost(1)) == MINUTE


def test_limits_and_the_clock_that_one_process_has_learned_the_next_one_knows(tmp_path: Path) -> None:
    weights, _ = budget(tally=FileTally(tmp_path / "venue"))
    weights.learn([Window(WEIGHT, MINUTE, 50)])
    weights.heard(-7 * DAY, own_time=True)
    again, _ = budget(tally=FileTally(tmp_path / "venue"))
    assert spend(again, READ) == 2
    assert (again.usage.ahead, again.usage.own_time) == (-7 * DAY, True)


class Spending(RuleBasedStateMachine):
    """However two processes ask, no minute of the venue sees more than their share."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SteppedClock(T0 + 10_000)
        tally = Tally()
        self.two = [Budget(self.clock, [Window(WEIGHT, MINUTE, 1000)], tally=tally) for _ in range(2)]
        self.air: list[tuple[Budget, Cost, int]] = []
        self.arrived: dict[int, int] = {}
        self.admitted: dict[int, int] = {}
        self.banned = 0

    @rule(
        who=st.integers(0, 1),
        weight=st.sampled_from([2, 90, 400]),
        traffic=st.sampled_from([Traffic.READ, Traffic.BULK]),
    )
    def ask(self, who: int, weight: int, traffic: Traffic) -> None:
        now, cost = self.clock.now(), Cost(weight, traffic=traffic)
        wait = self.two[who].wait_ms(cost)
        if wait == 0:
            assert now >= self.banned
            minute = now // MINUTE
            self.admitted[minute] = self.admitted.get(minute, 0) + weight
            self.air.append((self.two[who], cost, now))
        else:
            assert now + wait <= max(self.banned, (now // MINUTE + 1) * MINUTE)

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        if self.air:
            budget, cost, sent = self.air.pop(data.draw(st.integers(0, len(self.air) - 1)))
            minute = self.clock.now() // MINUTE
            self.arrived[minute] = self.arrived.get(minute, 0) + cost.weight
            budget.answered(cost, {MINUTELY: self.arrived[minute]}, sent)

    @rule(ms=st.integers(1, 90_000))
    def let_time_pass(self, ms: int) -> None:
        self.clock.advance(self.clock.now() + ms)
        for each in self.two:
            each.silent_ms()  # each process looks at the clock

    @rule(ms=st.integers(1, 200_000))
    def be_banned(self, ms: int) -> None:
        self.two[0].silence(ms)
        self.banned = max(self.banned, self.clock.now() + ms)

    @invariant()
    def within_the_share(self) -> None:
        assert all(weight <= 900 for weight in self.arrived.values())

    @invariant()
    def counted_before_it_goes(self) -> None:
        minute = self.clock.now() // MINUTE
        assert self.two[0].known.windows[0].used >= self.admitted.get(minute, 0)


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
