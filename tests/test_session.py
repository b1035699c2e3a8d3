"""How one venue is plugged together."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from tradebot import commands, fetching
from tradebot.clock import MINUTE, RealClock, SteppedClock, parse_time
from tradebot.config import Settings
from tradebot.errors import (
    ConfigError,
    OrderUnknown,
    UnknownName,
    VenueBusy,
    VenueUnreachable,
)
from tradebot.identity import venue_key
from tradebot.market.binance import BinanceClient
from tradebot.market.tally import decode
from tradebot.market.usage import WEIGHT
from tradebot.market.venue import Order, Side
from tradebot.session import FollowedClock, open_session

from .conftest import AT, MakeSettings, served

START = parse_time(AT)


def remote(make_settings: MakeSettings, url: str, **changes: object) -> Settings:
    return make_settings(venue__name="binance", venue__base_url=url, **changes)


async def test_the_simulated_venue_needs_no_network_and_is_its_own_paper_account(make_settings: MakeSettings) -> None:
    async with open_session(make_settings(), trading=True) as session:
        assert session.broker is session.feed
        assert isinstance(session.clock, SteppedClock)
        assert session.clock.now() == START
        assert (await session.broker.balances())["USDT"].free == Decimal(10000)
        assert len(session.instruments) == 6


async def test_the_paper_account_survives_from_one_session_to_the_next(make_settings: MakeSettings) -> None:
    async with open_session(make_settings(), trading=True) as session:
        assert session.broker is not None
        await session.broker.submit(Order("BTCUSDT", Side.BUY, "one", quote_quantity=Decimal(1000)))
        held = await session.broker.balances()
    async with open_session(make_settings(), trading=True) as session:
        assert session.broker is not None
        assert await session.broker.balances() == held
    assert held["BTC"].free > 0


async def test_a_venue_behind_a_network_is_traded_on_paper_at_its_prices(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url, open_session(remote(make_settings, url), trading=True) as session:
        assert session.broker is not None
        assert session.broker is not session.feed
        prices = await session.feed.prices()
        session.mark(prices)
        report = await session.broker.submit(Order("BTCUSDT", Side.BUY, "one", quote_quantity=Decimal(1000)))
        assert report.status == "FILLED"
        assert abs(report.average / prices["BTCUSDT"] - 1) < Decimal("0.001")


async def test_a_stepped_venue_behind_a_network_is_followed(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url, open_session(remote(make_settings, url)) as session:
        assert isinstance(session.clock, FollowedClock)
        assert session.clock.now() == START
        waiting = asyncio.create_task(session.clock.sleep_until(START + MINUTE))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await session.feed.sim_advance(START + MINUTE)
        await asyncio.wait_for(waiting, 5)
        assert session.clock.now() == START + MINUTE


async def test_a_stepped_venue_can_be_driven_by_who_waits(make_settings: MakeSettings) -> None:
    async with (
        served(make_settings()) as url,
        open_session(remote(make_settings, url, run__step=True)) as session,
    ):
        await asyncio.wait_for(session.clock.sleep_until(START + MINUTE), 5)
        assert await session.feed.time() == START + MINUTE


async def test_a_scaled_venue_is_followed_at_its_speed(make_settings: MakeSettings) -> None:
    fast = make_settings(sim__clock="scaled", sim__speed=600.0)
    async with served(fast) as url, open_session(remote(make_settings, url)) as session:
        assert isinstance(session.clock, RealClock)
        assert session.clock.speed == 600.0
        before = session.clock.now()
        await asyncio.sleep(0.1)
        assert 30_000 < session.clock.now() - before < 600_000


async def test_an_unknown_venue_or_interval_is_told_before_anything_is_asked(make_settings: MakeSettings) -> None:
    with pytest.raises(UnknownName, match="did you mean 'binance'"):
        async with open_session(make_settings(venue__name="binanc", venue__base_url="http://127.0.0.1:9")):
            pass
    with pytest.raises(ConfigError, match="unknown interval '7m'"):
        async with open_session(make_settings(market__intervals=("7m",))):
            pass


async def test_a_venue_that_is_not_there_is_unreachable(make_settings: MakeSettings) -> None:
    with pytest.raises(VenueUnreachable, match=r"127\.0\.0\.1:9"):
        async with open_session(remote(make_settings, "http://127.0.0.1:9", venue__retries=0)):
            pass


def plan(folder: Path, text: str) -> str:
    file = folder / "plan.toml"
    file.write_text(text)
    return str(file)


DROPPED = "[[fault]]\nkind = 'executed-dropped'\npath = 'order'\nmethod = 'POST'\nnth = 1\n"


async def test_the_simulated_venue_has_the_faults_of_the_settings(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(sim__faults=plan(tmp_path, DROPPED))
    async with open_session(settings, trading=True) as session:
        assert session.broker is not None
        with pytest.raises(OrderUnknown):
            await session.broker.submit(Order("BTCUSDT", Side.BUY, "one", quote_quantity=Decimal(1000)))
        report = await session.broker.order("BTCUSDT", "one")
        assert report is not None
        assert report.executed > 0


async def test_a_paper_account_has_them_too(make_settings: MakeSettings, tmp_path: Path) -> None:
    file = plan(tmp_path, DROPPED)
    async with (
        served(make_settings()) as url,
        open_session(remote(make_settings, url, sim__faults=file), trading=True) as session,
    ):
        assert session.broker is not None
        session.mark(await session.feed.prices())
        with pytest.raises(OrderUnknown):
            await session.broker.submit(Order("BTCUSDT", Side.BUY, "one", quote_quantity=Decimal(1000)))


async def test_a_clock_that_goes_wrong_is_not_the_programs_own(make_settings: MakeSettings, tmp_path: Path) -> None:
    file = plan(tmp_path, "[[fault]]\nkind = 'skew'\nms = 60000\n")
    settings = make_settings(sim__faults=file, sim__clock="real")
    async with open_session(settings, trading=True) as session:
        assert session.broker is not None
        before = session.clock.now()
        assert await session.broker.balances()
        assert 59_000 < session.clock.now() - before < 65_000
        assert await session.feed.time() - before < 65_000, "each look at the clock finds the same"


def test_faults_of_the_market_make_it_another_venue(make_settings: MakeSettings, tmp_path: Path) -> None:
    plain = venue_key(make_settings())
    assert venue_key(make_settings(sim__faults=plan(tmp_path, DROPPED))) == plain
    holes = venue_key(make_settings(sim__faults=plan(tmp_path, "[[fault]]\nkind = 'holes'\n")))
    assert holes.startswith(f"{plain}-faults-")
    assert venue_key(make_settings(sim__faults=plan(tmp_path, "seed = 2\n[[fault]]\nkind = 'holes'\n"))) != holes


def used(settings: Settings) -> int:
    """Weight that the processes of a data folder have used in the venue's minute."""
    (path,) = (settings.data_path / "limits").iterdir()
    usage = decode(path.read_bytes())
    return next(window.used for window in usage.windows if window.what == WEIGHT and window.begin <= START)


