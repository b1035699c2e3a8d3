"""From when to when there is something to learn from, and what is said where there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tradebot.errors import MarketError, UsageError
from tradebot.past import END, Played, Source, period
from tradebot.sim.playback import Playback

BEGIN = 20_000 * 86_400_000


@dataclass(frozen=True)
class Fixed:
    """A source with klines from day 10 to day 20."""

    name: str = "it"
    remedy: str = "fetch them"

    def symbols(self) -> list[str]:
        return ["A"]

    def span(self, symbols: object) -> tuple[int, int]:
        return BEGIN + 10 * 86_400_000, BEGIN + 20 * 86_400_000

    usual = span

    def lacks(self, *_: object) -> Any:
        raise AssertionError

    def read(self, *_: object) -> Any:
        raise AssertionError


class TestFiles:
    def test_an_interval_that_is_not_in_them_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "ETHBTC-1h.csv").write_text("open_time,open,high,low,close,volume\n1516406400000,1,1,1,1,1\n")
        source = Played(Playback(tmp_path), "the files", "5m", END)
        with pytest.raises(MarketError, match=r"no 5m klines of these symbols in the files; see market\.intervals"):
            period(source, ["ETHBTC"], None, None)


class TestPeriod:
    SOURCE: Source = Fixed()

    @pytest.mark.parametrize(
        ("since", "until", "days"),
        [(None, None, (10, 20)), (12, None, (12, 20)), (None, 15, (10, 15)), (9.5, 20.5, (10, 20)), (12, 13, (12, 13))],
    )
    def test_is_what_was_asked_for_as_far_as_there_is_something(
        self, since: float | None, until: float | None, days: tuple[int, int]
    ) -> None:
        asked = [None if day is None else str(BEGIN + round(day * 86_400_000)) for day in (since, until)]
        assert period(self.SOURCE, ["A"], *asked) == tuple(BEGIN + day * 86_400_000 for day in days)

    @pytest.mark.parametrize(("since", "until"), [(8, None), (None, 22), (30, None), (None, 5)])
    def test_what_is_not_there_is_refused_with_the_remedy(self, since: int | None, until: int | None) -> None:
        asked = [None if day is None else str(BEGIN + day * 86_400_000) for day in (since, until)]
        with pytest.raises(MarketError, match="fetch them"):
            period(self.SOURCE, ["A"], *asked)

    def test_backwards_is_no_period(self) -> None:
        with pytest.raises(UsageError, match="is not before"):
            period(self.SOURCE, ["A"], "2025-01-02", "2025-01-01")
        with pytest.raises(UsageError, match="not a time"):
            period(self.SOURCE, ["A"], "yesterday", None)
