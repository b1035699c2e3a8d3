"""What a venue is asked and what it answers, who carries that, and the place among many that it takes meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import httpx

from tradebot.clock import monotonic_ms


class Leaves(Protocol):
    """What is left at its end."""

    def leave(self) -> None:
        """Once or more often."""


Left = TypeVar("Left", bound=Leaves)
GOOD = range(200, 300)  # of a reply that is what was asked for
Times: TypeAlias = Mapping[str, float]  # seconds, by httpx's names
Over: TypeAlias = Callable[[], None]
"""Called as soon as a good reply is whole, before anybody reads it: what waits goes out first."""


def nobody_waits() -> None:
    """Where no other request waits for the end of one."""


class Request(NamedTuple):
    """One request; `target` is path and query below the venue's address, percent-encoded."""

    method: str
    target: str
    times: Times
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        """Without what may be a key or a signature."""
        return f"<{self.method} {self.target.partition('?')[0]}>"


class Answer(NamedTuple):
    """A whole reply: the names of its headers in small letters, its body unpacked; when it `came` by `monotonic_ms`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    came: float

    @property
    def good(self) -> bool:
        """Whether it is what was asked for, not a refusal."""
        return self.status in GOOD


class Flight(Protocol):
    """A request that has been written; either its answer is waited for, or it is given up."""

    began: float  # by `monotonic_ms`

    async def answer(self) -> Answer:
        """Wait for all of it."""

    def leave(self) -> None:
        """Nobody waits any more."""


@runtime_checkable
class Carrier(Protocol):
    """Carries requests to one venue and answers back. Raises httpx's errors only, or `OSError`."""

    async def send(self, request: Request, over: Over) -> Answer:
        """Send it, once, and wait for all of the answer."""

    def begin(self, request: Request, over: Over) -> Flight | None:
        """Write it at once, if that is possible without waiting for anything; raises nothing."""

    async def aclose(self) -> None:
        """End what is under way."""


class Adapter:
    """Carries through one of httpx's transports: faults around an exchange in process, doubles in tests."""

    def __init__(self, transport: httpx.AsyncBaseTransport, base: str) -> None:
        self._transport = transport
        self._base = base

    async def send(self, request: Request, over: Over) -> Answer:
        """Of the time-outs `read` is for all of it; `TimeoutError` when that has passed."""
        method, target, times, headers, body = request
        sent = httpx.Request(
            method, self._base + target, headers=headers, content=body, extensions={"timeout": times}
        )  # fmt: skip
        async with asyncio.timeout(times["read"]):
            response = await self._transport.handle_async_request(sent)
            try:
                await response.aread()
            finally:
                await response.aclose()
        answer = Answer(response.status_code, response.headers, response.content, monotonic_ms())
        if answer.good:
            over()
            await asyncio.sleep(0)  # what waits goes out first
        return answer

    def begin(self, request: Request, over: Over) -> None:
        """Never: who carries it may have to be waited for."""

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class Gate:
    """So many places. Who waits for one begins in the moment in which another one leaves: no work comes between."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting = deque[Callable[[], bool]]()  # each tells whether it still wants its place

    @property
    def full(self) -> bool:
        """Whether who comes now has to wait."""
        return not self._free

    def now(self) -> Place:
        """A place while it is not `full`."""
        self._free -= 1
        return Place(self)

    async def taken(self, begin: Callable[[Place], Left]) -> Left:
        """Wait for a place, and what `begin` has made of it in that moment; what it raises comes out here."""
        if not self.full:
            place = self.now()
            try:
                return begin(place)
            except BaseException:
                place.leave()
                raise
        turn = asyncio.get_running_loop().create_future()

        def go() -> bool:
            if turn.done():  # who waited was cancelled
                return False
            try:
                turn.set_result(begin(Place(self)))
            except Exception as error:  # not the one's who leaves
                turn.set_exception(error)
                return False
            return True

        self._waiting.append(go)
        try:
            left: Left = await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                turn.result().leave()
            raise
        return left

    def leave(self) -> None:
        """Let in who waits, or have one place more."""
        while self._waiting:
            if self._waiting.popleft()():
                return
        self._free += 1


def as_it_is(place: Place) -> Place:
    """For who begins nothing yet."""
    return place


class Place:
    """One of the places behind a gate, held to the end of a block or until `leave`; without a gate there are enough."""

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Let in who waits, if that was not done before."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()
