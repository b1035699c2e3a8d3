"""What a venue is asked and what it answers, who carries that, and the place among many that it takes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, TypeAlias

import httpx

from tradebot.clock import monotonic_ms

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


class Carrier(Protocol):
    """Carries requests to one venue and answers back. Raises httpx's errors only, or `OSError`."""

    async def send(self, request: Request, over: Over) -> Answer:
        """Send it, once, and wait for all of the answer."""

    async def aclose(self) -> None:
        """End what is under way."""


class Adapter:
    """Carries through one of httpx's transports: the exchange in process, faults around it, doubles in tests."""

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

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class Place:
    """One of the places behind a gate, held to the end of a block or until `leave`; without a gate there are enough."""

    def __init__(self, gate: asyncio.Semaphore | None) -> None:
        self._gate = gate

    @classmethod
    async def taken(cls, gate: asyncio.Semaphore | None) -> Place:
        """Wait for one."""
        if gate is not None:
            await gate.acquire()
        return cls(gate)

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
            gate.release()
