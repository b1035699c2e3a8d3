"""One pass of the loop, as far as it has come."""

from __future__ import annotations

from tradebot.clock import MINUTE, SteppedClock
from tradebot.cycle import Bar, Cycle
from tradebot.errors import MarketError, ModelError
from tradebot.guard import Seen
from tradebot.look import Watch


def test_the_first_error_counts_and_no_warning_is_told_twice() -> None:
    cycle, first = Cycle(1, 0, Watch(), 0, 0), MarketError("down")
    cycle.fail(first)
    cycle.fail(MarketError("down"))
    cycle.guarded(Seen(warnings=["down", "a doubt"], error=ModelError("gone")))
    assert cycle.error is first
    assert cycle.warnings == ["down", "a doubt"]


def test_a_cycle_that_has_seen_nothing_has_a_document_all_the_same() -> None:
    cycle = Cycle(3, 60_000, Watch(), 0, 0, missed=2)
    cycle.follow(SteppedClock(0))
    document = cycle.document()
    assert (document["cycle"], document["missed"], document["bar"]) == (3, 2, None)
    assert document["signals"] == document["latency"] == document["orders"] == []


def test_a_bar_knows_how_many_closed_unseen_before_it() -> None:
    step = 5 * MINUTE
    assert Bar("5m", 10 * step, None, ()).unseen == 0
    assert Bar("5m", 10 * step, 10 * step, ()).unseen == 0
    assert Bar("5m", 10 * step, 9 * step, ()).unseen == 0
    assert Bar("5m", 10 * step, 7 * step, ()).unseen == 2
    assert Bar("5m", 10 * step, 12 * step, ()).unseen == 0, "a venue whose clock was set back"


def test_a_bars_document_tells_its_close_and_its_age() -> None:
    document = Bar("5m", 0, 0, ("BTCUSDT",)).document(6 * MINUTE)
    assert (document["close"], document["age_ms"], document["again"]) == (5 * MINUTE, MINUTE, True)
    assert document["acted"] == ("BTCUSDT",)
