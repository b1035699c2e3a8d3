"""Faults in process, and what our own client makes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from faulty import Venue, in_process

from tradebot.clock import SteppedClock
from tradebot.errors import (
    BadReply,
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
from tradebot.sim.fault_data import DuplicatedTrades, UnknownFields, UnknownStatus
from tradebot.sim.fault_kinds import Dropped, ExecutedDropped, Html, Latency, Refused, Truncated
from tradebot.sim.fault_plan import parse_spec
from tradebot.sim.fault_transport import FaultTransport


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    venue = Venue()
    venue.http = in_process(venue)
    async with venue.http:
        yield venue


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[BinanceClient]:
    transport = FaultTransport(httpx.ASGITransport(venue.app), venue.plan, venue.clock)
    credentials = Credentials(PAPER_KEY, PAPER_SECRET)
    made = BinanceClient(
        VENUES["binance"], clock=venue.clock, transport=transport, base_url="http://sim", credentials=credentials,
        retries=0, timeout_s=0.3,
    )  # fmt: skip
    async with made:
        yield made


def order(name: str) -> Order:
    return Order("ETHUSDT", Side.BUY, name, quote_quantity=Decimal(10))


@pytest.mark.parametrize(
    ("spec", "error", "found"),
    [
        ("refused path=order method=POST", VenueUnreachable, False),
        ("dropped path=order method=POST", OrderUnknown, False),
        ("executed-dropped path=order method=POST", OrderUnknown, True),
        ("executed-dropped how=reset path=order method=POST", OrderUnknown, True),
        ("backend-timeout executed=true path=order method=POST", OrderUnknown, True),
        ("backend-timeout path=order method=POST", OrderUnknown, False),
        ("server-error status=502 code=0 executed=true path=order method=POST", OrderUnknown, True),
        ("unavailable says=unknown executed=true path=order method=POST", OrderUnknown, True),
        ("html executed=true path=order method=POST", OrderUnknown, True),
        ("truncated path=order method=POST", OrderUnknown, True),
        ("truncated clean=true path=order method=POST", OrderUnknown, True),
        ("limited path=order method=POST", VenueBusy, False),
        ("banned seconds=1 path=order method=POST nth=1", VenueBusy, False),
        ("forbidden path=order method=POST nth=1", VenueBusy, False),
        ("restricted path=order method=POST", OrderRejected, False),
        ("halted", OrderRejected, False),
        ("filters min_notional=50", OrderRejected, False),
        ("delisted", OrderRejected, False),
    ],
)
async def test_our_client_knows_which_orders_are_in_doubt(
    venue: Venue, client: BinanceClient, spec: str, error: type[TradebotError], found: bool
) -> None:
    await venue.under(parse_spec(spec))
    with pytest.raises(error):
        await client.submit(order("one"))
    await venue.under()
    venue.clock.advance(venue.clock.now() + 600_000)  # past every wait
    report = await client.order("ETHUSDT", "one")
    assert (report is not None) == found == venue.executed("one")


async def test_an_order_that_is_carried_out_late_is_not_there_at_first(venue: Venue, client: BinanceClient) -> None:
    await venue.under(ExecutedDropped(path="order", method="POST", later_ms=60))
    with pytest.raises(OrderUnknown):
        await client.submit(order("one"))
    assert await client.order("ETHUSDT", "one") is None
    await asyncio.sleep(0.1)
    report = await client.order("ETHUSDT", "one")
    assert report is not None
    assert report.executed > 0


async def test_what_is_to_be_carried_out_late_is_not_lost_when_the_client_leaves(venue: Venue) -> None:
    await venue.under(ExecutedDropped(later_ms=30))
    with pytest.raises(httpx.RemoteProtocolError):
        await venue.buy("one")
    await venue.http.aclose()
    assert venue.executed("one")


@pytest.mark.parametrize(
    ("spec", "error"),
    [("html path=klines", BadReply), ("truncated clean=true", BadReply), ("truncated", VenueUnreachable),
     ("restricted", VenueRejected), ("refused", VenueUnreachable), ("latency ms=900", VenueUnreachable)],
)  # fmt: skip
async def test_reads_fail_in_the_words_of_our_errors(
    venue: Venue, client: BinanceClient, spec: str, error: type[TradebotError]
) -> None:
    await venue.under(parse_spec(spec))
    with pytest.raises(error):
        await client.klines("ETHUSDT", "1m", None, 5)


async def test_our_client_reads_on_what_it_does_not_know(venue: Venue, client: BinanceClient) -> None:
    await venue.under(UnknownStatus(path="order"), UnknownFields(), DuplicatedTrades())
    report = await client.submit(order("one"))
    assert report.status == "UNDER_REVIEW"
    assert report.executed > 0
    fills = await client.trades("ETHUSDT", venue.clock.now())
    assert len({fill.trade_id for fill in fills}) == len(fills) > 0
    assert set(await client.instruments()) >= {"ETHUSDT", "BTCUSDT"}


async def test_a_client_with_a_clock_of_its_own_follows_one_that_goes_wrong(venue: Venue) -> None:
    await venue.under(parse_spec("skew ms=6000"))
    own = SteppedClock(venue.clock.now())
    transport = FaultTransport(httpx.ASGITransport(venue.app), venue.plan, venue.clock)
    credentials = Credentials(PAPER_KEY, PAPER_SECRET)
    async with BinanceClient(
        VENUES["binance"], clock=own, transport=transport, base_url="http://sim", credentials=credentials
    ) as client:
        report = await client.submit(order("one"))
        assert report.status == "FILLED"
        assert own.now() == venue.clock.now() + 6_000


async def test_a_reply_that_takes_longer_than_the_time_out_was_carried_out(venue: Venue) -> None:
    await venue.under(Latency(ms=500, nth=1))
    begin = time.perf_counter()
    with pytest.raises(httpx.ReadTimeout):
        await venue.buy("one")
    assert 0.25 < time.perf_counter() - begin < 20, "as long as the time-out and no longer"
    assert venue.executed("one")


async def test_a_body_that_is_cut_off_fails_while_it_is_read(venue: Venue) -> None:
    await venue.under(Truncated(share=0.5))
    request = venue.http.build_request("GET", "/api/v3/exchangeInfo")
    response = await venue.http.send(request, stream=True)
    assert response.status_code == 200
    parts = response.aiter_raw()
    assert len(await anext(parts)) == int(response.headers["content-length"]) // 2
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await anext(parts)


async def test_what_no_fault_hits_is_the_exchanges_own_reply(venue: Venue) -> None:
    free = (await venue.get("exchangeInfo")).content
    await venue.under(Dropped(path="order"), Html(method="DELETE"))
    reply = await venue.get("exchangeInfo")
    assert reply.content == free
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "40"


async def test_orders_in_a_form_body_are_known_by_their_symbol(venue: Venue) -> None:
    await venue.under(Dropped(symbol=("BTCUSDT",)))
    with pytest.raises(httpx.RemoteProtocolError):
        await venue.http.post("/api/v3/order", data={"symbol": "BTCUSDT"})
    refused = await venue.http.post("/api/v3/order", data={"symbol": "ETHUSDT"})
    assert refused.json()["code"] == -2014, "the body still reaches the exchange"


async def test_the_simulations_own_endpoints_are_never_hit(venue: Venue) -> None:
    await venue.under(Refused(), Dropped())
    assert (await venue.http.get("/sim/clock")).status_code == 200
    await venue.under()
    assert (await venue.get("ping")).status_code == 200
