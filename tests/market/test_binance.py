"""The venue client, at the seam of httpx's transport."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest
import respx

from tradebot.clock import MINUTE, SteppedClock
from tradebot.errors import (
    BadReply,
    MarketError,
    OrderRejected,
    OrderUnknown,
    TradebotError,
    VenueBusy,
    VenueRejected,
    VenueUnreachable,
)
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.usage import WEIGHT
from tradebot.market.venue import Order, OrderPair, OrderType, Side

T0 = 1_516_406_400_000
KEY = Credentials("vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YN")
BUY = Order("BTCUSDT", Side.BUY, "tb-1", quantity=Decimal("0.5"))
REPORT = {
    "symbol": "BTCUSDT", "orderId": 1, "clientOrderId": "tb-1", "transactTime": T0, "price": "0", "origQty": "0.5",
    "executedQty": "0.5", "cummulativeQuoteQty": "50", "status": "FILLED", "type": "MARKET", "side": "BUY",
}  # fmt: skip
KLINE = [T0, "1", "2", "1", "2", "3", T0 + 299_999, "4", 5, "1", "2", "0"]
Step = httpx.Response | Exception | Callable[[httpx.Request], Any]


def reply(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=orjson.dumps(body), headers=named)


def refusal(code: int, status: int = 400, text: str = "no") -> httpx.Response:
    return reply({"code": code, "msg": text}, status)


class Script(httpx.AsyncBaseTransport):
    """Answers with one step after the other, and keeps what was asked."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            return step
        answer = step(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    def sent(self, index: int = -1) -> dict[str, str]:
        return dict(parse_qsl(self.asked[index].url.query.decode()))


def client(*steps: Step, **options: Any) -> tuple[BinanceClient, Script]:
    script = Script(*steps)
    options = {"clock": SteppedClock(T0), "credentials": KEY, "base_url": "http://venue.test:81", **options}
    return BinanceClient(VENUES["binance"], transport=script, **options), script


async def failure(call: Any) -> TradebotError:
    with pytest.raises(TradebotError) as caught:
        await call
    return caught.value


# --- market data


async def test_market_data_comes_from_the_paths_of_the_profile() -> None:
    router = respx.MockRouter(base_url="http://venue.test:81/api/v3")
    router.get("/exchangeInfo").respond(
        json={
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 9000}],
            "symbols": [{"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}],
        }
    )
    router.get("/ticker/24hr").respond(json=[{"symbol": "BTCUSDT", "lastPrice": "9.5", "quoteVolume": "3"}])
    router.get("/ticker/price").respond(json=[{"symbol": "BTCUSDT", "price": "9.5"}])
    router.get("/klines", params={"symbol": "BTCUSDT", "interval": "5m", "limit": "7"}).respond(json=[KLINE])
    transport = httpx.MockTransport(router.async_handler)
    options = {"clock": SteppedClock(T0), "base_url": "http://venue.test:81/"}
    async with BinanceClient(VENUES["binance"], transport=transport, **options) as venue:
        assert (await venue.instruments())["BTCUSDT"].tradable
        assert [window.most for window in venue.budget.known.windows if window.what == WEIGHT] == [9000]
        assert (await venue.tickers())["BTCUSDT"].last == Decimal("9.5")
        assert (await venue.prices())["BTCUSDT"] == Decimal("9.5")
        assert (await venue.klines("BTCUSDT", "5m", None, 7)).open_time.tolist() == [T0]
        assert venue.requests == 4
        assert venue.weight == 20 + 80 + 4 + 2
        assert venue.network_ms > 0
    router.assert_all_called()


async def test_klines_can_begin_at_a_time_and_are_at_most_a_page() -> None:
    venue, script = client(reply([]), reply([]))
    await venue.klines("BTCUSDT", "5m", T0, 5000)
    assert script.sent() == {"symbol": "BTCUSDT", "interval": "5m", "limit": "1000", "startTime": str(T0)}
    await venue.klines("BTCUSDT", "5m", None, 3)
    assert "startTime" not in script.sent()


async def test_reading_the_venues_time_sets_the_clock() -> None:
    clock = SteppedClock(T0)
    venue, _ = client(reply({"serverTime": T0 + 5}), clock=clock)
    assert await venue.time() == clock.now() == T0 + 5
    assert venue.sim_clock == ""


async def test_a_simulated_venue_tells_and_moves_its_clock() -> None:
    venue, script = client(
        reply({"serverTime": T0}, X_Sim_Clock="stepped"),
        reply({"mode": "scaled", "now": T0 + 7, "speed": 60}),
        httpx.ReadError("an idle connection was closed meanwhile"),
        reply({"mode": "stepped", "now": T0 + MINUTE}),
        reply({"now": "?"}),
        reply({"now": "?"}),
        retries=1,
    )
    await venue.time()
    assert venue.sim_clock == "stepped"
    assert await venue.sim_now() == T0 + 7
    assert (venue.sim_clock, venue.sim_speed) == ("scaled", 60.0)
    assert await venue.sim_advance(T0 + MINUTE) == T0 + MINUTE
    assert (script.asked[-1].method, orjson.loads(script.asked[-1].content)) == ("POST", {"now": T0 + MINUTE})
    assert isinstance(await failure(venue.sim_now()), BadReply)


async def test_bulk_reads_are_bounded() -> None:
    now = most = 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1
        return reply([])

    venue, _ = client(*[slow] * 12, connections=3)
    await asyncio.gather(*(venue.klines(f"S{i}", "5m", None, 1) for i in range(12)))
    assert most == 3


async def test_a_request_goes_out_before_the_reply_that_made_room_for_it_is_read() -> None:
    read: list[bool] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        read.append(first.done())
        return reply([KLINE])

    venue, _ = client(answer, answer, connections=1)
    first, second = (asyncio.create_task(venue.klines(symbol, "5m", None, 1)) for symbol in "AB")
    assert len(await first) == len(await second) == 1
    assert read == [False, False]


@pytest.mark.parametrize(
    # What a good reply says of the limits is read when the next request has gone out.
    ("first", "asked"),
    [(refusal(-1003, 418), 1), (reply([], x_mbx_used_weight_1m="5900"), 2)],
    ids=["ban", "limit"],
)
async def test_what_waits_for_a_connection_is_not_sent_into_a_ban_or_over_the_limit(
    first: httpx.Response, asked: int
) -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return first

    venue, script = client(slow, slow, slow, connections=1, retries=0)
    ends = await asyncio.gather(*(venue.klines(each, "5m", None, 1) for each in "ABC"), return_exceptions=True)
    assert isinstance(ends[2], VenueBusy)
    assert (len(script.asked), venue.requests, venue.weight) == (asked, asked, 2 * asked)
    assert not venue.budget._air


# --- faults of reads

PASSING: list[Step] = [
    httpx.ConnectError("x"),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    httpx.Response(500, content=b"<html>"),
    refusal(-1001),
    httpx.Response(200, content=b"<html>"),
    httpx.Response(200, content=b'{"serverTime":15'),
    reply({"time": 3}),
    reply({"code": -1003, "msg": "slow down"}, 429, Retry_After="0"),
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
async def test_a_read_that_failed_in_passing_is_tried_again(fault: Step) -> None:
    venue, _ = client(fault, reply({"serverTime": T0 + 9}))
    assert await venue.time() == T0 + 9
    assert venue.requests == 2


async def test_retries_are_bounded() -> None:
    venue, script = client(*[httpx.ReadError("x")] * 3, retries=1)
    assert isinstance(await failure(venue.time()), VenueUnreachable)
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(refusal(-1121), VenueRejected), (httpx.Response(404), VenueRejected), (httpx.Response(451), VenueRejected)],
)
async def test_what_no_retry_can_help_is_not_tried_again(fault: Step, kind: type[MarketError]) -> None:
    venue, script = client(fault)
    assert type(await failure(venue.klines("X", "5m", None, 1))) is kind
    assert len(script.asked) == 1


