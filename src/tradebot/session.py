"""One open venue: its clock, its client, the account that orders go to and the kline store.

The only place that knows how the parts are plugged together. Paper trading is no second code
path: the broker is the same client over an in-process transport to the simulated exchange. On
the simulated venue that is the venue itself; on another one it is an exchange whose prices are
the marks that the feed has shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import httpx

from tradebot import sim
from tradebot.clock import Clock, RealClock, SteppedClock
from tradebot.config import Settings
from tradebot.errors import BadReply, MarketError, UsageError, VenueRejected
from tradebot.identity import SIM, account_key, address, exchange_file, limits_file, venue_key
from tradebot.market import ccxt_feed
from tradebot.market.bars import interval_ms
from tradebot.market.binance import OWN_TIME, VENUES, BinanceClient, Credentials
from tradebot.market.futures import FuturesClient
from tradebot.market.memo import Memo
from tradebot.market.profiles import PREFIX
from tradebot.market.scout import Scout
from tradebot.market.store import KlineStore
from tradebot.market.tally import FileTally, Tally
from tradebot.market.venue import Feed, Instrument

if TYPE_CHECKING:  # 0.05 s that market data of another venue has no use for
    from tradebot.paper import PaperAccount
    from tradebot.sim.engine import Exchange
    from tradebot.sim.futures.engine import Futures

log = logging.getLogger(__name__)
LOOK_S = 0.02  # real seconds between looks at a clock that somebody else moves
Wrap: TypeAlias = Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]


class Link(NamedTuple):
    """How a client reaches its venue: over the network, or in process as the holder of the paper key."""

    transport: httpx.AsyncBaseTransport | None = None
    credentials: Credentials | None = None


class FollowedClock(SteppedClock):
    """The clock of a stepped venue behind a network: asked for, or moved on when `drive` is set."""

    def __init__(self, venue: BinanceClient, start: int, *, drive: bool) -> None:
        super().__init__(start, drive=drive)
        self._venue = venue

    async def sleep_until(self, moment: int) -> None:
        """Return when the venue's clock has reached `moment`; it is asked every `LOOK_S`, which weighs nothing."""
        while moment > self.now():
            try:
                look = self._venue.sim_advance(moment) if self.drive else self._venue.sim_now()
                self.advance(await look)
            except MarketError as error:  # the venue may come back; its clock stands still meanwhile
                log.debug("the venue's clock could not be read: %s", error)
            if moment > self.now():
                await asyncio.sleep(LOOK_S)


@dataclass(eq=False)
class Session:
    """An open venue. `venue` keys the klines; `broker` is there if it was opened for trading."""

    settings: Settings
    venue: str
    clock: Clock
    feed: Feed
    store: KlineStore
    scout: Scout
    broker: BinanceClient | None = None
    paper: PaperAccount | None = None

    @property
    def account(self) -> str:
        """Name under which orders and positions are kept."""
        return account_key(self.settings)

    @property
    def stands_still(self) -> bool:
        """Whether venue time passes only when somebody moves it."""
        return isinstance(self.clock, SteppedClock)

    @property
    def remote(self) -> bool:
        """Whether the venue keeps a clock of its own, apart from the program's."""
        return self.settings.venue.name != SIM

    @property
    def used(self) -> tuple[int, int]:
        """Requests to the venue so far and their weight, those about orders of a real account included."""
        if self.broker is None or self.settings.trading.mode == "paper":
            return self.feed.requests, self.feed.weight
        return self.feed.requests + self.broker.requests, self.feed.weight + self.broker.weight

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The trading rules by symbol: one mapping, kept up to date by `scout`."""
        return self.scout.instruments

    def mark(self, prices: Mapping[str, Decimal]) -> None:
        """Show the paper account the venue's prices."""
        if self.paper is not None:
            self.paper.mark(prices)

    async def play(self) -> list[str]:
        """Show the paper account the bars that closed since the last time; trouble with that, a line each."""
        return [] if self.paper is None else await self.paper.play(self.feed, self.store)


