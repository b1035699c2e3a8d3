from __future__ import annotations

from collections.abc import Sequence

import pytest
from exchanging import NOW

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import open_of
from tradebot.sim.exact import Exact
from tradebot.sim.fault_market import Holes, Losing
from tradebot.sim.prices import Synthetic
from tradebot.sim.remains import Remains

SOURCE = Synthetic(1, 3)
SYMBOL = "ETHUSDT"
SCALE = SOURCE.exact(SYMBOL, "1m", NOW, NOW, NOW).scale
HOLES = Holes(rate=0.5)


class Counted(Synthetic):
    """Counts the bars that are asked for."""

    bars = 0

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        found = super().exact(symbol, interval, start, end, now)
        self.bars += len(found)
        return found


def remains(faults: Sequence[Losing] = (HOLES,), source: Synthetic = SOURCE) -> Remains:
    return Remains(source, faults, 7)


def direct(interval: str, begin: int, end: int, now: int) -> list[list[int]]:
    """The definition: minutes that are not lost, put together."""
    minutes = SOURCE.exact(SYMBOL, "1m", begin, end, now)
    left = ~HOLES.lost(SYMBOL, minutes.data[0], 7)
    found: list[list[int]] = Exact(minutes.data[:, left], minutes.scale).aggregate(interval).data.tolist()
    return found


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "12h", "1d", "3d", "1w", "1M"])
@pytest.mark.parametrize("back", [0, 9, 40])
def test_what_is_left_is_made_of_the_minutes_that_are(interval: str, back: int) -> None:
    end = open_of(interval, NOW - back * DAY) - 1 if back else NOW
    begin = open_of(interval, end - (2 if interval in {"1m", "5m"} else 20) * DAY)
    both = remains()
    for _ in range(2):
        found = both.exact(SYMBOL, interval, begin, end, NOW, scale=SCALE)
        assert found.data.tolist() == direct(interval, begin, end, NOW)


def test_other_symbols_lose_nothing() -> None:
    begin = open_of("1h", NOW - DAY)
    found = remains([Holes(symbol=("BTCUSDT",))]).exact(SYMBOL, "1h", begin, NOW, NOW, scale=SCALE)
    assert found.data.tolist() == SOURCE.exact(SYMBOL, "1h", begin, NOW, NOW).data.tolist()


@pytest.mark.parametrize("interval", ["5m", "1h", "1w"])
def test_after_the_steps_only_bars_that_are_not_closed_are_made(interval: str) -> None:
    source = Counted(1, 3)
    stepped, begin = remains(source=source), open_of(interval, NOW - 100 * DAY)
    for _ in stepped.steps(SYMBOL, interval, begin, NOW, NOW):
        pass
    source.bars = 0
    found = stepped.exact(SYMBOL, interval, begin, NOW, NOW, scale=SCALE)
    assert found.data.tolist() == remains().exact(SYMBOL, interval, begin, NOW, NOW, scale=SCALE).data.tolist()
    assert source.bars <= (100 * DAY // (5 * MINUTE) + 1 if interval == "5m" else 8 * DAY // MINUTE)


def test_a_long_range_takes_many_short_steps() -> None:
    fresh = remains(source=Synthetic(1, 3))
    assert sum(1 for _ in fresh.steps(SYMBOL, "1h", NOW - 100 * DAY, NOW, NOW)) >= 24
    assert sum(1 for _ in fresh.steps(SYMBOL, "1h", NOW - 100 * DAY, NOW - 10 * HOUR - 8 * DAY, NOW)) == 0
