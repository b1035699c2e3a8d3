"""Klines for a universe, in the time of a cycle or with patience."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tradebot.clock import DAY, SECOND, SteppedClock
from tradebot.config import Settings, load
from tradebot.errors import MarketError, VenueBusy
from tradebot.intake import fetch, fetch_all, revisions, ttl_bounds
from tradebot.market.bars import Klines
from tradebot.market.store import Ready, Terms
from tradebot.market.ttl import Bounds
from tradebot.session import Session

T0 = 1_516_406_400_000


def chosen(**keys: Any) -> Settings:
    return load(None, {key.replace("__", "."): ("test", value) for key, value in keys.items()}, {})


class Rationed:
    """A store whose venue lets so many symbols through a round, and a clock that moves when it is waited for."""

    def __init__(self, allowed: Sequence[int], wait_ms: int = 40 * SECOND) -> None:
        self.allowed = list(allowed)
        self.wait_ms = wait_ms
        self.rounds: list[tuple[str, ...]] = []
        self.terms: list[Terms] = []
        self.clock = SteppedClock(T0, drive=True)
        self.stands_still = False

    async def refresh(
        self, feed: object, now: int, symbols: Sequence[str], intervals: Sequence[str], bars: int, *, terms: Terms
    ) -> AsyncGenerator[Ready, None]:
        self.rounds.append(tuple(symbols))
        self.terms.append(terms)
        allowed = self.allowed.pop(0)
        for number, symbol in enumerate(symbols):
            for interval in intervals:
                busy = VenueBusy(
                    "its limit allows no request until 2018-01-20 00:00:40 UTC", wait_ms=self.wait_ms, status=429
                )
                through = number < allowed or (number == allowed and interval == intervals[0])
                error = MarketError("delisted") if symbol == "BAD" else None if through else busy
                yield Ready(symbol, interval, Klines.empty(), new=200, error=error)

    def session(self, **keys: Any) -> Session:
        parts = {"settings": chosen(**keys), "store": self, "feed": None, "clock": self.clock}
        return cast("Session", SimpleNamespace(**parts, stands_still=self.stands_still))


async def test_a_universe_too_large_for_the_limit_is_fetched_in_rounds(caplog: pytest.LogCaptureFixture) -> None:
    venue = Rationed([2, 1, 5])
    told: list[tuple[str, int, int]] = []
    series = await fetch_all(venue.session(), ["A", "BAD", "B", "C", "D"], lambda *each: told.append(each))
    assert venue.rounds == [("A", "BAD", "B", "C", "D"), ("B", "C", "D"), ("C", "D")]
    assert venue.clock.now() == T0 + 80 * SECOND
    assert len(series) == len({(one.symbol, one.interval) for one in series}) == 15
    assert [one.symbol for one in series if one.error] == ["BAD"] * 3
    assert all(one.new == 200 for one in series), "what came in the first round is not told as of the last"
    assert told == [("fetch", count, 15) for count in range(1, 16)]
    assert [record.message for record in caplog.records] == [
        "8 of 15 series wait 40 s for the venue's limit",
        "5 of 15 series wait 40 s for the venue's limit",
    ]


@pytest.mark.parametrize(
    ("allowed", "wait_ms", "still", "rounds"),
    [([1], DAY, False, 1), ([1], 40 * SECOND, True, 1), ([1, -1], 40 * SECOND, False, 2)],
    ids=["a ban", "a clock that stands", "a round that brings nothing"],
)
async def test_not_everything_is_waited_for(allowed: list[int], wait_ms: int, still: bool, rounds: int) -> None:
    venue = Rationed(allowed, wait_ms)
    venue.stands_still = still
    series = await fetch_all(venue.session(), ["A", "B", "C"])
    assert len(venue.rounds) == rounds
    assert len(series) == 9
    assert any(isinstance(one.error, VenueBusy) for one in series)


async def test_who_needs_nothing_is_asked_nothing() -> None:
    venue = Rationed([0])
    assert await fetch_all(venue.session(), []) == []


async def test_a_cycle_has_a_deadline_and_no_patience_where_time_stands() -> None:
    venue = Rationed([9, 9])
    _ = [one async for one in fetch(venue.session(venue__connections=7), ["A"], T0, 20.0)]
    venue.stands_still = True
    _ = [one async for one in fetch(venue.session(market__closed_only=False), ["A"], T0)]
    assert venue.terms[0] == Terms(14, 20.0, Terms().patience_s, None, later=True)
    assert venue.terms[1] == Terms(100, None, 0.0, Bounds(60.0, 300.0))


def test_bounds_are_there_where_open_klines_are_wanted() -> None:
    assert ttl_bounds(chosen()) is None
    assert ttl_bounds(chosen(market__closed_only=False, market__shortest_ttl_s=30)) == Bounds(30.0, 300.0)


def test_revisions_are_told_in_one_line() -> None:
    def ready(symbol: str, *times: int) -> Ready:
        return Ready(symbol, "5m", Klines.empty(), revised=np.array(times, np.int64))

    assert revisions([ready("A")]) == []
    assert revisions([ready("A", 1), ready("B")]) == ["the venue has revised 1 closed kline: A 5m"]
    assert revisions([ready(name, 1, 2) for name in "ABCDEFG"]) == [
        "the venue has revised 14 closed klines: A 5m, B 5m, C 5m, D 5m, E 5m and 2 more"
    ]
