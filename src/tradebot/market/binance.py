"""The client of the Binance protocol: market data and the account over httpx.

A venue that speaks the same protocol with other paths, weights and limits is a `Profile`, not a
class of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import httpx
import orjson

from tradebot.clock import DAY, SECOND, Clock, monotonic_ms, wall_ms
from tradebot.errors import (
    BadReply,
    ConfigError,
    MarketError,
    OrderRejected,
    VenueBusy,
    VenueRejected,
)
from tradebot.market import failures, wire
from tradebot.market.account import Holder, KeyRights, read_holder, read_rights
from tradebot.market.bars import Klines
from tradebot.market.limits import CEILING, Budget, retry_delay_ms
from tradebot.market.profiles import VENUES, Endpoint, Profile
from tradebot.market.signing import Credentials, Parameters, query
from tradebot.market.tally import Tally
from tradebot.market.usage import Cost, Limit, Traffic
from tradebot.market.venue import Balance, Broker, Feed, Fill, Instrument, Order, OrderPair, OrderReport, Ticker

__all__ = ["VENUES", "BinanceClient", "Credentials", "Profile"]

T = TypeVar("T")
Times: TypeAlias = Mapping[str, float]  # seconds, by httpx's names
log = logging.getLogger(__name__)
RECV_WINDOW_MS = 5_000
ORDER_TIMEOUT_S = 15.0  # the venue itself gives up on its matching engine after 10 s and says so
PATIENCE_MS = 3_000  # a longer wait for the budget is the caller's decision
LOOK_AGAIN_MS = 50
PAGE = 1_000
OWN_TIME = ("stepped", "scaled")  # clocks that do not go with the machine's
NO_SUCH_PATH = 404
OPEN = ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")

for _name in ("httpx", "httpcore"):  # they log every URL, signatures included, at INFO
    logging.getLogger(_name).setLevel(logging.WARNING)


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"'{text}' is not an address such as https://api.binance.com; see --base-url")
    return url


class BinanceClient(Feed, Broker):
    """A venue of the Binance protocol; an async context manager.

    Reads are tried again (`retries` times, with growing jittered delays) where that can help;
    orders are sent once. With `transport` given nothing leaves the process but through it. Of the
    venue's limits it uses `share`, counted in `tally`, which it closes. Raises what `Feed` and
    `Broker` promise.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        base_url: str = "",
        timeout_s: float = 10.0,
        connections: int = 50,
        retries: int = 3,
        credentials: Credentials | None = None,
        seed: int = 0,
        share: float = CEILING,
        tally: Tally | None = None,
    ) -> None:
        url = _address(base_url or profile.base_url)
        self.profile = profile
        self.where = f"{profile.name} at {url.netloc.decode()}"
        self.requests = 0
        self.weight = 0
        self.network_ms = 0.0
        self.rtt_ms = 0.0
        self.spans: deque[tuple[float, float]] = deque(
            maxlen=0
        )  # of requests, real ms; whoever wants them sets another
        self.sim_clock = ""
        self.sim_speed = 1.0
        self._tally = tally or Tally()
        self.budget = Budget(clock, profile.limits, share=share, tally=self._tally)
        self._base = str(url).rstrip("/")
        self._clock = clock
        self._retries = retries
        self._credentials = credentials
        self._seed = seed
        self._bulk = asyncio.Semaphore(connections)
        if transport is None:
            from tradebot.market.transport import NetworkTransport

            transport = NetworkTransport(connections=connections, encrypted=url.scheme == "https")
        self._read_times = _times(timeout_s, timeout_s)
        self._order_times = _times(timeout_s, max(timeout_s, ORDER_TIMEOUT_S))
        self._transport = transport

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where}>"

    async def __aenter__(self) -> BinanceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections and the tally."""
        await self._transport.aclose()
        self._tally.close()

    # --- market data

    async def time(self) -> int:
        """The venue's clock, UTC ms; sets the program's clock, and `sim_clock` for a simulated venue."""

        def synced(reply: Any) -> int:
            server = wire.server_time(reply)
            self._clock.sync(server, self.rtt_ms)
            self.budget.heard(self._clock.now() - wall_ms(), own_time=self.sim_clock in OWN_TIME)
            return server

        return await self._read("time", _json(synced))

    async def instruments(self) -> Mapping[str, Instrument]:
        """All symbols with their rules; the venue's own limits are taken over."""

        def rules(reply: Any) -> Mapping[str, Instrument]:
            self.budget.learn(wire.limits(reply))
            return wire.instruments(reply)

        return await self._read("instruments", _json(rules))

    async def tickers(self) -> Mapping[str, Ticker]:
        """24 h statistics of all symbols."""
        return await self._read("tickers", _json(wire.tickers))

    async def prices(self) -> Mapping[str, Decimal]:
        """Last price of all symbols."""
        return await self._read("prices", _json(wire.prices))

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        """Up to `limit` bars (and the venue's own most) from open time `start` on, or the newest if None."""
        limit = min(limit, self.profile.kline_limit)
        parameters: Parameters = [("symbol", symbol), ("interval", interval), ("limit", limit)]
        if start is not None:
            parameters = [*parameters, ("startTime", start)]
        async with self._bulk:
            return await self._read("klines", wire.klines, parameters, self.profile.kline_cost(limit))

    # --- the account

    async def balances(self) -> Mapping[str, Balance]:
        """What is held, by asset; assets of which there is nothing are left out."""
        return await self._read("balances", _json(wire.balances))

    async def holder(self) -> Holder:
        """Whose account it is, with its balances."""
        return await self._read("balances", _json(read_holder))

    async def key_rights(self) -> KeyRights | None:
        """What our key may do; None where the venue does not tell, as testnets do not."""
        try:
            return await self._read("rights", _json(read_rights))
        except VenueRejected as refusal:
            if refusal.status == NO_SUCH_PATH:
                return None
            raise

    async def submit(self, order: Order) -> OrderReport:
        """Send once; see `Broker.submit` and `failures.order_failure`."""
        return await self._command("submit", wire.order_parameters(order), order.client_id, wire.order_report)

    async def submit_pair(self, pair: OrderPair) -> list[OrderReport]:
        """Send two orders, of which one cancels the other, once; see `Broker.submit_pair`."""
        return await self._command("submit_pair", wire.pair_parameters(pair), pair.client_id, wire.pair_reports)

    async def cancel(self, symbol: str, client_id: str) -> OrderReport:
        """Cancel an open order; its final report, also if it was filled or cancelled meanwhile."""
        parameters = [("symbol", symbol), ("origClientOrderId", client_id)]
        try:
            return await self._command("cancel", parameters, client_id, wire.order_report)
        except OrderRejected as refusal:
            if refusal.code != failures.CANCEL_REJECTED:
                raise
            report = await self.order(symbol, client_id)
            if report is None or report.status in OPEN:
                raise
            return report

    async def order(self, symbol: str, client_id: str) -> OrderReport | None:
        """The order as it is now; None if the venue does not know it, which is no proof right after sending."""
        parameters = [("symbol", symbol), ("origClientOrderId", client_id)]
        try:
            return await self._read("order", _json(wire.order_report), parameters)
        except VenueRejected as error:
            if error.code == failures.UNKNOWN_ORDER:
                return None
            raise

    async def open_orders(self) -> list[OrderReport]:
        """All orders that can still be filled, of all symbols."""
        return await self._read("open_orders", _json(wire.order_reports))

    async def trades(self, symbol: str, since: int) -> list[Fill]:
        """Fills of a symbol from `since` (UTC ms) on, oldest first."""
        found: dict[int, Fill] = {}
        start, now = since, self._clock.now()
        while start <= max(now, since):
            # The venue wants bounds at most a day apart; a full page is followed by id instead.
            bounds = {"startTime": start, "endTime": start + DAY - 1}
            page = await self._read("trades", _json(wire.fills), [("symbol", symbol), *bounds.items(), ("limit", PAGE)])
            found |= {fill.trade_id: fill for fill in page}
            while len(page) == PAGE:
                follow: Parameters = [("symbol", symbol), ("fromId", page[-1].trade_id + 1), ("limit", PAGE)]
                page = await self._read("trades", _json(wire.fills), follow)
                found |= {fill.trade_id: fill for fill in page}
                start = now
            start += DAY
        return sorted(found.values(), key=lambda fill: (fill.time, fill.trade_id))

    # --- the simulated venue's own

    async def sim_now(self) -> int:
        """The simulated venue's time from its control endpoint; takes over `sim_clock` and `sim_speed`."""
        return await self._control("GET", b"")

    async def sim_advance(self, to: int) -> int:
        """Move a stepped simulated venue on to `to` (UTC ms); its time after that."""
        return await self._control("POST", orjson.dumps({"now": to}))

    async def _control(self, method: str, body: bytes) -> int:
        url = self._base + "/sim/clock"

        async def once() -> int:
            request = httpx.Request(method, url, content=body, extensions={"timeout": self._read_times})
            with self._named():
                response = await self._exchange(request)
                if not response.is_success:
                    raise self._error(response)
                reply = wire.parsed(response.content)
                with wire.reading("sim clock"):
                    self.sim_clock, self.sim_speed = str(reply["mode"]), float(reply.get("speed", 1.0))
                    return int(reply["now"])

        return await self._patiently("sim clock", once)  # to say a time twice does no harm

    # --- one request

    async def _read(
        self, name: str, parse: Callable[[bytes], T], parameters: Parameters = (), cost: Cost | None = None
    ) -> T:
        """Ask, and ask again where that can help."""
        endpoint = self._endpoint(name)

        async def once() -> T:
            reply = await self._ask(endpoint, parameters, cost or endpoint.cost, self._read_times)
            with self._named():
                return parse(reply)

        return await self._patiently(name, once)

    async def _patiently(self, name: str, once: Callable[[], Awaitable[T]]) -> T:
        """Do it, and again, up to `retries` times, where that can help."""
        seed = f"{self._seed}/{self.requests}"
        attempt = 0
        while True:
            attempt += 1
            try:
                return await once()
            except MarketError as fault:
                delay = retry_delay_ms(fault, attempt, seed)
                if delay is None or attempt > self._retries or _too_long(fault):
                    raise
                log.debug("try %d of %s failed: %s", attempt, name, fault)
                await asyncio.sleep(delay / 1000)

    async def _command(self, name: str, parameters: Parameters, client_id: str, parse: Callable[[Any], T]) -> T:
        """Send an order request once."""
        try:
            endpoint = self._endpoint(name)
            reply = await self._ask(endpoint, parameters, endpoint.cost, self._order_times)
            with self._named():
                return parse(wire.parsed(reply))
        except MarketError as error:
            raise failures.order_failure(error, client_id) from None

    def _endpoint(self, name: str) -> Endpoint:
        """`VenueRejected` where the venue has no such endpoint, or we have no key for it: nothing is sent then."""
        endpoint = self.profile.endpoints.get(name)
        if endpoint is None:
            raise VenueRejected(f"{self.where}: {name} is not supported on this venue", code=0, status=404)
        if endpoint.signed and self._credentials is None:
            raise VenueRejected(f"{self.where}: this needs an API key", code=0, status=401)
        return endpoint

    async def _admit(self, cost: Cost) -> None:
        """Return when `cost` may be spent; `VenueBusy` if that is not soon, or never by itself.

        Orders never wait: what they were decided on would be another moment's.
        """
        while wait := self.budget.wait_ms(cost):
            before = self._clock.now()
            if wait <= PATIENCE_MS and cost.traffic is not Traffic.ORDER:
                await asyncio.sleep(min(wait, LOOK_AGAIN_MS) / 1000)
            if self._clock.now() == before:  # too long, or a clock that stands while we work
                seconds = -(-wait // SECOND)
                message = f"{self.where}: its limit allows no request for {seconds} s"
                raise VenueBusy(message, wait_ms=wait, status=429)

    async def _ask(self, endpoint: Endpoint, parameters: Parameters, cost: Cost, times: Times) -> bytes:
        """One exchange; a signed one that comes too early or late is signed again after one look at the clock."""
        try:
            return await self._once(endpoint, parameters, cost, times)
        except VenueRejected as refusal:
            if refusal.code != failures.CLOCK_CODE:
                raise
            try:
                await self.time()
            except MarketError:
                raise refusal from None
        return await self._once(endpoint, parameters, cost, times)

    async def _once(self, endpoint: Endpoint, parameters: Parameters, cost: Cost, times: Times) -> bytes:
        """Wait for leave, send, and note what the reply says of the limits. Signed anew each time."""
        await self._admit(cost)
        sent, told = self._clock.now(), dict[Limit, int]()
        self.weight += cost.weight
        try:
            response = await self._exchange(self._request(endpoint, parameters, times))
            told = self._told(response) if endpoint.exact else told
        finally:
            self.budget.answered(cost, told, sent)
        if not response.is_success:
            raise self._refused(response)
        return response.content

    def _request(self, endpoint: Endpoint, parameters: Parameters, times: Times) -> httpx.Request:
        """The request as it goes out at once: signed ones carry the present moment."""
        headers = {"Accept-Encoding": "gzip, deflate"}
        if endpoint.signed and self._credentials:
            parameters = [*parameters, ("recvWindow", RECV_WINDOW_MS), ("timestamp", self._clock.now())]
            headers["X-MBX-APIKEY"] = self._credentials.key
        payload = query(parameters)
        if endpoint.signed and self._credentials:
            payload += f"&signature={self._credentials.sign(payload)}"
        url = f"{self._base}{endpoint.path}?{payload}" if payload else self._base + endpoint.path
        return httpx.Request(endpoint.method, url, headers=headers, extensions={"timeout": times})

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """Send and wait for the body. The only place that touches the network and that translates its errors."""
        started = monotonic_ms()
        self.requests += 1
        try:
            async with asyncio.timeout(request.extensions["timeout"]["read"]):
                response = await self._transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
        except (httpx.HTTPError, OSError) as error:  # TimeoutError is an OSError
            raise failures.unreachable(error, self.where) from None
        finally:
            ended = monotonic_ms()
            self.rtt_ms = ended - started
            self.network_ms += self.rtt_ms
            self.spans.append((started, ended))
        return response

    def _told(self, response: httpx.Response) -> dict[Limit, int]:
        """What the venue says is used of each limit, and of its clock."""
        headers = {name.lower(): value for name, value in response.headers.raw}
        self.sim_clock = headers.get(b"x-sim-clock", self.sim_clock.encode()).decode()
        counts = [(window.limit, headers.get(wire.counter(*window.limit), b"")) for window in self.budget.known.windows]
        return {limit: int(count) for limit, count in counts if count.isdigit()}

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Names the venue in what `wire` complains of."""
        try:
            yield
        except BadReply as error:
            raise BadReply(f"{self.where}: {error}") from None

    def _refused(self, response: httpx.Response) -> MarketError:
        """The error of a reply, and silence where it asks for that."""
        error = self._error(response)
        if silence := failures.silence(error):
            if not self.budget.silent_ms(silence[1]):
                log.warning("%s", error)
            self.budget.silence(*silence)
        return error

    def _error(self, response: httpx.Response) -> MarketError:
        try:
            reply = wire.parsed(response.content)
        except BadReply:
            reply = None
        return failures.refused(response.status_code, response.headers, reply, self.where, self._clock.now())


def _json(parse: Callable[[Any], T]) -> Callable[[bytes], T]:
    return lambda raw: parse(wire.parsed(raw))


def _times(connect_s: float, answer_s: float) -> Times:
    # Half the time for the connection, so that a request which never left is known as such.
    return {"connect": connect_s / 2, "pool": connect_s / 2, "read": answer_s, "write": answer_s}


def _too_long(fault: MarketError) -> bool:
    return isinstance(fault, VenueBusy) and fault.wait_ms > PATIENCE_MS