async def test_an_answer_that_never_ends_is_cut_off() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    venue, _ = client(hang, timeout_s=0.05, retries=0)
    error = await failure(venue.time())
    assert isinstance(error, VenueUnreachable)
    assert error.sent
    assert str(error) == "binance at venue.test:81: no answer in time"


async def test_messages_name_the_venue_the_host_and_the_remedy() -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = ConnectionRefusedError(111, "refused")
    venue, _ = client(error, retries=0)
    message = str(await failure(venue.time()))
    assert message == "binance at venue.test:81: connection refused; is the venue up? see --base-url"


# --- limits


async def test_after_a_ban_nothing_is_sent_until_its_end() -> None:
    clock = SteppedClock(T0)
    venue, script = client(refusal(-1003, 418), reply({"serverTime": T0}), clock=clock)
    first, second = await failure(venue.time()), await failure(venue.klines("X", "5m", None, 1))
    third = await failure(venue.submit(BUY))
    assert isinstance(first, VenueBusy)
    assert isinstance(second, VenueBusy)
    assert isinstance(third, VenueBusy)
    assert first.wait_ms == second.wait_ms == third.wait_ms == 120_000
    assert len(script.asked) == 1
    clock.advance(T0 + 120_000)
    assert await venue.time() == T0


async def test_the_venues_counter_stops_reads_but_leaves_the_margin_to_orders() -> None:
    venue, script = client(reply([], x_mbx_used_weight_1m="5400"), reply(REPORT))
    await venue.klines("X", "5m", None, 1)
    error = await failure(venue.klines("X", "5m", None, 1))
    assert isinstance(error, VenueBusy)
    assert error.wait_ms == MINUTE
    assert (await venue.submit(BUY)).status == "FILLED"
    assert len(script.asked) == 2


