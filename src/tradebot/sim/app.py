"""The exchange as an ASGI app: routes, weights, signatures and errors in the venue's manner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tradebot.clock import Clock, SteppedClock
from tradebot.errors import TradebotError
from tradebot.sim import replies, units, weights
from tradebot.sim.deals import Deals
from tradebot.sim.engine import Exchange
from tradebot.sim.forms import LEGS
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET, SIGNING, check_signature, check_time, payload
from tradebot.sim.later import Later
from tradebot.sim.params import LAST_MOMENT, Params
from tradebot.sim.public import Public
from tradebot.sim.refusals import Refused, no_such
from tradebot.sim.signed import Answer, Signed
from tradebot.sim.slices import InSteps
from tradebot.sim.truth import Guard, Truth

log = logging.getLogger(__name__)
__all__ = ["PAPER_KEY", "PAPER_SECRET", "create_app"]

_LARGEST_BODY = 64 << 10
_LEVELS = ((100, 5), (500, 25), (1000, 50))  # depth: what up to so many levels weigh
_MANY = (20, 100)  # ticker/24hr: from how many symbols on it weighs 40, then 80


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one path. `done` is the weight of a call that succeeded, where it differs."""

    handler: Callable[[Params], Any]
    weight: Callable[[Params], int]
    known: frozenset[str]
    signed: bool = False
    done: int | None = None


class Gate:
    """What every request passes: latency, weight, parameters, signature; and what every reply carries.

    Answers that take long wait for their `turn`.
    """

    def __init__(
        self, exchange: Exchange, credentials: Mapping[str, str], counted: weights.Weights, latency_ms: float,
        turn: asyncio.Lock,
    ) -> None:  # fmt: skip
        self.clock = exchange.clock
        self._turn = turn
        self._plan = exchange.prices.plan
        self._credentials = dict(credentials)
        self._weights = counted
        self._latency = latency_ms / 1000
        self._mode = clock_mode(exchange.clock).encode()

    async def reply(self, request: Request, calls: Mapping[str, Call], send: Send) -> None:
        """Answer one request of a path; `calls` is by method."""
        if self._latency:
            await asyncio.sleep(self._latency)
        body = await _body(request)
        now, client = self.clock.now(), request.client.host if request.client else ""
        headers: dict[str, str] = {}
        micro = False
        try:
            micro = units.asked(request.scope["headers"])
            status, content = 200, self._carry_out(request, calls, body, headers, client)
            if isinstance(content, InSteps):
                content = await self._worked_through(content)
        except Refused as no:
            status, content = no.status, no.body()
            headers |= no.headers
        except TradebotError as error:
            # The books cannot be written or the source fails: as at the venue, what was executed is not known.
            status, content = 500, {"code": -1000, "msg": str(error)}
        except Exception:
            # A bug of ours: told as the venue tells its own, with all of it in the log.
            log.exception("%s %s", request.method, request.url.path)
            status, content = 500, {"code": -1000, "msg": "An unknown error occurred while processing the request."}
        if "X-MBX-USED-WEIGHT-1M" not in headers:
            _tell(headers, self._weights.add(client, 1, now))  # what could not be read is a request too
        if skew := self._skew(now):
            content = _told_wrong(content, skew)
        if status == 200 and micro:
            content = units.in_microseconds(content)
        await self.send(send, status, content, headers)

    async def _worked_through(self, work: InSteps) -> Any:
        async with self._turn if work.alone else nullcontext():
            for _ in work.steps:
                await asyncio.sleep(0)
            return work.result()

    def _skew(self, now: int) -> int:
        """By how much the exchange's clock goes wrong, where a plan of faults says so."""
        return 0 if self._plan is None else self._plan.skew(now)

    def _carry_out(
        self, request: Request, calls: Mapping[str, Call], body: bytes, headers: dict[str, str], client: str
    ) -> Any:
        now = self.clock.now()
        call = calls.get(request.method)
        if call is None:
            raise no_such(request.url.path, request.method, 405)
        query: bytes = request.scope["query_string"]
        params = Params(query, body)
        _tell(headers, self._weights.add(client, call.weight(params), now))
        self._weights.check(client, now)
        if call.signed:
            check_signature(self._credentials, request.headers.get("X-MBX-APIKEY"), params, payload(query, body))
            check_time(params, now + self._skew(now))
        params.only(call.known)
        result = call.handler(params)
        if isinstance(result, Answer):
            headers |= result.headers
            result = result.body
        if call.done is not None:
            _tell(headers, self._weights.add(client, call.done - call.weight(params), now))
        return result

    async def send(self, send: Send, status: int, content: Any, headers: Mapping[str, str]) -> None:
        """Send a JSON reply; bytes are taken for JSON already."""
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        fixed = [
            (b"content-type", b"application/json;charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
            (b"x-sim-clock", self._mode),
        ]
        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fixed + given})
        await send({"type": "http.response.body", "body": body})


