"""Venue time. Only this module reads the machine's clock.

`Clock.now()` is the venue's time in UTC milliseconds and nothing in the program may assume that
a venue second is a real second. Durations that are really real (latencies, time-outs, stage
times) come from `monotonic_ms`.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from tradebot.errors import UsageError

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def wall_ms() -> int:
    """The machine's own clock, UTC ms."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> float:
    """Real milliseconds since some fixed moment, for durations."""
    return time.perf_counter_ns() / 1e6


def cpu_seconds() -> float:
    """CPU time so far, in seconds, of this process and of those it has made that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def parse_time(text: str) -> int:
    """UTC ms of an ISO 8601 date or date-time (UTC unless it says otherwise) or of a number of ms.

    Raises `UsageError` for anything else, and for numbers that are plainly seconds or
    microseconds.
    """
    try:
        if text.isdigit():
            value = int(text)
        else:
            moment = datetime.fromisoformat(text)
            value = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except ValueError:
        raise UsageError(f"'{text}' is not a time; write it as 2018-01-20T00:00:00Z") from None
    if not 1e11 < value < 1e13:
        raise UsageError(
            f"'{text}' is not a time in milliseconds between 1973 and 2286; write it as 2018-01-20T00:00:00Z"
        )
    return value


def format_time(ms: int) -> str:
    """`2018-01-20 00:00:00` (UTC) of UTC ms."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Moments:
    """When things happened, on the axis of `monotonic_ms`, by name and step; of several the last counts."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, float]] = {}

    def note(self, step: str, names: Iterable[str]) -> None:
        """`step` has happened to all of these just now."""
        now = monotonic_ms()
        for name in names:
            self._found.setdefault(name, {})[step] = now

    def of(self, name: str) -> Mapping[str, float]:
        """The steps of one name."""
        return self._found.get(name, {})

    def take(self) -> dict[str, dict[str, float]]:
        """All that was noted since the last `take`, which is forgotten here."""
        found, self._found = self._found, {}
        return found


class Clock(Protocol):
    """A venue's clock."""

    def now(self) -> int:
        """The venue's time, UTC ms."""

    async def sleep_until(self, moment: int) -> None:
        """Return as soon as `now() >= moment`."""

    def sync(self, server_ms: int, rtt_ms: float) -> None:
        """Take in a server time that was read `rtt_ms / 2` real ms ago."""

    def real_ms(self, moment: int) -> float:
        """When the clock showed the past `moment` (venue UTC ms), on the axis of `monotonic_ms`."""


class RealClock:
    """Local clock plus offset, times `speed`; the offset is measured by `sync`.

    With `start` given the clock begins there instead of at the machine's time, which is how a
    simulated venue plays back the past.
    """

    def __init__(self, *, start: int | None = None, speed: float = 1.0) -> None:
        self.speed = speed
        self._origin = monotonic_ms()
        self._base = float(wall_ms() if start is None else start)

    def now(self) -> int:
        """The venue's time, UTC ms."""
        return int(self._base + (monotonic_ms() - self._origin) * self.speed)

    async def sleep_until(self, moment: int) -> None:
        """Return as soon as `now() >= moment`."""
        # A clock may be moved by `sync` while one sleeps, so look again at least once a second.
        while (left := (moment - self.now()) / self.speed) > 0:
            await asyncio.sleep(min(left / 1000 + 0.0005, 1.0))

    def sync(self, server_ms: int, rtt_ms: float) -> None:
        """Set the offset so that `now()` is the server's time, half a round trip later."""
        self._base = server_ms + rtt_ms / 2 * self.speed
        self._origin = monotonic_ms()

    def real_ms(self, moment: int) -> float:
        """When the clock showed `moment`, as far as its present offset and speed tell."""
        return self._origin + (moment - self._base) / self.speed


class SteppedClock:
    """Stands still until `advance` or `sync` moves it; it never goes back.

    With `drive=True` whoever sleeps moves it: time then passes only while nobody has work.
    """

    def __init__(self, start: int, *, drive: bool = False) -> None:
        self.drive = drive
        self._now = start
        self._moved = asyncio.Event()
        self._moved_at = monotonic_ms()

    def now(self) -> int:
        """The venue's time, UTC ms."""
        return self._now

    def advance(self, to: int) -> None:
        """Move on to `to` (UTC ms) and wake who waited for it."""
        if to > self._now:
            self._now, self._moved_at = to, monotonic_ms()
            self._moved.set()
            self._moved = asyncio.Event()

    async def sleep_until(self, moment: int) -> None:
        """Return when `now() >= moment`; with `drive` that is made so at once."""
        if self.drive:
            await asyncio.sleep(0)
            self.advance(moment)
        while self._now < moment:
            await self._moved.wait()

    def sync(self, server_ms: int, rtt_ms: float) -> None:
        """Follow a server that is ahead; how long the reply took does not matter to a clock that stands."""
        self.advance(server_ms)

    def real_ms(self, moment: int) -> float:
        """When the clock was moved last."""
        return self._moved_at
