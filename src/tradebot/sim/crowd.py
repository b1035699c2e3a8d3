"""Who asks at the same time: what takes long is worked out for all of them together, between the others' turns."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from tradebot.sim.slices import InSteps

_PATIENCE = 20  # turns of the event loop in which nobody comes
_LONGEST_S = 0.02  # of others' work in these turns
_MOST = 64  # of whom a page in common costs no less than among fewer


class Crowd:
    """Works through answers in steps, a step in a turn of the event loop.

    Of clients that ask again as soon as they are answered one is always a little faster: it waits for those that came
    along the last time, and all together take a third of the time. Who was alone then waits for nobody.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._begin: asyncio.Event | None = None
        self._came = self._last = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for a turn of the event loop of one's own: before the next one requests are read and replies leave."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await turn

    def _next(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():  # cancelled
            turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    async def work(self, asked: InSteps) -> Any:
        """The answer, of those that are to be worked out alone one at a time."""
        if asked.alone:
            async with self._turn:
                return await _through(asked)
        for _ in asked.steps:  # the first one says what is needed
            await self._gathered()
            break
        return await _through(asked)

    async def _gathered(self) -> None:
        self._came += 1
        if self._begin is not None:
            await self._begin.wait()
            return
        begin = self._begin = asyncio.Event()
        try:
            await self._all_there()
        finally:
            self._last, self._came, self._begin = self._came, 0, None
            begin.set()

    async def _all_there(self) -> None:
        loop = asyncio.get_running_loop()
        until, quiet = loop.time() + _LONGEST_S, 0
        while quiet < (1 if self._came >= self._last else _PATIENCE) and self._came < _MOST and loop.time() < until:
            seen = self._came
            await asyncio.sleep(0)
            quiet = quiet + 1 if seen == self._came and not self._waiting else 0


async def _through(asked: InSteps) -> Any:
    for _ in asked.steps:
        await asyncio.sleep(0)
    return asked.result()
