"""Faults on real sockets: what is seen below HTTP, and the door."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from decimal import Decimal
from urllib.parse import urlsplit

import httpx
import pytest
from faulty import Venue, listening, on_socket

from tradebot.clock import MINUTE
from tradebot.errors import OrderUnknown, TradebotError, VenueUnreachable
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.venue import Order, Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET
from tradebot.sim.fault_kinds import Dropped, ExecutedDropped, Latency, Refused, SlowBody, Truncated
from tradebot.sim.fault_plan import parse_spec
from tradebot.sim.keys import sign
from tradebot.sim.server import make_server
from tradebot.sim.sockets import Door

PING = b"GET /api/v3/ping HTTP/1.1\r\nHost: sim\r\n\r\n"
INFO = b"GET /api/v3/exchangeInfo HTTP/1.1\r\nHost: sim\r\n\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Venue, str]]:
    venue = Venue()
    with listening(venue) as url:
        yield venue, url


@pytest.fixture
async def venue(served: tuple[Venue, str]) -> AsyncIterator[Venue]:
    venue, url = served
    venue.http = on_socket(url)
    async with venue.http:
        yield venue
        venue.plan.replace(())
        await venue.reached()


def address(venue: Venue) -> tuple[str, int]:
    parts = urlsplit(str(venue.http.base_url))
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def connect(venue: Venue) -> socket.socket:
    return socket.create_connection(address(venue), timeout=2)


def until_the_end(connection: socket.socket) -> bytes:
    """All that comes until the other side has closed."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def one_reply(connection: socket.socket) -> bytes:
    """One whole reply, in however many segments it comes."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    while len(body) < told_length(head):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def told_length(head: bytes) -> int:
    return next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))


async def test_a_connection_is_closed_without_a_byte(venue: Venue) -> None:
    await venue.under(Dropped())
    with connect(venue) as raw:
        raw.sendall(PING)
        assert until_the_end(raw) == b""


async def test_a_connection_is_reset(venue: Venue) -> None:
    await venue.under(Dropped(how="reset"))
    with connect(venue) as raw:
        raw.sendall(PING)
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


async def test_a_body_ends_in_the_middle(venue: Venue) -> None:
    await venue.under(Truncated(share=0.5))
    with connect(venue) as raw:
        raw.sendall(INFO)
        head, _, body = until_the_end(raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == told_length(head) // 2


async def test_a_slow_body_comes_piece_by_piece(venue: Venue) -> None:
    await venue.under(SlowBody(pieces=3, pause_ms=30))
    with connect(venue) as raw:
        raw.sendall(INFO)
        begin = time.perf_counter()
        assert raw.recv(1)
        first = time.perf_counter() - begin
        one_reply(raw)
    assert time.perf_counter() - begin - first >= 0.08, "the head at once, then three times a pause"


async def test_one_connection_serves_on_after_a_fault_that_leaves_it_whole(venue: Venue) -> None:
    await venue.under(parse_spec("html nth=1"), Latency(ms=1))
    with connect(venue) as raw:
        for body in (b"</html>\n", b"{}"):
            raw.sendall(PING)
            assert one_reply(raw).endswith(body)


async def test_the_door_is_closed_and_opened_by_the_plan(venue: Venue) -> None:
    idle = connect(venue)
    idle.sendall(PING)
    assert one_reply(idle)
    await venue.under(Refused(ms=150))
    with pytest.raises(ConnectionRefusedError):
        connect(venue)
    with closing(idle):
        assert until_the_end(idle) == b"", "who was idle is sent away"
    with closing(socket.socket()) as other, pytest.raises(OSError, match="in use") as taken:
        other.bind(address(venue))
    assert taken.value.errno == errno.EADDRINUSE, "nobody else can take the port meanwhile"
    await venue.reached()
    connect(venue).close()


async def test_the_door_opens_again_however_many_knock_while_it_closes(venue: Venue) -> None:
    for _ in range(30):
        await venue.under(Refused(path="*ping", rate=0.5, ms=1))
        await asyncio.gather(*(venue.get("ping") for _ in range(8)), return_exceptions=True)
        venue.plan.replace(())
        await venue.reached()
        connect(venue).close()


async def test_who_looks_at_the_door_while_it_closes_waits_for_that() -> None:
    venue = Venue()
    door = Door(venue.plan, venue.clock)
    server = make_server(venue.app, door, lambda: None)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        at = bound.getsockname()
        task = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        for _ in range(3):
            venue.plan.replace([Refused()])
            closing_it = asyncio.create_task(door.look())
            await asyncio.sleep(0)
            venue.plan.replace(())
            await door.look()
            await closing_it
            await door.look()
            (listener,) = server.servers
            assert [each.getsockname() for each in listener.sockets] == [at]
        server.should_exit = True
        await task


async def test_moving_the_clock_closes_the_door_before_the_answer(venue: Venue) -> None:
    now = venue.clock.now()
    await venue.under(Refused(since=now + MINUTE, ms=60))
    assert (await venue.get("ping")).status_code == 200
    assert (await venue.http.post("/sim/clock", json={"advance": MINUTE})).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await venue.get("ping")
    await venue.reached()


async def test_a_request_that_is_refused_is_reset_and_the_door_closed_behind_it(venue: Venue) -> None:
    await venue.under(Refused(path="order", nth=1, ms=100))
    with pytest.raises(httpx.ReadError):
        await venue.buy("refused")
    with pytest.raises(httpx.ConnectError):
        await venue.get("ping")
    await venue.reached()
    assert not venue.executed("refused")


async def test_an_order_is_carried_out_after_its_connection_has_gone(venue: Venue) -> None:
    await venue.under(ExecutedDropped(path="order", later_ms=40))
    with pytest.raises(httpx.RemoteProtocolError):
        await venue.buy("late")
    assert not venue.executed("late")
    assert await venue.comes_to("late", True)


async def test_a_client_that_leaves_while_it_waits_does_no_harm(venue: Venue) -> None:
    await venue.under(Latency(ms=60))
    with connect(venue) as raw:
        raw.sendall(INFO)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await venue.under()
    assert (await venue.get("ping")).status_code == 200


async def test_a_client_that_left_before_its_reset_does_no_harm(venue: Venue, caplog: pytest.LogCaptureFixture) -> None:
    await venue.under(Latency(ms=60), Dropped(how="reset"))
    with connect(venue) as raw:
        raw.sendall(PING)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await asyncio.sleep(0.2)
    assert not caplog.records
    await venue.under()
    assert (await venue.get("ping")).status_code == 200


async def test_half_a_request_is_not_carried_out(venue: Venue, caplog: pytest.LogCaptureFixture) -> None:
    await venue.under(Latency(ms=1))
    whole = await venue.buy("whole")
    query = str(whole.request.url.query, "ascii").replace("whole", "half0")
    query = query[: query.index("&signature=")]
    head = f"POST /api/v3/order?{query}&signature={sign(PAPER_SECRET, query.encode())} HTTP/1.1\r\nHost: sim\r\n"
    with connect(venue) as raw:
        raw.sendall(f"{head}X-MBX-APIKEY: {PAPER_KEY}\r\nContent-Length: 9\r\n\r\n".encode())
    await asyncio.sleep(0.1)
    assert (venue.executed("whole"), venue.executed("half0")) == (True, False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("spec", "error", "found"),
    [
        ("refused ms=150", VenueUnreachable, False),
        ("dropped path=order method=POST", OrderUnknown, False),
        ("executed-dropped path=order method=POST nth=1", OrderUnknown, True),
        ("executed-dropped how=reset path=order method=POST nth=1", OrderUnknown, True),
        ("truncated path=order method=POST nth=1", OrderUnknown, True),
    ],
)
async def test_our_client_over_the_network_knows_what_is_in_doubt(
    venue: Venue, spec: str, error: type[TradebotError], found: bool
) -> None:
    host, port = address(venue)
    async with BinanceClient(
        VENUES["binance"], clock=venue.clock, base_url=f"http://{host}:{port}", retries=0, timeout_s=2,
        credentials=Credentials(PAPER_KEY, PAPER_SECRET),
    ) as client:  # fmt: skip
        name = f"net-{time.perf_counter_ns()}"
        await venue.under(parse_spec(spec))
        with pytest.raises(error) as caught:
            await client.submit(Order("ETHUSDT", Side.BUY, name, quote_quantity=Decimal(10)))
        if isinstance(caught.value, VenueUnreachable):
            assert not caught.value.sent
        venue.plan.replace(())
        await venue.reached()
        with suppress(VenueUnreachable):
            assert (await client.order("ETHUSDT", name) is not None) == found
        assert venue.executed(name) == found
