"""The line to a venue: its address, its limits, and what is sent beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import httpx
import pytest

from tradebot.clock import MINUTE, RealClock, SteppedClock
from tradebot.errors import ConfigError, MarketError, VenueBusy
from tradebot.market.binance import BinanceClient
from tradebot.market.line import Line
from tradebot.market.profiles import VENUES
from tradebot.market.signing import Credentials
from tradebot.market.usage import Traffic

T0 = 1_516_406_400_000
BINANCE = VENUES["binance"]
TIMES = {"connect": 1.0, "pool": 1.0, "read": 1.0, "write": 1.0}


class Counter(httpx.AsyncBaseTransport):
    """Answers everything with a counter of the venue's, and keeps what was asked."""

    def __init__(self, used: int = 1) -> None:
        self.used = used
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(200, content=b"{}", headers={"X-MBX-USED-WEIGHT-1M": str(self.used)})


def line(transport: httpx.AsyncBaseTransport, clock: SteppedClock | None = None) -> Line:
    key = Credentials("key", "secret")
    return Line(BINANCE, "http://venue.test", clock=clock or SteppedClock(T0), transport=transport, credentials=key)


async def send(to: Line, name: str) -> bytes:
    endpoint = BINANCE.endpoints[name]
    return await to._once(endpoint, (), endpoint.cost, TIMES)


def test_without_an_address_the_profiles_own_holds() -> None:
    assert Line(BINANCE, "", clock=SteppedClock(T0)).where == "binance at api.binance.com"


@pytest.mark.parametrize(
    "address",
    [
        "venue.test",
        "ftp://venue.test",
        "http://",
        "http://venue.test:port",
        "http://venue.test:65617",
        "https://venue.test:0",
    ],
)
def test_what_is_no_address_is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigError, match="see --base-url"):
        Line(BINANCE, address, clock=SteppedClock(T0), transport=Counter())


def test_the_libraries_do_not_log_urls() -> None:
    assert logging.getLogger("httpx").level == logging.getLogger("httpcore").level == logging.WARNING


async def test_what_is_sent_is_counted() -> None:
    to = line(Counter())
    await send(to, "time")
    await send(to, "balances")
    assert (to.requests, to.weight) == (2, 21)
    assert to.network_ms >= to.rtt_ms > 0
    assert to.budget.usage.windows[0].used == 21


async def test_a_read_waits_a_moment_for_the_next_minute_and_an_order_does_not() -> None:
    clock, transport = SteppedClock(T0 + MINUTE - 1_000), Counter(used=6_000)
    to = line(transport, clock)
    await send(to, "time")
    with pytest.raises(VenueBusy) as busy:
        await send(to, "submit")
    assert busy.value.wait_ms == 1_000
    transport.used = 1
    waiting = asyncio.create_task(send(to, "time"))
    for passed in range(0, 1_001, 20):
        clock.advance(T0 + MINUTE - 1_000 + passed)
        await asyncio.sleep(0.005)
    await waiting
    assert len(transport.asked) == 2


async def test_a_simulated_venues_own_endpoints_are_asked_in_a_ban_too() -> None:
    transport = Counter()
    to = line(transport)
    to.budget.silence(MINUTE)
    assert await to._control("POST", "/sim/clock", b"{}", TIMES) == b"{}"
    assert (to.weight, to.budget.silent_ms(Traffic.BULK)) == (0, MINUTE)
    with pytest.raises(VenueBusy):
        await send(to, "time")
    assert [request.url.path for request in transport.asked] == ["/sim/clock"]


async def test_of_those_that_wait_for_a_place_none_goes_out_into_a_ban() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                banned = len(asked) == 1
                await asyncio.sleep(0.02 if banned else 0.1)
                line = b"418 Banned\r\nretry-after: 100" if banned else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n[]" % line)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with (
        server,
        BinanceClient(VENUES["binance"], base_url=url, clock=RealClock(), connections=3, retries=0) as line,
    ):
        await line.connect(3)
        ends = await asyncio.gather(*(line.klines("A", "5m", None, 1) for _ in range(9)), return_exceptions=True)
    await asyncio.sleep(0.01)
    assert len(asked) == 3, "those that were on their way already"
    assert sum(isinstance(end, MarketError) for end in ends) == 7


async def test_connections_are_opened_beforehand_but_not_in_a_ban() -> None:
    opened: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        to = Line(BINANCE, url, clock=SteppedClock(T0))
        await to.connect(2)
        to.budget.silence(MINUTE)
        await to.connect(5)
        assert (len(opened), to.requests, to.weight) == (2, 0, 0)
        await to.close()
        for writer in opened:
            writer.close()


async def test_in_process_there_is_nothing_to_open() -> None:
    transport = Counter()
    await line(transport).connect(9)
    assert transport.asked == []


class Banned(httpx.AsyncBaseTransport):
    """Bans for two minutes, and has forgotten it when it is asked again."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == 1:
            return httpx.Response(418, headers={"Retry-After": "120"})
        return httpx.Response(200, content=b"{}")


async def test_of_a_ban_beginning_and_end_are_logged_and_its_words_stay_the_same_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = SteppedClock(T0)
    to = line(Banned(), clock)
    told = set()
    for passed in range(0, 120, 10):
        clock.advance(T0 + passed * 1_000)
        with pytest.raises(VenueBusy) as busy:
            await send(to, "time")
        told.add(str(busy.value))
    assert len(told) == 2  # the venue's own words, and then ours
    assert "binance at venue.test: its limit allows no request until 2018-01-20 00:02:00 UTC" in told
    clock.advance(T0 + 2 * MINUTE)
    for _ in range(3):
        await send(to, "time")
    assert [record.getMessage() for record in caplog.records] == [
        "binance at venue.test: HTTP 418; asks for silence for 120 s",
        "binance at venue.test: answers again after 120 s",
    ]
