"""What each fault of the market does to bars and symbols, by itself."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from exchanging import instrument

from tradebot.clock import HOUR, MINUTE
from tradebot.errors import ConfigError
from tradebot.sim.fault_market import Delisted, Filters, Halted, Holes, Losing, Skew, Stalled
from tradebot.sim.fault_plan import parse_spec

NOW = 1_700_000_040_000  # a whole minute
OPENS = np.arange(NOW, NOW + 600 * MINUTE, MINUTE)


@pytest.mark.parametrize("fault", [Holes(interval="1m"), Stalled(), Halted()])
def test_bounds_are_whole_minutes_and_the_end_is_not_included(fault: Losing) -> None:
    bounded = fault.model_copy(update={"since": NOW + MINUTE + 5, "until": NOW + 3 * MINUTE + 59_999})
    assert np.flatnonzero(bounded.lost("A", OPENS, 0)).tolist() == [1, 2]
    assert fault.lost("A", OPENS, 0).all()


def test_holes_are_whole_stretches_by_seed_and_symbol() -> None:
    fault = Holes(interval="5m", rate=0.3)
    lost = fault.lost("A", OPENS, 1)
    assert 0.15 < lost.mean() < 0.45
    stretches = {opened // (5 * MINUTE): set() for opened in OPENS.tolist()}
    for opened, gone in zip(OPENS.tolist(), lost.tolist(), strict=True):
        stretches[opened // (5 * MINUTE)].add(gone)
    assert all(len(each) == 1 for each in stretches.values())
    assert (fault.lost("A", OPENS[100:], 1) == lost[100:]).all(), "whatever else is asked for"
    assert (fault.lost("B", OPENS, 1) != lost).any()
    assert (fault.lost("A", OPENS, 2) != lost).any()
    assert not Holes(rate=0).lost("A", OPENS, 1).any()


def test_only_the_rules_that_are_named_change() -> None:
    old = instrument()
    new = Filters(tick=Decimal("0.5"), min_notional=Decimal(50)).changed(old)
    assert new is not None
    assert (new.tick, new.min_notional, new.step, new.max_quantity) == (
        Decimal("0.5"), Decimal(50), old.step, old.max_quantity,
    )  # fmt: skip


def test_a_halted_symbol_is_there_and_a_delisted_one_is_not() -> None:
    halted = Halted(status="BREAK").changed(instrument())
    assert halted is not None
    assert (halted.status, halted.tradable) == ("BREAK", False)
    assert Delisted().changed(instrument()) is None


def test_a_clock_that_drifts_is_right_at_first() -> None:
    drift = Skew(drift_ms=-100, since=NOW, until=NOW + 10 * HOUR)
    assert [drift.offset(NOW + hours * HOUR) for hours in (-1, 0, 1, 9, 10)] == [0, 0, -100, -900, 0]


def test_a_stand_without_a_begin_gets_one() -> None:
    assert Stalled().set_at(NOW).since == NOW
    assert Halted(since=NOW).set_at(NOW + HOUR).since == NOW


@pytest.mark.parametrize(
    "spec",
    ["late-klines seconds=inf", "revised-kline seconds=1e6", "revised-kline early_s=inf", "off-grid offset_s=86401",
     "skew drift_ms=inf since=2018-01-20"],
)  # fmt: skip
def test_no_length_of_time_is_without_bound(spec: str) -> None:
    with pytest.raises(ConfigError):
        parse_spec(spec)