async def test_a_short_silence_is_waited_for() -> None:
    venue, script = client(
        reply({}, 429, Retry_After="1"), reply({"serverTime": T0 + 5000}), clock=SteppedClock(T0), retries=1
    )
    moving = asyncio.create_task(_move(venue))
    assert await venue.time() == T0 + 5000
    await moving
    assert len(script.asked) == 2


async def _move(venue: BinanceClient) -> None:
    while not venue.budget.silent_ms():
        await asyncio.sleep(0.001)
    for passed in range(0, 1100, 10):
        venue._clock.advance(T0 + passed)  # type: ignore[attr-defined]
        await asyncio.sleep(0.005)


# --- signing


async def test_what_is_signed_is_what_is_sent() -> None:
    venue, script = client(reply([]))
    await venue.klines("X", "5m", None, 1)
    assert "signature" not in script.sent()
    assert "x-mbx-apikey" not in script.asked[0].headers
    script.steps.append(reply(REPORT))
    await venue.submit(BUY)
    request = script.asked[-1]
    payload, signature = request.url.query.decode().split("&signature=")
    assert KEY.sign(payload) == signature
    assert request.headers["x-mbx-apikey"] == KEY.key
    assert script.sent()["timestamp"] == str(T0)
    assert script.sent()["recvWindow"] == "5000"


async def test_without_a_key_nothing_signed_is_sent() -> None:
    venue, script = client(credentials=None)
    assert isinstance(await failure(venue.balances()), VenueRejected)
    assert isinstance(await failure(venue.submit(BUY)), OrderRejected)
    assert not script.asked


async def test_a_timestamp_outside_the_window_syncs_the_clock_and_signs_again_once() -> None:
    clock = SteppedClock(T0)
    venue, script = client(refusal(-1021), reply({"serverTime": T0 + 9000}), reply(REPORT), clock=clock)
    assert (await venue.submit(BUY)).status == "FILLED"
    assert [request.url.path for request in script.asked] == ["/api/v3/order", "/api/v3/time", "/api/v3/order"]
    assert script.sent()["timestamp"] == str(T0 + 9000)


