"""From when to when there is something to learn from, and what is said where there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tradebot.config import Settings, Universe
from tradebot.errors import MarketError, UnknownName, UsageError
from tradebot.past import END, Played, Source, chosen, period
from tradebot.sim.playback import Playback

BEGIN = 20_000 * 86_400_000


@dataclass(frozen=True)
class Fixed:
    """A source with klines from day 10 to day 20."""

    name: str = "it"
    remedy: str = "fetch them"
    listed: tuple[str, ...] = ("A",)

    def symbols(self) -> tuple[str, ...]:
        return self.listed

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


class TestChosen:
    SOURCE = Fixed(listed=("BTCUSDT", "ETHBTC", "ETHUSDT", "UPUSDT"))

    @pytest.mark.parametrize(
        ("symbols", "exclude", "quote", "names"),
        [
            ((), (), "", ("BTCUSDT", "ETHBTC", "ETHUSDT", "UPUSDT")),
            (("ethusdt", "BTCUSDT"), (), "", ("ETHUSDT", "BTCUSDT")),
            (("*USDT",), (), "", ("BTCUSDT", "ETHUSDT", "UPUSDT")),
            (("ETH*", "*USDT"), ("UP*",), "usdt", ("ETHUSDT", "BTCUSDT")),
        ],
    )
    def test_are_those_that_the_universe_would_match(
        self, symbols: tuple[str, ...], exclude: tuple[str, ...], quote: str, names: tuple[str, ...]
    ) -> None:
        universe = Universe(symbols=symbols, exclude=exclude, quote=quote)
        assert chosen(Settings(universe=universe), self.SOURCE) == names

    @pytest.mark.parametrize(
        ("symbols", "message"),
        [("ETHUSD", "it: unknown symbol 'ETHUSD'; did you mean"), ("*EUR", r"it: no symbol matches '\*EUR'")],
    )
    def test_what_names_none_is_told(self, symbols: str, message: str) -> None:
        with pytest.raises(UnknownName, match=message):
            chosen(Settings(universe=Universe(symbols=(symbols,))), self.SOURCE)

    def test_nothing_that_is_left_is_told_with_the_remedy(self) -> None:
        with pytest.raises(MarketError, match=r"no klines to train on in it with universe\.quote = EUR; fetch them"):
            chosen(Settings(universe=Universe(quote="EUR")), self.SOURCE)
        with pytest.raises(MarketError, match="no klines to train on in it; fetch them"):
            chosen(Settings(universe=Universe(symbols=("*USDT",))), Fixed(listed=()))


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
