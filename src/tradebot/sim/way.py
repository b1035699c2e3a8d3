"""The way of replies, which takes its time: whatever can be done before its end is done by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeAlias

from starlette.types import Message, Send

from tradebot.clock import monotonic_ms

CAME = "tradebot.came"  # in a request's scope: when it came, on the axis of `monotonic_ms`
Leave: TypeAlias = Callable[[], bool]  # sends a reply unless it was sent; False: not now, or not in this way
_Due: TypeAlias = tuple[float, int, Leave, asyncio.Future[None]]


class Way:
    """Replies leave `latency_ms` after their requests came: never earlier, and later only by what is just being done.

    One timer serves them all. What an event loop that has ended left behind is forgotten.
    """

    def __init__(self, latency_ms: float) -> None:
        self._latency = latency_ms
        self._numbers = count()
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._under_way: list[_Due] = []
        self._timer: asyncio.Handle | None = None
        self._leaving: float | None = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if (loop := asyncio.get_running_loop()) is not self._loop:
            self._begin(loop)
        return loop

    async def left(self) -> float:
        """When a request left (`monotonic_ms`): with all that this pass of the loop sends, at its end."""
        await asyncio.sleep(0)
        loop = self._running()
        if self._leaving is None:
            self._leaving = monotonic_ms()
            loop.call_soon(self._all_left)
        return self._leaving

    def _all_left(self) -> None:
        self._leaving = None

    async def back(self, came: float, send: Send, head: Message, body: Message) -> None:
        """Send a whole reply to what came at `came` (`monotonic_ms`); `Protocol` has made its bytes by then."""
        leave = _ready(send, head, body)
        await self.over(came, leave)
        if not leave():
            await send(head)
            await send(body)

    async def over(self, came: float, leave: Leave = bool) -> None:
        """Return when what came at `came` (`monotonic_ms`) has come all the way; `leave` is called before any task."""
        over = self._running().create_future()
        due: _Due = came + self._latency, next(self._numbers), leave, over
        heappush(self._under_way, due)
        if self._under_way[0] is due:
            self._look()
        await over

    def _look(self) -> None:
        """Let go what is due, all of it before any task goes on, and look again when more is.

        Event loops count in whole milliseconds and may be one too early or late: the last one is waited for in turns.
        """
        loop, wait = asyncio.get_running_loop(), 0.0
        while self._under_way and (wait := self._under_way[0][0] - monotonic_ms()) <= 0:
            loop.call_soon(_gone, *heappop(self._under_way)[2:])
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(int(wait) / 1000, self._look) if self._under_way else None


def _ready(send: Any, head: Message, body: Message) -> Leave:
    """How a reply leaves outside of its task, which over other servers' connections it cannot."""
    whole: Callable[[Message, Message], Leave] | None = getattr(send, "whole", None)
    return whole(head, body) if whole else bool


def _gone(leave: Leave, over: asyncio.Future[None]) -> None:
    if not over.done():  # cancelled
        over.set_result(None)
        leave()