async def test_a_second_refusal_of_the_timestamp_is_final() -> None:
    venue, script = client(refusal(-1021), reply({"serverTime": T0}), refusal(-1021))
    error = await failure(venue.submit(BUY))
    assert isinstance(error, OrderRejected)
    assert error.code == -1021
    assert len(script.asked) == 3


async def test_an_order_refused_for_its_timestamp_stays_refused_when_the_clock_cannot_be_read() -> None:
    venue, _ = client(refusal(-1021), httpx.ReadError("x"), retries=0)
    assert isinstance(await failure(venue.submit(BUY)), OrderRejected)


async def test_each_try_of_a_signed_read_carries_its_own_time() -> None:
    clock = SteppedClock(T0)

    def late(request: httpx.Request) -> httpx.Response:
        clock.advance(T0 + 7000)
        return httpx.Response(502)

    venue, script = client(late, reply({"balances": []}), clock=clock)
    await venue.balances()
    assert [script.sent(i)["timestamp"] for i in (0, 1)] == [str(T0), str(T0 + 7000)]


SECRETS: list[Step] = [*PASSING, refusal(-1022), refusal(-2015, 401), httpx.Response(302), httpx.Response(418)]


@pytest.mark.parametrize("fault", SECRETS, ids=str)
async def test_no_message_log_or_repr_shows_a_secret(fault: Step, caplog: pytest.LogCaptureFixture) -> None:
    venue, script = client(fault, retries=0)
    with caplog.at_level(logging.DEBUG):
        error = await failure(venue.submit(BUY))
    shown = "".join(traceback.format_exception(error)) + caplog.text + repr(venue) + repr(KEY) + str(KEY)
    for secret in (KEY.key, KEY.secret, script.sent(0)["signature"], "signature="):
        assert secret not in shown


# --- orders


async def test_an_order_is_sent_once_and_reported() -> None:
    venue, script = client(reply(REPORT))
    report = await venue.submit(BUY)
    assert (report.client_id, report.average) == ("tb-1", Decimal(100))
    assert script.asked[0].method == "POST"
    assert script.sent()["newClientOrderId"] == "tb-1"
    assert script.asked[0].extensions["timeout"]["read"] > 10  # the venue's own limit


LEG = Order("BTCUSDT", Side.SELL, "tb-2", OrderType.STOP_LOSS, Decimal(1), stop_price=Decimal(90))
PAIR = OrderPair("tb-l", replace(LEG, type=OrderType.LIMIT_MAKER, price=Decimal(110), stop_price=None), LEG)


async def test_a_pair_is_sent_in_one_request_and_each_leg_reported() -> None:
    legs = [{**REPORT, "clientOrderId": name, "orderListId": 7} for name in ("tb-1", "tb-2")]
    venue, script = client(reply({"orderListId": 7, "orderReports": legs}))
    reports = await venue.submit_pair(PAIR)
    assert [(each.client_id, each.list_id) for each in reports] == [("tb-1", 7), ("tb-2", 7)]
    assert len(script.asked) == 1
    assert script.asked[0].url.path == "/api/v3/orderList/oco"
    assert script.sent()["listClientOrderId"] == "tb-l"


@pytest.mark.parametrize("fault", [httpx.ReadTimeout("x"), reply({"orderListId": 7}), refusal(-1007, 504)], ids=str)
async def test_a_pair_in_doubt_is_never_sent_again(fault: Step) -> None:
    venue, script = client(fault, retries=5)
    assert isinstance(await failure(venue.submit_pair(PAIR)), OrderUnknown)
    assert len(script.asked) == 1


IN_DOUBT: list[Step] = [
    httpx.ReadTimeout("x"),
    httpx.ReadError("x"),
    httpx.WriteError("x"),
    httpx.RemoteProtocolError("x"),
    httpx.Response(502, content=b"<html>"),
    refusal(-1007, 504),
    refusal(-2010, 400, "Duplicate order sent."),
    httpx.Response(200, content=b"<html>"),
    reply({"symbol": "BTCUSDT"}),
]