def _client(settings: Settings, clock: Clock, url: str, link: Link, tally: Tally | None = None) -> BinanceClient:
    venue = settings.venue
    profile = VENUES[venue.name if venue.name in VENUES else "binance"]
    return (FuturesClient if profile.contracts else BinanceClient)(
        profile, clock=clock, base_url=url,
        timeout_s=venue.timeout_s, connections=venue.connections, retries=venue.retries,
        transport=link.transport, credentials=link.credentials, share=venue.weight_share, tally=tally,
    )  # fmt: skip


def _over_network(settings: Settings, clock: Clock, credentials: Credentials | None = None) -> BinanceClient:
    link = Link(None, credentials)
    return _client(settings, clock, address(settings), link, FileTally(limits_file(settings)))


def _in_process(
    exchange: Exchange, settings: Settings, wrap: Wrap | None = None, futures: Futures | None = None
) -> Link:
    from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
    from tradebot.sim.inside import Inside

    app = create_app(exchange, weight_limit=settings.sim.weight_limit, futures=futures)
    transport: httpx.AsyncBaseTransport = Inside(app, settings.sim.latency_ms)
    if (plan := exchange.prices.plan) is not None:
        from tradebot.sim.fault_transport import FaultTransport

        transport = FaultTransport(transport, plan, exchange.clock)
    return Link(wrap(transport) if wrap else transport, Credentials(PAPER_KEY, PAPER_SECRET))


async def _venue_clock(settings: Settings, stack: AsyncExitStack) -> Clock:
    """The clock of the venue behind the network: real, or what a simulated venue says of its own.

    While the venue wants silence it is not even asked for its time: the clock then is as processes before
    have left it, and a simulated venue's own is read from its control endpoint, which is not the venue.
    """
    clock = RealClock()
    venue = await stack.enter_async_context(_over_network(settings, clock))
    known = venue.budget.known
    if known.own_time and await _simulated(venue):
        return await _own_clock(settings, venue)
    clock.sync(clock.now() + known.ahead, 0.0)
    await venue.time()
    if venue.sim_clock in OWN_TIME:
        return await _own_clock(settings, venue)
    await venue.time()  # on a warm connection: the first answer was late by the time to connect
    return clock


async def _simulated(venue: BinanceClient) -> bool:
    """Whether the venue still has a clock of its own to read."""
    try:
        await venue.sim_now()
    except (VenueRejected, BadReply):
        return False
    return venue.sim_clock in OWN_TIME


async def _own_clock(settings: Settings, venue: BinanceClient) -> Clock:
    now = await venue.sim_now()
    if venue.sim_clock == "scaled":
        return RealClock(start=now, speed=venue.sim_speed)
    return FollowedClock(venue, now, drive=settings.run.step)


async def _open_sim(
    settings: Settings, stack: AsyncExitStack, trading: bool, wrap: Wrap | None, _: Credentials | None
) -> Session:
    venue, clock, plan = venue_key(settings), sim.sim_clock(settings), sim.open_plan(settings)
    account = exchange_file(settings, "paper", sim.account(settings)) if trading else None
    exchange = sim.open_exchange(settings, clock, account, plan)
    stack.callback(exchange.close)
    if plan is not None and plan.skewed and isinstance(clock, RealClock):
        # Of two that share a clock none can be early or late for the other.
        clock = RealClock(start=clock.now(), speed=clock.speed)
    link = _in_process(exchange, settings, wrap)
    feed = await stack.enter_async_context(_client(settings, clock, "http://sim", link))
    store = stack.enter_context(KlineStore(settings.data_path / "klines", venue))
    scout = Scout(feed, clock, settings.universe, Memo(None, venue))
    await scout.open()
    return Session(settings, venue, clock, feed, store, scout, feed)


