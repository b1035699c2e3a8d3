"""The request weight that a venue allows, and when to try again.

Nothing here sleeps or reads a clock of its own: the budget *returns* how long to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from tradebot.clock import MINUTE, Clock
from tradebot.errors import TradebotError

FIRST_DELAY_MS = 200
LONGEST_DELAY_MS = 5_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of a budget.

    `used` weight in the calendar minute that begins at `minute`, and the moment `until` which the
    venue wants to hear nothing (UTC ms).
    """

    minute: int = 0
    used: int = 0
    until: int = 0


class Budget:
    """The weight of one venue and address, in venue time.

    `limit` is the venue's for a calendar minute; of it `margin` (0 to 1) may be spent here. The
    venue's own counter is the truth, since it sees every process behind the address; the local
    count is its floor, since it sees what is still in the air.
    """

    def __init__(self, clock: Clock, limit: int, margin: float = 0.9) -> None:
        self.limit = limit
        self.margin = margin
        self._clock = clock
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The state of this minute."""
        # A clock set back a little by a new measurement must not bring back the budget of a minute gone
        # by; one set back by more is a venue that has begun its time anew.
        minute = self._clock.now() // MINUTE * MINUTE
        if minute > self._usage.minute or minute < self._usage.minute - MINUTE:
            self._usage = replace(self._usage, minute=minute, used=0)
        return self._usage

    def wait_ms(self, weight: int) -> int:
        """0, and `weight` is spent; or the venue ms to wait before asking again, and nothing is."""
        usage = self.usage
        if blocked := self.blocked_ms():
            return blocked
        # A request heavier than the whole share may go when nothing else was spent.
        if usage.used and usage.used + weight > self.limit * self.margin:
            return max(1, usage.minute + MINUTE - self._clock.now())
        self._usage = replace(usage, used=usage.used + weight)
        return 0

    def blocked_ms(self) -> int:
        """Venue ms until the venue may be asked anything again; 0 if it may now."""
        return max(0, self._usage.until - self._clock.now())

    def observe(self, used: int, sent: int) -> None:
        """Take in the venue's counter from the reply to a request of the moment `sent`."""
        usage = self.usage
        if sent >= usage.minute:  # the counter of an earlier minute says nothing about this one
            self._usage = replace(usage, used=max(usage.used, used))

    def block(self, wait_ms: int) -> None:
        """Nothing may be sent for `wait_ms` venue ms."""
        self._usage = replace(self.usage, until=max(self._usage.until, self._clock.now() + wait_ms))


def retry_delay_ms(fault: TradebotError, attempt: int, seed: str) -> float | None:
    """Real ms to wait after `attempt` failed tries, the last with `fault`; None if no try can help.

    Doubles from try to try between two bounds. The lower half of each delay is fixed and the upper
    random, so that many requests that failed together do not come back together; the same seed
    gives the same delay.
    """
    if not fault.retryable:
        return None
    ceiling = float(min(FIRST_DELAY_MS << (attempt - 1), LONGEST_DELAY_MS))
    return ceiling * (1 + Random(f"{seed}/{attempt}").random()) / 2  # noqa: S311 (spreads load, guards nothing)