async def test_what_one_session_uses_of_the_limits_the_next_one_counts_on_from(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings, spent = remote(make_settings, url), []
        for _ in range(3):
            async with open_session(settings) as session:
                await session.feed.klines("BTCUSDT", "5m", None, 1)
            spent.append(used(settings))
    assert spent[0] < spent[1] < spent[2]


async def test_a_ban_of_a_session_before_is_known_without_asking_the_venue(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = remote(make_settings, url)
        async with open_session(settings) as session:
            assert isinstance(session.feed, BinanceClient)
            session.feed.budget.silence(2 * MINUTE)
        before = used(settings)
        with pytest.raises(VenueBusy, match="allows no request until"):
            async with open_session(settings) as session:
                await session.feed.time()
        assert used(settings) == before


async def test_futures_are_market_data_for_signals(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = make_settings(venue__name="binance-usdm", venue__base_url=url, strategy__min_score=0)
        document = await fetching.fetch(settings)
        assert (len(document["series"]), document["errors"]) == (18, [])
        assert document["weight"] == 1 + 18 * 2, "the rules, and 200 bars of each series"
        assert (await commands.predict(settings))["predictions"]
        async with open_session(settings) as session:
            assert isinstance(session.feed, BinanceClient)
            assert all(rules.min_notional > 0 for rules in session.instruments.values())
            assert len(await session.feed.klines("BTCUSDT", "5m", None, 9_999)) == 1_500
            assert (await session.feed.prices()).keys() == session.instruments.keys()