@pytest.mark.parametrize("fault", IN_DOUBT, ids=str)
async def test_an_order_in_doubt_is_never_sent_again(fault: Step) -> None:
    venue, script = client(fault, retries=5)
    assert isinstance(await failure(venue.submit(BUY)), OrderUnknown)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal(-2010, 400, "Account has insufficient balance for requested action."), OrderRejected),
        (refusal(-1013), OrderRejected),
        (httpx.ConnectError("x"), VenueUnreachable),
        (httpx.Response(429, headers={"retry-after": "9"}), VenueBusy),
    ],
)
async def test_an_order_that_was_certainly_not_executed_says_so(fault: Step, kind: type[TradebotError]) -> None:
    venue, script = client(fault)
    error = await failure(venue.submit(BUY))
    assert type(error) is kind
    assert getattr(error, "sent", False) is False
    assert len(script.asked) == 1


async def test_an_order_is_looked_up_and_may_not_be_known() -> None:
    venue, script = client(reply(REPORT), refusal(-2013), refusal(-2015, 401))
    found = await venue.order("BTCUSDT", "tb-1")
    assert found is not None
    assert script.sent()["origClientOrderId"] == "tb-1"
    assert await venue.order("BTCUSDT", "tb-2") is None
    assert isinstance(await failure(venue.order("BTCUSDT", "tb-3")), VenueRejected)


async def test_a_cancel_that_came_too_late_reports_the_order_as_it_is() -> None:
    venue, script = client(refusal(-2011, 400, "Unknown order sent."), reply(REPORT))
    assert (await venue.cancel("BTCUSDT", "tb-1")).status == "FILLED"
    assert [request.method for request in script.asked] == ["DELETE", "GET"]


@pytest.mark.parametrize("later", [reply(REPORT | {"status": "NEW"}), refusal(-2013)])
async def test_a_cancel_that_was_refused_while_the_order_lives_is_an_error(later: httpx.Response) -> None:
    venue, _ = client(refusal(-2011), later)
    assert isinstance(await failure(venue.cancel("BTCUSDT", "tb-1")), OrderRejected)


async def test_a_cancel_in_doubt_is_unknown() -> None:
    venue, _ = client(httpx.ReadError("x"))
    assert isinstance(await failure(venue.cancel("BTCUSDT", "tb-1")), OrderUnknown)


async def test_balances_and_open_orders_are_signed_reads() -> None:
    held = {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]}
    venue, _ = client(reply(held), reply([REPORT | {"status": "NEW"}]))
    assert (await venue.balances())["BTC"].free == 1
    assert [report.status for report in await venue.open_orders()] == ["NEW"]


def trade(number: int) -> dict[str, Any]:
    row = {"symbol": "BTCUSDT", "id": number, "orderId": 1, "price": "1", "qty": "1", "commission": "0"}
    return row | {"commissionAsset": "BNB", "time": T0 + number, "isBuyer": True, "isMaker": False}


async def test_trades_are_asked_for_day_by_day() -> None:
    day = 86_400_000
    venue, script = client(reply([trade(1)]), reply([trade(2)]), clock=SteppedClock(T0 + day + 5))
    assert [fill.trade_id for fill in await venue.trades("BTCUSDT", T0)] == [1, 2]
    bounds = [(int(script.sent(i)["startTime"]), int(script.sent(i)["endTime"])) for i in (0, 1)]
    assert bounds == [(T0, T0 + day - 1), (T0 + day, T0 + 2 * day - 1)]


async def test_a_full_page_of_trades_is_followed_by_id() -> None:
    pages = [[trade(i) for i in range(1000)], [trade(i) for i in range(1000, 2000)], [trade(2000)]]
    venue, script = client(*map(reply, pages))
    assert [fill.trade_id for fill in await venue.trades("BTCUSDT", T0)] == list(range(2001))
    assert [script.sent(i).get("fromId") for i in range(3)] == [None, "1000", "2000"]


async def test_trades_since_a_moment_that_the_clock_has_not_reached_are_asked_for_once() -> None:
    venue, script = client(reply([]))
    assert await venue.trades("BTCUSDT", T0 + 5) == []
    assert len(script.asked) == 1
