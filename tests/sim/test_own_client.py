"""Our own client meets each fault of the exchange, in process and on sockets, and does what is right then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import httpx
import pytest
from exchanging import NOW
from faulty import Venue, in_process, listening, on_socket

from tradebot.clock import MINUTE, Clock, RealClock, SteppedClock
from tradebot.errors import (
    MarketError,
    OrderRejected,
    OrderUnknown,
    TradebotError,
    VenueBusy,
    VenueRejected,
    VenueUnreachable,
)
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.venue import Order, Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET
from tradebot.sim.fault_plan import parse_spec
from tradebot.sim.fault_transport import FaultTransport

SYMBOL = "ETHUSDT"
RETRIES = 2


class Rig:
    """A venue under faults, our client of it, and a clock of the client's own that goes with the venue's."""

    def __init__(self, venue: Venue, transport: httpx.AsyncBaseTransport | None, url: str) -> None:
        self.venue = venue
        self.clock = SteppedClock(NOW)
        self._transport, self._url = transport, url

    def client(self, clock: Clock | None = None, **options: Any) -> BinanceClient:
        return BinanceClient(
            VENUES["binance"], clock=clock or self.clock, transport=self._transport, base_url=self._url,
            credentials=Credentials(PAPER_KEY, PAPER_SECRET), **{"retries": RETRIES, **options},
        )  # fmt: skip

    async def under(self, *specs: str) -> None:
        await self.venue.under(*[parse_spec(spec) for spec in specs])

    async def advance(self, to: int) -> None:
        reply = await self.venue.http.post("/sim/clock", json={"now": to})
        assert reply.status_code == 200
        self.clock.advance(to)

    @property
    def requests(self) -> int:
        return self.venue.plan.requests


@pytest.fixture(params=["in process", "socket"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    venue = Venue()
    with ExitStack() as stack:
        if request.param == "socket":
            url = stack.enter_context(listening(venue))
            venue.http, transport = on_socket(url), None
        else:
            url, venue.http = "http://sim", in_process(venue)
            transport = FaultTransport(httpx.ASGITransport(venue.app), venue.plan, venue.clock)
        async with venue.http:
            yield Rig(venue, transport, url)
    venue.exchange.close()


async def failure(call: Any) -> TradebotError:
    with pytest.raises(TradebotError) as caught:
        await call
    return caught.value


PASSING = [
    "backend-timeout", "server-error", "server-error status=502 code=0", "server-error code=-1006",
    "server-error status=504 code=-1001", "unavailable says=unknown", "unavailable says=unavailable",
    "unavailable says=internal", "html", "truncated", "truncated clean=true", "dropped", "dropped how=reset",
    "executed-dropped", "executed-dropped how=reset", "refused",
]  # fmt: skip


@pytest.mark.parametrize("spec", PASSING)
async def test_a_read_that_fails_in_passing_is_asked_again_and_one_that_fails_on_is_not_for_ever(
    rig: Rig, spec: str
) -> None:
    async with rig.client() as client:
        await rig.under(f"{spec} nth=1 path=klines")
        assert len(await client.klines(SYMBOL, "5m", None, 3)) == 3
        assert rig.requests == 2
        await rig.under(f"{spec} path=klines times=9")
        error = await failure(client.klines(SYMBOL, "5m", None, 3))
        assert isinstance(error, MarketError)
        assert error.retryable
        assert rig.requests == 1 + RETRIES


@pytest.mark.parametrize("spec", ["slow-body pieces=50 pause_ms=100", "latency ms=5000"])
async def test_what_takes_too_long_is_given_up(rig: Rig, spec: str) -> None:
    async with rig.client(timeout_s=0.6, retries=0) as client:
        await rig.under(f"{spec} path=klines")
        error = await failure(client.klines(SYMBOL, "5m", None, 3))
        assert isinstance(error, VenueUnreachable)
        assert "no answer in time" in str(error)
        assert rig.requests == 1


async def test_what_is_merely_slow_is_waited_for(rig: Rig) -> None:
    async with rig.client() as client:
        await rig.under("slow-body pieces=5 pause_ms=5", "latency ms=20")
        assert len(await client.klines(SYMBOL, "5m", None, 3)) == 3
        assert rig.requests == 1


@pytest.mark.parametrize(
    ("spec", "status", "wait_ms"),
    [
        ("limited seconds=7", 429, 7_000), ("banned seconds=120", 418, 120_000),
        ("banned seconds=90 header=false", 418, 90_000), ("forbidden", 403, 5 * MINUTE),
    ],
)  # fmt: skip
async def test_when_the_venue_wants_silence_nothing_is_sent_before_its_end(
    rig: Rig, spec: str, status: int, wait_ms: int
) -> None:
    async with rig.client() as client:
        await rig.under(f"{spec} path=klines nth=1")
        error = await failure(client.klines(SYMBOL, "5m", None, 3))
        assert isinstance(error, VenueBusy)
        assert (error.status, error.wait_ms) == (status, wait_ms)
        for call in (client.klines(SYMBOL, "5m", None, 3), client.time(), client.prices(), client.submit(order("no"))):
            assert isinstance(await failure(call), VenueBusy)
        await rig.advance(NOW + wait_ms - 1)
        assert isinstance(await failure(client.time()), VenueBusy)
        assert rig.requests == 1
        await rig.advance(NOW + wait_ms)
        assert len(await client.klines(SYMBOL, "5m", None, 3)) == 3
        assert rig.requests == 2


async def test_a_venue_that_protects_itself_is_spared_klines_but_not_what_positions_need(rig: Rig) -> None:
    async with rig.client() as client:
        await rig.under("unavailable says=throttled path=klines nth=1")
        assert isinstance(await failure(client.klines(SYMBOL, "5m", None, 3)), VenueBusy)
        assert await client.prices()
        assert (await client.submit(order("one"))).status == "FILLED"
        assert isinstance(await failure(client.klines(SYMBOL, "5m", None, 3)), VenueBusy)
        assert rig.requests == 3
        await rig.advance(NOW + MINUTE)
        assert await client.klines(SYMBOL, "5m", None, 3)


async def test_too_many_orders_hold_up_orders_and_nothing_else(rig: Rig) -> None:
    async with rig.client() as client:
        await rig.under("limited what=orders seconds=10 path=order method=POST nth=1")
        assert isinstance(await failure(client.submit(order("one"))), VenueBusy)
        assert isinstance(await failure(client.submit(order("two"))), VenueBusy)
        assert await client.klines(SYMBOL, "5m", None, 3)
        assert rig.requests == 2
        await rig.advance(NOW + 10_000)
        assert (await client.submit(order("three"))).status == "FILLED"


@pytest.mark.parametrize(
    ("spec", "what"), [("restricted", "does not serve this location"), (f"delisted symbol={SYMBOL}", "code -1121")]
)
async def test_what_no_retry_can_help_is_asked_once(rig: Rig, spec: str, what: str) -> None:
    async with rig.client() as client:
        await rig.under(spec)
        error = await failure(client.klines(SYMBOL, "5m", None, 3))
        assert isinstance(error, VenueRejected)
        assert what in str(error)
        assert rig.requests == 1


async def test_words_that_nobody_has_heard_of_are_let_through(rig: Rig) -> None:
    async with rig.client() as client:
        await rig.under("unknown-fields", "unknown-status", "duplicated-trades")
        known = await client.instruments()
        assert {each.status for each in known.values()} == {"UNDER_REVIEW"}
        assert not any(each.tradable for each in known.values())
        report = await client.submit(order("one"))
        assert (report.status, report.executed > 0) == ("UNDER_REVIEW", True)
        fills = await client.trades(SYMBOL, NOW)
        assert sum(fill.quantity for fill in fills) == report.executed


@pytest.mark.parametrize("skew", [-6_000, -1_100, 900, 1_100, 6_000])
async def test_a_clock_that_is_off_is_set_and_what_was_signed_is_signed_again(rig: Rig, skew: int) -> None:
    """A stepped clock stands for an exact one; the venue's goes wrong."""
    async with rig.client(RealClock(start=NOW)) as client:
        await rig.under(f"skew ms={skew}")
        assert (await client.submit(order("one"))).status == "FILLED"
        assert rig.requests in {1, 3}, "an order, or a refusal, the time and the order"
        assert (await client.balances())["ETH"].free > 0


