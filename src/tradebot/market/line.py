"""The line to one venue: what is sent through it, within the venue's limits, and what that does to them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import httpx

from tradebot.clock import SECOND, Clock, monotonic_ms
from tradebot.errors import BadReply, ConfigError, MarketError
from tradebot.market import failures, wire
from tradebot.market.limits import CEILING, Budget
from tradebot.market.profiles import Endpoint, Profile
from tradebot.market.request import Adapter, Answer, Carrier, Flight, Gate, Over, Place, Request, Times, nobody_waits
from tradebot.market.signing import Credentials, Parameters, query
from tradebot.market.tally import Tally
from tradebot.market.usage import Cost, Limit, Traffic

if TYPE_CHECKING:
    from tradebot.market.transport import NetworkTransport

Spans: TypeAlias = deque[tuple[float, float, str]]
log = logging.getLogger(__name__)
RECV_WINDOW_MS = 5_000
HEADERS = (("Accept-Encoding", "gzip, deflate"),)
PATIENCE_MS = 3_000  # a longer wait for the budget is the caller's decision
LOOK_AGAIN_MS = 50
CONNECT_S = 2.0  # that connections may take to be ready beforehand

for _name in ("httpx", "httpcore"):  # they log every URL, signatures included, at INFO
    logging.getLogger(_name).setLevel(logging.WARNING)


def _address(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL:
        url = httpx.URL()
    possible = url.port is None or 0 < url.port < 2**16  # a resolver would take 65,617 for 81
    if url.scheme not in ("http", "https") or not url.host or not possible:
        raise ConfigError(f"'{text}' is not an address such as https://api.binance.com; see --base-url")
    return url


class Turn(NamedTuple):
    """A place to send from, the request if nothing in it ages, what went out of it, and when that was (venue ms)."""

    place: Place
    request: Request | None
    flight: Flight | None
    sent: int

    def leave(self) -> None:
        """Give up both."""
        if self.flight is not None:
            self.flight.leave()
        self.place.leave()


class Line:
    """Sends requests of a venue's protocol one by one, signed where they must be, and never one twice.

    Of bulk reads no more are in the air than there are `connections`; others have leave already while they wait,
    for which it is looked at once more. Of the venue's limits it uses `share`, counted in `tally`, which it
    closes. `requests`, `weight` and `network_ms` are of all that was sent; `spans`, of which none are kept unless
    somebody sets another deque, are when requests were in the air (real ms) and their paths and queries. Raises
    `MarketError`s only.
    """

    def __init__(
        self, profile: Profile, base_url: str, *, clock: Clock, transport: httpx.AsyncBaseTransport | None = None,
        connections: int = 50, credentials: Credentials | None = None, share: float = CEILING,
        tally: Tally | None = None,
    ) -> None:  # fmt: skip
        url = _address(base_url or profile.base_url)
        self.where = f"{profile.name} at {url.netloc.decode()}"
        self.requests = 0
        self.weight = 0
        self.network_ms = 0.0
        self.rtt_ms = 0.0
        self.spans: Spans = deque(maxlen=0)
        self.sim_clock = ""
        self._silent_since = 0
        self.budget = Budget(clock, profile.limits, share=share, tally=tally)
        self._gates = {Traffic.BULK: Gate(connections)}
        self._clock = clock
        self._credentials = credentials
        self._network: NetworkTransport | None = None
        self._carrier: Carrier
        if transport is None:
            from tradebot.market.transport import NetworkTransport

            self._carrier = self._network = NetworkTransport(url, connections=connections)
        elif isinstance(transport, Carrier):
            self._carrier = transport
        else:
            self._carrier = Adapter(transport, str(url).rstrip("/"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where}>"

    async def connect(self, requests: int) -> None:
        """Open the connections for so many requests at once, some seconds before they are sent; never during a ban.

        Over a distance each of them takes two or three times as long as a request. Asks and raises nothing.
        """
        if self._network is not None and not self.budget.silent_ms():
            await self._network.connect(requests, CONNECT_S)

    async def close(self) -> None:
        """Close all connections and the tally."""
        await self._carrier.aclose()
        self.budget.close()

    async def _control(self, method: str, path: str, body: bytes, times: Times) -> bytes:
        """Ask a simulated venue's own endpoints, which no limit counts."""
        answer = await self._exchange(Request(method, path, times, body=body))
        if not answer.good:
            raise self._error(answer)
        return answer.body

    async def _once(self, endpoint: Endpoint, parameters: Parameters, cost: Cost, times: Times) -> bytes:
        """Wait for leave and a place, send, and note what the reply says of the limits. Signed anew each time."""
        await self._admit(cost, self.budget.wait_ms)
        sent = self._clock.now()
        told: dict[Limit, int] = {}
        try:
            place, request, flight, sent = await self._turn(endpoint, parameters, cost, times)
            with place:
                if flight is None:
                    await self._admit(cost, self.budget.barred_ms)
                    sent = self._clock.now()
                self.weight += cost.weight
                request = request or self._request(endpoint, parameters, times)
                answer = await self._exchange(request, place.leave, flight)
                told = self._told(answer) if endpoint.exact else told
                if not answer.good:  # what waits for the place must not go out into a ban
                    raise self._refused(answer)
        finally:
            self.budget.answered(cost, told, sent)
        self._heard_again()
        return answer.body

    async def _turn(self, endpoint: Endpoint, parameters: Parameters, cost: Cost, times: Times) -> Turn:
        """Wait for one's turn, where there are not places enough; the request has then gone out, if it could."""
        if (gate := self._gates.get(cost.traffic)) is None:
            return Turn(Place(None), None, None, self._clock.now())
        request = self._request(endpoint, parameters, times)

        def begin(place: Place) -> Turn:
            flight = None if self.budget.barred_ms(cost) else self._carrier.begin(request, place.leave)
            return Turn(place, None if endpoint.signed else request, flight, self._clock.now())

        return await gate.taken(begin)

    def _request(self, endpoint: Endpoint, parameters: Parameters, times: Times) -> Request:
        """The request as it goes out at once: signed ones carry the present moment."""
        if not endpoint.signed or self._credentials is None:
            return Request(endpoint.method, target(endpoint.path, query(parameters)), times, HEADERS)
        payload = query([*parameters, ("recvWindow", RECV_WINDOW_MS), ("timestamp", self._clock.now())])
        payload += f"&signature={self._credentials.sign(payload)}"
        headers = (*HEADERS, ("X-MBX-APIKEY", self._credentials.key))
        return Request(endpoint.method, target(endpoint.path, payload), times, headers)

    async def _exchange(self, request: Request, over: Over = nobody_waits, flight: Flight | None = None) -> Answer:
        """Send, if that was not done, and wait for the body. The only place that translates the network's errors."""
        started, came = flight.began if flight else monotonic_ms(), 0.0
        self.requests += 1
        try:
            answer = await (flight.answer() if flight else self._carrier.send(request, over))
            came = answer.came
        except (httpx.HTTPError, OSError) as error:  # TimeoutError is an OSError
            raise failures.unreachable(error, self.where) from None
        finally:
            ended = came or monotonic_ms()
            self.rtt_ms = ended - started
            self.network_ms += self.rtt_ms
            self.spans.append((started, ended, request.target))
        return answer

    def _told(self, answer: Answer) -> dict[Limit, int]:
        """What the venue says is used of each limit, and of its clock."""
        headers = answer.headers
        self.sim_clock = headers.get("x-sim-clock", self.sim_clock)
        counts = [(wire.counted(name), count) for name, count in headers.items()]
        return {limit: int(count) for limit, count in counts if limit and count.isdecimal()}

    async def _admit(self, cost: Cost, wait_ms: Callable[[Cost], int]) -> None:
        """Return when nothing of `cost` has to wait; `VenueBusy` if that is not soon, or never by itself.

        Orders never wait: what they were decided on would be another moment's.
        """
        while wait := wait_ms(cost):
            before = self._clock.now()
            if wait <= PATIENCE_MS and cost.traffic is not Traffic.ORDER:
                await asyncio.sleep(min(wait, LOOK_AGAIN_MS) / 1000)
            if self._clock.now() == before:  # too long, or a clock that stands while we work
                raise failures.not_before(before, wait, self.where)

    def _refused(self, answer: Answer) -> MarketError:
        """The error of a reply, and silence where it asks for that."""
        error = self._error(answer)
        if silence := failures.silence(error):
            if not self.budget.silent_ms(silence[1]):
                log.warning("%s", error)
            self.budget.silence(*silence)
            if silence[1] is Traffic.READ:
                self._silent_since = self._silent_since or self._clock.now()
        return error

    def _heard_again(self) -> None:
        """Log that a silence has ended, once; a reply to what was sent before it does not end it."""
        if self._silent_since and not self.budget.silent_ms():
            log.warning("%s: answers again after %d s", self.where, (self._clock.now() - self._silent_since) // SECOND)
            self._silent_since = 0

    def _error(self, answer: Answer) -> MarketError:
        try:
            reply = wire.parsed(answer.body)
        except BadReply:
            reply = None
        return failures.refused(answer.status, answer.headers, reply, self.where, self._clock.now())


def target(path: str, query: str) -> str:
    """Path and query of a request."""
    return f"{path}?{query}" if query else path