def _tell(headers: dict[str, str], weight: int) -> None:
    headers["X-MBX-USED-WEIGHT-1M"] = headers["X-MBX-USED-WEIGHT"] = str(weight)


def _told_wrong(content: Any, skew: int) -> Any:
    """A body whose `serverTime` is off."""
    if isinstance(content, dict) and "serverTime" in content:
        return content | {"serverTime": content["serverTime"] + skew}
    return content


class Path:
    """One path of the exchange, as an ASGI app."""

    def __init__(self, gate: Gate, calls: Mapping[str, Call]) -> None:
        self.gate = gate
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate.reply(Request(scope, receive), self.calls, send)


async def _body(request: Request) -> bytes:
    if request.method not in {"POST", "PUT", "DELETE"}:
        return b""
    body = await request.body()
    return body[:_LARGEST_BODY]


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda _: weight


def _one_or_many(one: int, many: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else many


def _day_weight(params: Params) -> int:
    """2 for up to 20 symbols, 40 for up to 100, else 80. (A malformed list is refused later.)"""
    if "symbol" in params:
        return 2
    if "symbols" not in params:
        return 80
    number = params["symbols"].count(",") + 1
    return 2 if number <= _MANY[0] else 40 if number <= _MANY[1] else 80


def _window_weight(params: Params) -> int:
    """4 for each symbol, at most 200."""
    return min(4 * (params.get("symbols", "").count(",") + 1), 200)


def _depth_weight(params: Params) -> int:
    """By the number of levels. (A malformed limit is refused later.)"""
    limit = params.get("limit", "100")
    levels = int(limit) if limit.isdecimal() and len(limit) < 10 else 0
    return next((weight for most, weight in _LEVELS if levels <= most), 250)


_RANGE = ("startTime", "endTime", "limit")
_SYMBOLS = frozenset({"symbol", "symbols"})
_INFO = _SYMBOLS | {"permissions", "symbolStatus", "showPermissionSets"}
_ORDER = frozenset({
    "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId", "stopPrice",
    "trailingDelta", "icebergQty", "newOrderRespType", "selfTradePreventionMode", "strategyId", "strategyType",
})  # fmt: skip
_WHICH = frozenset({"symbol", "orderId", "origClientOrderId"})
_LEG = ("Type", "ClientOrderId", "Price", "StopPrice", "TrailingDelta", "TimeInForce", "IcebergQty", "StrategyId",
        "StrategyType")  # fmt: skip
_OCO = frozenset({
    "symbol", "side", "quantity", "listClientOrderId", "newOrderRespType", "selfTradePreventionMode",
    *(f"{leg}{name}" for leg in LEGS for name in _LEG),
})  # fmt: skip
_REPLACE = _ORDER | {
    "cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId", "cancelRestrictions"
}  # fmt: skip


def market_calls(public: Public, deals: Deals) -> dict[str, dict[str, Call]]:
    """Paths of the market data, then methods."""
    one_or_all = _one_or_many(2, 4)
    klines = frozenset({"symbol", "interval", "timeZone", *_RANGE})
    gets = {
        "ping": Call(public.ping, _fixed(1), frozenset()),
        "time": Call(public.time, _fixed(1), frozenset()),
        "exchangeInfo": Call(public.exchange_info, _fixed(20), _INFO),
        "klines": Call(public.klines, _fixed(2), klines),
        "uiKlines": Call(public.klines, _fixed(2), klines),
        "depth": Call(public.depth, _depth_weight, frozenset({"symbol", "limit"})),
        "avgPrice": Call(public.average, _fixed(2), frozenset({"symbol"})),
        "trades": Call(deals.recent, _fixed(25), frozenset({"symbol", "limit"})),
        "historicalTrades": Call(deals.historical, _fixed(25), frozenset({"symbol", "limit", "fromId"})),
        "aggTrades": Call(deals.aggregated, _fixed(4), frozenset({"symbol", "fromId", *_RANGE})),
        "ticker": Call(public.window, _window_weight, _SYMBOLS | {"windowSize", "type"}),
        "ticker/tradingDay": Call(public.trading_day, _window_weight, _SYMBOLS | {"timeZone", "type"}),
        "ticker/24hr": Call(public.day, _day_weight, _SYMBOLS | {"type"}),
        "ticker/price": Call(public.price, one_or_all, _SYMBOLS),
        "ticker/bookTicker": Call(public.book, one_or_all, _SYMBOLS),
    }
    return {f"/api/v3/{path}": {"GET": call} for path, call in gets.items()}


def account_calls(signed: Signed) -> dict[str, dict[str, Call]]:
    """Paths of the account, then methods."""

    def call(
        handler: Callable[[Params], Any], weight: Callable[[Params], int], *known: str, done: int | None = None
    ) -> Call:
        return Call(handler, weight, SIGNING | set(known), signed=True, done=done)

    return {
        "/api/v3/order": {
            "POST": call(signed.place, _fixed(1), *_ORDER, done=0),
            "DELETE": call(signed.cancel, _fixed(1), *_WHICH, "newClientOrderId", "cancelRestrictions", done=0),
            "GET": call(signed.order, _fixed(4), *_WHICH),
        },
        "/api/v3/order/test": {
            "POST": call(
                signed.test,
                lambda p: 20 if p.get("computeCommissionRates", "").lower() == "true" else 1,
                *_ORDER,
                "computeCommissionRates",
            )
        },
        "/api/v3/order/cancelReplace": {"POST": call(signed.replace, _fixed(1), *_REPLACE, done=0)},
        "/api/v3/openOrders": {
            "GET": call(signed.open_orders, _one_or_many(6, 80), "symbol"),
            "DELETE": call(signed.cancel_all, _fixed(1), "symbol", done=0),
        },
        "/api/v3/orderList/oco": {"POST": call(signed.place_oco, _fixed(1), *_OCO, done=0)},
        "/api/v3/orderList": {
            "GET": call(signed.order_list, _fixed(4), "orderListId", "origClientOrderId"),
            "DELETE": call(
                signed.cancel_list, _fixed(1), "symbol", "orderListId", "listClientOrderId", "newClientOrderId", done=0
            ),
        },
        "/api/v3/allOrderList": {"GET": call(signed.order_lists, _fixed(20), "fromId", *_RANGE)},
        "/api/v3/openOrderList": {"GET": call(signed.open_lists, _fixed(6))},
        "/api/v3/allOrders": {"GET": call(signed.orders, _fixed(20), "symbol", "orderId", *_RANGE)},
        "/api/v3/myTrades": {
            "GET": call(signed.trades, lambda p: 5 if "orderId" in p else 20, "symbol", "orderId", "fromId", *_RANGE)
        },
        "/api/v3/account": {"GET": call(signed.account, _fixed(20), "omitZeroBalances")},
        "/api/v3/account/commission": {"GET": call(signed.commission, _fixed(20), "symbol")},
        "/api/v3/rateLimit/order": {"GET": call(signed.order_limits, _fixed(40))},
        "/sapi/v1/account/apiRestrictions": {"GET": call(signed.restrictions, _fixed(1))},
        # Clients that hold a key ask for these while they load markets; no signature is needed.
        "/sapi/v1/margin/allPairs": {"GET": Call(signed.no_margin, _fixed(1), SIGNING)},
        "/sapi/v1/margin/isolated/allPairs": {"GET": Call(signed.no_margin, _fixed(1), SIGNING)},
    }


def clock_mode(clock: Clock) -> str:
    """`stepped`, `scaled` or `real`."""
    if isinstance(clock, SteppedClock):
        return "stepped"
    return "scaled" if getattr(clock, "speed", 1.0) != 1.0 else "real"


class ClockControl:
    """The exchange's own control endpoint: GET tells the clock, POST moves one that is stepped."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if request.method == "POST":
                self._move(await request.body())
            clock = self.gate.clock
            speed = 0.0 if isinstance(clock, SteppedClock) else getattr(clock, "speed", 1.0)
            status, content = 200, {"mode": clock_mode(clock), "now": clock.now(), "speed": speed}
        except Refused as no:
            status, content = no.status, {"code": no.code, "msg": no.text}
        await self.gate.send(send, status, content, {})

    def _move(self, body: bytes) -> None:
        clock = self.gate.clock
        if not isinstance(clock, SteppedClock):
            raise Refused(-1020, "Only a stepped clock can be moved.", 409)
        try:
            ((name, value),) = orjson.loads(body).items()
        except (ValueError, AttributeError):
            name, value = "", None
        if name not in {"now", "advance"} or type(value) is not int:
            raise Refused(-1100, 'Send {"now": ms} or {"advance": ms}.')
        moment = value if name == "now" else clock.now() + value
        if moment > LAST_MOMENT:
            raise Refused(-1130, "That is after the end of the calendar.")
        if moment < clock.now():
            raise Refused(-1130, "The clock never goes back.")
        clock.advance(moment)


class _Nowhere:
    """Any path that the exchange does not have."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        no = no_such(scope["path"], scope["method"], 404)
        await self.gate.send(send, no.status, {"code": no.code, "msg": no.text}, {})


class App(Starlette):
    """Looks paths up; only those with a pattern go through Starlette's router."""

    def __init__(self, routes: Sequence[Route]) -> None:
        super().__init__(routes=list(routes))
        self._exact = {route.path: route.app for route in routes if "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self._exact.get(scope["path"]) if scope["type"] == "http" else None
        await (super().__call__ if found is None else found)(scope, receive, send)


def _happened(exchange: Exchange) -> list[dict[str, Any]]:
    return [replies.happened(*each) for each in exchange.executed()]


def create_app(
    exchange: Exchange, *, latency_ms: float = 0.0, credentials: Mapping[str, str] | None = None,
    weight_limit: int = weights.LIMIT, accounts: Mapping[str, Exchange] | None = None,
) -> Starlette:  # fmt: skip
    """The app. `credentials` are HMAC secrets or Ed25519 public keys (PEM) by API key (default: the paper pair).

    `latency_ms` delays every reply. `accounts` gives some of the keys an exchange, and so an account, of
    their own, at the same prices and clock.

    At `FaultyPrices` their plan holds for the exchange's clock too, and can be seen and replaced at
    `/sim/faults`. Only loopback may replace it, move the clock (`/sim/clock`) and read the truth (`/sim/log`).
    What happens to requests is for `fault_transport` or `sockets` to enact.
    """
    secrets = {PAPER_KEY: PAPER_SECRET} if credentials is None else credentials
    turn = asyncio.Lock()
    gate = Gate(exchange, secrets, weights.Weights(weight_limit), latency_ms, turn)
    paths = market_calls(Public(exchange, weight_limit), Deals(exchange)) | account_calls(Signed(exchange, accounts))
    routes: list[Route] = [Route(path, Path(gate, calls)) for path, calls in paths.items()]

    def futures() -> ASGIApp:  # which most sessions never ask for
        from tradebot.sim.futures.routes import futures_api

        def counted(limit: int) -> Gate:
            return Gate(exchange, secrets, weights.Weights(limit), latency_ms, turn)

        return futures_api(exchange, accounts or {}, counted, _Nowhere(gate))

    contracts = Later(futures)
    routes += [Route(path, contracts) for path in ("/fapi/{rest:path}", "/sim/log/usdm")]
    if (plan := exchange.prices.plan) is not None:
        # What is said about faults takes 50 ms to import, which honest exchanges need not wait for.
        from tradebot.sim.control import FaultControl

        faults = FaultControl(plan, gate.send)
        routes.append(Route("/sim/faults", Guard(faults, gate.send, {"GET", "POST"}, own={"POST"})))
    told = {key: partial(_happened, each) for key, each in (accounts or {}).items()}
    log, clock = Truth(partial(_happened, exchange), told, gate.send), ClockControl(gate)
    routes.append(Route("/sim/log", Guard(log, gate.send, {"GET"}, own={"GET"})))
    routes.append(Route("/sim/clock", Guard(clock, gate.send, {"GET", "POST"}, own={"POST"})))
    routes.append(Route("/{rest:path}", _Nowhere(gate)))
    return App(routes)
