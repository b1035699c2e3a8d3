"""The past in figures: days, peaks, streaks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY
from tradebot.market.venue import Fill, Side
from tradebot.trading.risk.record import Ending, Last, Record

NOON = 1_516_406_400_000 // DAY * DAY + DAY // 2
D = Decimal


def fill(time: int) -> Fill:
    return Fill(1, "XUSDT", 1, Side.SELL, D(1), D(1), D(0), "USDT", time)


def seen(*totals: int, equity: int = 1000, start: int = NOON) -> Record:
    """A record that saw these totals, an hour apart."""
    record = Record().looked(start, D(0), D(equity))
    for hour, total in enumerate(totals, 1):
        record = record.looked(start + hour * 3_600_000, D(total))
    return record


class TestResults:
    def test_are_what_is_gone_and_what_is_held(self):
        record = Record().looked(NOON, D(7)).gone("a", D(12))
        assert (record.closed, record.total) == (12, 7), "as of the last look"
        assert record.looked(NOON, D(3)).total == 15

    def test_are_no_gain_when_money_is_brought_in_and_no_loss_when_it_is_taken_out(self):
        record = seen(0).looked(NOON + DAY // 4, D(0), D(5))
        assert (record.today, record.drawdown, record.equity) == (0, 0, 5)


class TestADay:
    def test_counts_from_the_first_look_after_midnight(self):
        record = seen(-30, -50)
        assert (record.today, record.daily_loss) == (-50, D("0.05"))
        morning = record.looked(NOON + DAY, D(-60))
        assert (morning.today, morning.daily_loss) == (0, 0)
        later = morning.looked(NOON + DAY + 1, D(-79))
        assert later.daily_loss == 19 / D(940), "of the equity at the day's start"

    def test_is_no_loss_when_it_gained(self):
        assert seen(40).daily_loss == 0

    def test_has_no_share_while_the_equity_is_not_known(self):
        record = Record().looked(NOON, D(0)).looked(NOON + 1, D(-50))
        assert (record.today, record.daily_loss, record.drawdown) == (-50, 0, 0)
        known = record.looked(NOON + 2, D(-50), D(950))
        assert known.daily_loss == D(50) / 950


class TestADrawdown:
    def test_is_from_the_highest_equity(self):
        record = seen(100, -10)
        assert (record.peak, record.equity) == (100, 990)
        assert record.drawdown == D(110) / 1100

    def test_goes_on_over_days(self):
        assert seen(100).looked(NOON + 3 * DAY, D(-10)).drawdown == D(110) / 1100

    def test_begins_anew_where_it_was_levelled(self):
        record = seen(100, -10).level()
        assert record.drawdown == 0
        assert record.looked(NOON + DAY, D(-20)).drawdown == D(10) / 990

    @given(st.lists(st.integers(-900, 900), min_size=1))
    def test_is_between_nothing_and_all(self, totals):
        record = seen(*totals)
        assert 0 <= record.drawdown < 1
        assert record.peak == max(0, *totals, 0)
        assert record.equity == 1000 + totals[-1]


class TestEndings:
    def test_losses_in_a_row_end_with_a_gain(self):
        record = Record()
        for number, result in enumerate((-1, -1, 5, -1, -1, -1)):
            record = record.ended("a", Ending("XUSDT", number, D(result)))
        assert (record.losses, record.last_loss) == (3, 5)

    @pytest.mark.parametrize(
        ("result", "stopped", "bad"), [(-1, False, True), (1, True, True), (1, False, False), (0, False, False)]
    )
    def test_a_loss_or_a_stop_is_remembered_by_symbol(self, result, stopped, bad):
        record = Record().ended("a", Ending("XUSDT", 7, D(result), stopped))
        assert record.bad == ({"XUSDT": 7} if bad else {})
        assert record.last_bad == (7 if bad else 0)

    def test_a_position_is_pending_from_its_fill_until_it_is_gone_and_its_end_counted_once(self):
        record = Record().filled(1, fill(NOON), "a", False).filled(2, fill(NOON + 1), "a", True)
        assert (record.pending, record.upto) == ({"a": Last(NOON + 1, True)}, 2)
        record = record.ended("a", Ending("XUSDT", 7, D(-1)))
        assert record.pending["a"].counted
        assert record.filled(3, fill(NOON + 2), "a", False).pending["a"].counted
        assert record.gone("a", D(-1)).pending == {}


class TestWritingDown:
    def test_is_for_a_new_day_a_higher_peak_a_level_and_an_equity_not_a_moment(self):
        record = seen(100)
        assert not record.looked(NOON + 2, D(100)).differs(record)
        assert not record.looked(NOON + 2, D(101)).differs(record), "a tenth of a percent may be forgotten"
        assert record.looked(NOON + 2, D(105)).differs(record)
        assert record.looked(NOON + DAY, D(100)).differs(record)
        assert seen(100, 50).level().differs(seen(100, 50))
        assert record.differs(Record())