def order(name: str) -> Order:
    return Order(SYMBOL, Side.BUY, name, quote_quantity=Decimal(100))


IN_DOUBT = [
    ("backend-timeout executed=true", True), ("backend-timeout", False), ("server-error executed=true", True),
    ("server-error status=502 code=0", False), ("server-error code=-1006 executed=true", True),
    ("unavailable says=unknown executed=true", True), ("unavailable says=unavailable", False),
    ("unavailable says=internal", False), ("unavailable says=throttled", False), ("html executed=true", True),
    ("html", False), ("truncated", True), ("truncated clean=true", True), ("dropped", False),
    ("dropped how=reset", False), ("executed-dropped", True), ("executed-dropped how=reset later_ms=20", True),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "executed"), IN_DOUBT)
async def test_an_order_in_doubt_is_sent_once_and_then_looked_up(rig: Rig, spec: str, executed: bool) -> None:
    async with rig.client(retries=5) as client:
        await rig.under(f"{spec} path=order method=POST")
        assert isinstance(await failure(client.submit(order("one"))), OrderUnknown)
        assert rig.requests == 1
        assert await rig.venue.comes_to("one", executed)
        found = await client.order(SYMBOL, "one")
        assert (found is not None and found.executed > 0) == executed


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("limited", VenueBusy), ("limited what=orders", VenueBusy), ("banned", VenueBusy), ("forbidden", VenueBusy),
        ("restricted", OrderRejected), (f"delisted symbol={SYMBOL}", OrderRejected),
        (f"halted symbol={SYMBOL}", OrderRejected), (f"filters symbol={SYMBOL} min_notional=5000", OrderRejected),
    ],
)  # fmt: skip
async def test_an_order_that_was_refused_is_sent_once_and_was_not_executed(
    rig: Rig, spec: str, kind: type[TradebotError]
) -> None:
    async with rig.client(retries=5) as client:
        await rig.under(spec)
        assert type(await failure(client.submit(order("one")))) is kind
        assert rig.requests == 1
        assert not rig.venue.executed("one")


async def test_an_order_that_never_left_is_not_called_one_in_doubt(rig: Rig) -> None:
    async with rig.client(retries=5) as client:
        await rig.under("refused")
        error = await failure(client.submit(order("one")))
        assert isinstance(error, VenueUnreachable)
        assert not error.sent
        assert not rig.venue.executed("one")


async def test_pages_of_klines_are_what_the_venue_has_and_no_longer_than_it_lets_them_be(rig: Rig) -> None:
    async with rig.client() as client:
        newest = await client.klines(SYMBOL, "1m", None, 5_000)
        assert (len(newest), newest.open_time[-1]) == (1_000, NOW // MINUTE * MINUTE)
        assert len(await client.klines(SYMBOL, "1m", NOW + MINUTE, 5)) == 0
        first = await client.klines(SYMBOL, "1d", 0, 1)
        assert first.open_time[0] == (await client.klines(SYMBOL, "1d", 0, 5_000)).open_time[0] > 0
