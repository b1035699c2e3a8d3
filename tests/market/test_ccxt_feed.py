"""Any exchange of ccxt as a feed: over doubles of what exchanges do, and over the real ccxt on our own exchange."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

from tests.conftest import MakeSettings, served
from tradebot import commands, fetching, holding
from tradebot.clock import DAY, MINUTE, SteppedClock
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import (
    BadReply,
    ConfigError,
    UnknownName,
    VenueBusy,
    VenueRejected,
    VenueUnreachable,
)
from tradebot.market.ccxt_feed import CcxtFeed, make_exchange
from tradebot.market.memo import Memo
from tradebot.session import open_session
from tradebot.sim import open_prices

STEP = 5 * MINUTE
OPEN = 1_748_876_400_000  # of the bar that is open now
NOW = OPEN + 2 * MINUTE
Row = list[float]


class Exchange:
    """An exchange as ccxt shows it: bars from `first` to `last` places ago, with habits."""

    id = "double"
    precisionMode = 4  # noqa: N815 (the names are ccxt's)
    rateLimit = 50  # noqa: N815
    last_response_headers: dict[str, str] | None = None

    def __init__(
        self,
        first: int = 1000,
        last: int = 0,
        told: int | None = 500,
        most: int = 500,
        exclusive: bool = False,
        rounds_down: bool = False,
        newest_first: bool = False,
        windowed: bool = False,
        twice: bool = False,
    ) -> None:
        self.bars = [OPEN - place * STEP for place in range(first, last - 1, -1)]
        self.most, self.exclusive, self.rounds_down = most, exclusive, rounds_down
        self.newest_first, self.windowed, self.twice = newest_first, windowed, twice
        self.features = {"spot": {"fetchOHLCV": {"limit": told}}}
        self.has = {"fetchTime": True, "fetchTickers": True, "fetchLastPrices": False}
        self.timeframes = {"5m": "5", "1d": "1440"}
        self.markets = {"BTC/USDT": {"symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True}}
        self.faults: list[BaseException] = []
        self.asked: list[tuple[int | None, int]] = []
        self.loaded: list[bool] = []
        self.closed = False

    def _stumble(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def load_markets(self, reload: bool = False) -> Any:
        self._stumble()
        self.loaded.append(reload)
        return self.markets

    async def fetch_time(self) -> int:
        self._stumble()
        return NOW

    async def fetch_tickers(self) -> Any:
        self._stumble()
        return {"BTC/USDT": {"last": 2.0, "bid": 1.9, "ask": 2.1, "quoteVolume": 9.0}}

    async def fetch_ohlcv(self, symbol: str, interval: str, since: int | None, limit: int) -> list[Row]:
        self.asked.append((since, limit))
        self._stumble()
        assert symbol == "BTC/USDT"
        count = min(limit, self.most)
        if since is None:
            chosen = self.bars[-count:]
        else:
            since -= since % STEP if self.rounds_down else 0
            after = [time for time in self.bars if time > since or (time == since and not self.exclusive)]
            chosen = [time for time in after[:count] if not self.windowed or time <= since + count * STEP]
        rows: list[Row] = [[time, 2.0, 3.0, 1.0, 2.0, 5.0] for time in chosen]
        rows += rows[-1:] if self.twice else []
        return rows[::-1] if self.newest_first else rows

    async def close(self) -> None:
        self.closed = True


def feed(exchange: Exchange, folder: Path | None = None, retries: int = 3) -> CcxtFeed:
    return CcxtFeed(exchange, clock=SteppedClock(NOW), memory=Memo(folder, "ccxt:double"), retries=retries)


SHORT = "pages shorter than told"
HABITS: dict[str, Callable[[], Exchange]] = {
    "plain": Exchange,
    "newest first": lambda: Exchange(newest_first=True),
    "a bound that is exclusive": lambda: Exchange(exclusive=True),
    "a bound that is rounded down": lambda: Exchange(rounds_down=True),
    "a window instead of a number": lambda: Exchange(windowed=True),
    "a row twice": lambda: Exchange(twice=True),
    SHORT: lambda: Exchange(most=40),
    "no word of the page's length": lambda: Exchange(told=None),
    "all at once": lambda: Exchange(told=60, most=60, newest_first=True, rounds_down=True, twice=True),
}


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
@pytest.mark.parametrize("places", [1, 2, 60, 61, 62, 201, 499, 500, 501, 502, 900])
async def test_whatever_the_habit_the_closed_bars_are_those_from_the_start_on_oldest_first(
    habit: Callable[[], Exchange], places: int
) -> None:
    found = await feed(habit()).klines("BTC-USDT", "5m", OPEN - places * STEP, places + 1)
    wanted = [OPEN - place * STEP for place in range(places, 0, -1)]
    # An exchange whose pages are shorter than it says cannot be told from one whose newest bar is late.
    assert found.open_time.tolist() in ([*wanted, OPEN], wanted, *([wanted[:-1]] if habit is HABITS[SHORT] else []))


@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
async def test_without_a_start_they_are_the_newest(habit: Callable[[], Exchange]) -> None:
    found = await feed(habit()).klines("BTC-USDT", "5m", None, 100)
    assert found.open_time.tolist() == [OPEN - place * STEP for place in range(99, -1, -1)]


@pytest.mark.parametrize("last", [0, 1, 2], ids=["open bar there", "open bar not there", "newest closed bar late"])
async def test_one_request_is_enough_whether_the_open_bar_is_there_or_not(last: int) -> None:
    exchange = Exchange(last=last)
    found = await feed(exchange).klines("BTC-USDT", "5m", OPEN - 10 * STEP, 12)
    assert found.open_time.tolist() == [OPEN - place * STEP for place in range(10, last - 1, -1)]
    assert len(exchange.asked) == 1


async def test_no_more_than_the_limit_from_the_start_on_and_none_before_it() -> None:
    found = await feed(Exchange()).klines("BTC-USDT", "5m", OPEN - 100 * STEP, 3)
    assert found.open_time.tolist() == [OPEN - place * STEP for place in (100, 99, 98)]


async def test_an_exchange_that_has_nothing_is_asked_once() -> None:
    exchange = Exchange(first=-1)
    assert len(await feed(exchange).klines("BTC-USDT", "5m", OPEN - 10 * STEP, 12)) == 0
    assert len(exchange.asked) == 1


async def test_the_first_of_all_bars_is_the_oldest_of_the_longest_page() -> None:
    exchange = Exchange(first=300)
    found = await feed(exchange).klines("BTC-USDT", "5m", 0, 1)
    assert found.open_time.tolist() == [OPEN - 300 * STEP]
    assert exchange.asked == [(None, 500)]


async def test_an_interval_that_the_exchange_does_not_have_is_told() -> None:
    with pytest.raises(ConfigError, match="ccxt:double has no interval '15m'; did you mean '5m'"):
        await feed(Exchange()).klines("BTC-USDT", "15m", None, 1)


# --- faults


async def test_a_fault_that_can_pass_is_tried_again_and_another_is_not() -> None:
    exchange = Exchange()
    venue = feed(exchange, retries=2)
    exchange.faults = [ccxt.RequestTimeout("late"), ccxt.NullResponse("nothing")]
    assert len(await venue.klines("BTC-USDT", "5m", OPEN, 1)) == 1
    assert venue.requests == 3
    exchange.faults = [ccxt.BadSymbol("BTC/USDT")]
    with pytest.raises(VenueRejected, match="ccxt:double: BadSymbol"):
        await venue.klines("BTC-USDT", "5m", OPEN, 1)
    exchange.faults = [ccxt.ExchangeNotAvailable("down")] * 3
    with pytest.raises(VenueUnreachable):
        await venue.prices()
    assert exchange.faults == []


async def test_what_ccxt_cannot_read_is_a_bad_reply() -> None:
    exchange = Exchange()
    exchange.faults = [KeyError("result")]
    with pytest.raises(BadReply, match="KeyError"):
        await feed(exchange, retries=0).tickers()


async def test_after_too_many_requests_nothing_is_sent_until_the_time_is_over_also_by_others(tmp_path: Path) -> None:
    exchange, clock = Exchange(), SteppedClock(NOW)
    exchange.last_response_headers = {"Retry-After": "30"}
    exchange.faults = [ccxt.DDoSProtection("418")]
    venue = CcxtFeed(exchange, clock=clock, memory=Memo(tmp_path, "ccxt:double"))
    with pytest.raises(VenueBusy):
        await venue.klines("BTC-USDT", "5m", OPEN, 1)
    with pytest.raises(VenueBusy, match=r"allows no request until 2\d{3}-.* UTC"):
        await venue.prices()
    later = CcxtFeed(exchange, clock=clock, memory=Memo(tmp_path, "ccxt:double"))
    with pytest.raises(VenueBusy):
        await later.__aenter__()
    assert exchange.closed
    assert len(exchange.asked) == 1
    clock.advance(NOW + 30_000)
    async with later:
        assert len(await later.klines("BTC-USDT", "5m", OPEN, 1)) == 1


async def test_a_failure_at_the_start_closes_the_connections() -> None:
    exchange = Exchange()
    exchange.faults = [ccxt.ExchangeNotAvailable("down")]
    with pytest.raises(VenueUnreachable):
        async with feed(exchange, retries=0):
            pass
    assert exchange.closed


# --- what an exchange offers


async def test_markets_are_read_at_the_start_and_anew_when_the_rules_are(tmp_path: Path) -> None:
    exchange = Exchange()
    async with feed(exchange) as venue:
        assert list(await venue.instruments()) == ["BTC-USDT"]
        await venue.instruments()
    assert exchange.loaded == [False, False, True]
    assert exchange.closed


async def test_the_clock_is_the_exchanges_or_else_the_programs() -> None:
    exchange = Exchange()
    venue = feed(exchange)
    assert await venue.time() == NOW
    exchange.has["fetchTime"] = False
    assert await venue.time() == NOW
    assert venue.requests == 1


async def test_without_tickers_there_are_no_statistics_and_no_prices() -> None:
    exchange = Exchange()
    venue = feed(exchange)
    assert await venue.prices() == {"BTC-USDT": Decimal(2)}
    assert (await venue.tickers())["BTC-USDT"].quote_volume == 9.0
    exchange.has["fetchTickers"] = False
    with pytest.raises(ConfigError, match=r"name them in universe\.symbols"):
        await venue.tickers()
    with pytest.raises(ConfigError, match="nobody can trade there"):
        await venue.prices()


def test_an_unknown_exchange_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown exchange 'krakn' of ccxt; did you mean 'kraken'"):
        make_exchange("krakn", "", 10.0)


def test_without_ccxt_the_command_that_brings_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    with pytest.raises(ConfigError, match=r"needs the package ccxt: pip install 'tradebot\[ccxt\]'"):
        make_exchange("kraken", "", 10.0)


async def test_another_address_takes_all_requests_and_the_limiter_stays_on() -> None:
    exchange = make_exchange("binance", "http://127.0.0.1:9/", 3.0)

    def addresses(tree: Any) -> list[str]:
        return [tree] if isinstance(tree, str) else [each for branch in tree.values() for each in addresses(branch)]

    assert {address.partition("9/")[0] for address in addresses(exchange.urls["api"])} == {"http://127.0.0.1:"}
    assert exchange.enableRateLimit
    assert exchange.timeout == 3000
    assert exchange.options["fetchMarkets"]["types"] == ["spot"]


# --- the real ccxt on our own exchange


@asynccontextmanager
async def there(make_settings: MakeSettings, **changes: object) -> AsyncIterator[Settings]:
    """Settings of a venue that ccxt reaches: the simulated exchange, whose clock runs."""
    async with served(make_settings(sim__clock="real")) as url:
        yield make_settings(venue__name="ccxt:binance", venue__base_url=url, **changes)


async def test_klines_by_ccxt_are_the_exchanges_own(make_settings: MakeSettings) -> None:
    async with there(make_settings) as settings, open_session(settings) as session:
        now = await session.feed.time()
        first = now // DAY * DAY
        found = await session.feed.klines("ETH-USDT", "5m", first, 100)
        truth = open_prices(settings).exact("ETHUSDT", "5m", first, now, now).klines().data[:, : len(found)]
        assert len(found) >= 100
        assert np.array_equal(found.data[:6], truth[:6])
        assert not found.data[6:].any()


async def test_rules_and_statistics_by_ccxt_are_the_exchanges_own(make_settings: MakeSettings) -> None:
    async with there(make_settings) as settings, open_session(settings) as session:
        for symbol, own in open_prices(settings).instruments().items():
            found = session.instruments[f"{own.base}-{own.quote}"]
            assert (found.tick, found.step, found.min_notional) == (own.tick, own.step, own.min_notional), symbol
        tickers, prices = await session.feed.tickers(), await session.feed.prices()
        assert set(tickers) == set(prices) == set(session.instruments)
        assert all(tickers[symbol].bid < tickers[symbol].last < tickers[symbol].ask for symbol in tickers)


async def test_fetch_analyze_and_a_cycle_on_paper(make_settings: MakeSettings) -> None:
    async with there(make_settings, strategy__min_score=0.05, model__threshold=0.0, universe__top=4) as settings:
        fetched = await fetching.fetch(settings)
        assert fetched["errors"] == []
        assert {(each["symbol"].count("-"), each["rows"]) for each in fetched["series"]} == {(1, 200)}
        analyzed = await commands.analyze(settings)
        assert analyzed["skipped"] == []
        documents: list[Document] = []
        await holding.run(settings, 1, documents.append)
    (cycle,) = documents
    assert cycle["warnings"] == cycle["left"] == []
    assert cycle["symbols"] == 4
    entries = [order for order in cycle["orders"] if order["intent"] == "enter"]
    assert entries
    assert {order["status"] for order in entries} == {"FILLED"}
    assert all(position["symbol"].endswith("-USDT") for position in cycle["positions"])


async def test_an_unknown_symbol_is_answered_with_the_nearest(make_settings: MakeSettings) -> None:
    async with there(make_settings, universe__symbols=("ETH/USDC",)) as settings:
        with pytest.raises(UnknownName, match="unknown symbol 'ETH-USDC'; did you mean 'ETH-USDT'"):
            await fetching.fetch(settings)


async def test_an_exchange_that_is_not_there_is_unreachable(make_settings: MakeSettings) -> None:
    settings = make_settings(venue__name="ccxt:binance", venue__base_url="http://127.0.0.1:9", venue__retries=0)
    said = r"ccxt:binance: GET http://127\.0\.0\.1:9/api/\S+: connection refused; is the venue up\? see --base-url$"
    with pytest.raises(VenueUnreachable, match=said):
        async with open_session(settings):
            pass


@pytest.mark.parametrize(("silent", "said"), [(False, "connection cut off"), (True, "no answer in time")])
async def test_a_connection_that_fails_is_told_in_our_words(silent: bool, said: str) -> None:
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        if silent:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        venue = CcxtFeed(make_exchange("kraken", url, 0.5), clock=SteppedClock(NOW), memory=Memo(None, "k"), retries=0)
        with pytest.raises(VenueUnreachable, match=f"ccxt:kraken: GET {url}/0/public/Assets: {said}; is the venue up"):
            await venue.__aenter__()
        over.set()