async def _feed(settings: Settings, stack: AsyncExitStack, memory: Memo) -> tuple[Feed, Clock]:
    """The client of a venue behind the network, and its clock."""
    venue = settings.venue
    if not venue.name.startswith(PREFIX):
        clock = await _venue_clock(settings, stack)
        return await stack.enter_async_context(_over_network(settings, clock)), clock
    with settings.blaming("venue.name"):
        exchange = ccxt_feed.make_exchange(venue.name.removeprefix(PREFIX), venue.base_url, venue.timeout_s)
    clock = RealClock()
    feed = await stack.enter_async_context(
        ccxt_feed.CcxtFeed(exchange, clock=clock, memory=memory, connections=venue.connections, retries=venue.retries)
    )
    await feed.time()
    return feed, clock


async def _open_remote(
    settings: Settings, stack: AsyncExitStack, trading: bool, wrap: Wrap | None, credentials: Credentials | None
) -> Session:
    name = settings.venue.name
    if trading and name in VENUES and not VENUES[name].trades:
        raise UsageError(f"orders on {name} are not built yet; use fetch, analyze and predict there")
    venue = venue_key(settings)
    memory = Memo(settings.data_path / "known", venue)
    feed, clock = await _feed(settings, stack, memory)
    scout = Scout(feed, clock, settings.universe, memory)
    await scout.open()
    store = stack.enter_context(KlineStore(settings.data_path / "klines", venue))
    session = Session(settings, venue, clock, feed, store, scout)
    if trading and settings.trading.mode == "paper":
        await _open_paper(session, stack, wrap)
    elif trading:
        # A client of its own: orders wait behind no klines.
        session.broker = await stack.enter_async_context(_over_network(settings, clock, credentials))
    if isinstance(session.broker, FuturesClient):
        await session.broker.prepare(settings.trading.leverage)
    return session


async def _open_paper(session: Session, stack: AsyncExitStack, wrap: Wrap | None) -> None:
    """The account of a venue over the network: an exchange of our own at the prices that it is shown.

    What happened while nobody looked is played before it is asked for anything.
    """
    from tradebot.paper import PaperAccount
    from tradebot.sim.prices import Marked

    settings, clock = session.settings, session.clock
    marked, name = Marked(session.instruments), settings.venue.name
    intervals, deadline_s = settings.market.intervals, settings.run.fetch_deadline_s
    account = exchange_file(settings, "paper", session.venue)
    exchange = sim.paper_exchange(settings, marked, clock, account, sim.open_plan(settings))
    stack.callback(exchange.close)
    futures: Futures | None = None
    if name not in VENUES or not VENUES[name].contracts:
        session.paper = PaperAccount(exchange, marked, clock, intervals, patience_s=deadline_s)
    else:
        from tradebot.paper_futures import PaperContracts
        from tradebot.sim.futures.engine import Futures

        futures = Futures(exchange)
        stack.callback(futures.close)
        marked.mark(await session.feed.prices())  # margin is counted by them, whatever is asked
        session.paper = PaperContracts(futures, exchange, marked, clock, intervals, patience_s=deadline_s)
    for trouble in await session.play():
        log.warning("%s", trouble)
    link = _in_process(exchange, settings, wrap, futures)
    session.broker = await stack.enter_async_context(_client(settings, clock, "http://paper", link))


@asynccontextmanager
async def open_session(
    settings: Settings, *, trading: bool = False, wrap: Wrap | None = None, credentials: Credentials | None = None
) -> AsyncIterator[Session]:
    """The venue of the settings, its clock synchronised and its instruments known.

    With `trading` the account is opened too: the paper account, or in the other modes that of `credentials`
    (`modes.permit`). `wrap` is put around the in-process transport to the
    simulated exchange: the place for faults. Raises `UnknownName` for a venue that is not
    registered, `ConfigError` for an interval that does not exist, and a `MarketError` if the venue
    does not answer.
    """
    venue_key(settings)
    with settings.blaming("market.intervals"):
        for interval in settings.market.intervals:
            interval_ms(interval)
    async with AsyncExitStack() as stack:
        opener = _open_sim if settings.venue.name == SIM else _open_remote
        yield await opener(settings, stack, trading, wrap, credentials)
