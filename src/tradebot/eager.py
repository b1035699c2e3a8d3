"""Entries that go out while a cycle still looks: batch after batch, first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tradebot.look import Look


class Eager:
    """Hands the parts of a look to `enter`, one after the other, once all of `first` are over."""

    def __init__(self, enter: Callable[[Look], Awaitable[None]], *first: asyncio.Task[None]) -> None:
        self._enter = enter
        self._first = first
        self.tasks: list[asyncio.Task[None]] = []

    def take(self, part: Look) -> None:
        """A part of the look whose symbols have their predictions. Returns at once."""
        self.tasks.append(asyncio.create_task(self._after(part, *(self.tasks[-1:] or self._first))))

    async def _after(self, part: Look, *before: asyncio.Task[None]) -> None:
        if before:
            await asyncio.wait(before)
        await self._enter(part)

    async def done(self) -> None:
        """Return when all that was taken has been entered; a bug in that comes to light here."""
        if self.tasks:
            await asyncio.wait(self.tasks)
        for task in self.tasks:
            task.result()
