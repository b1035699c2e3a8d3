"""What a venue allows and what is used of it: windows of its time, and silences that it asked for.

Plain values and pure rules. All times are UTC ms of the venue's clock.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from tradebot.clock import DAY, HOUR

LONGEST_SILENCE = 3 * DAY  # the longest ban that is known of
Limit: TypeAlias = tuple[str, int]  # what is limited, and the length of its windows in ms
WEIGHT, REQUESTS, ORDERS = "REQUEST_WEIGHT", "RAW_REQUESTS", "ORDERS"
KINDS = {WEIGHT: 0, REQUESTS: 1, ORDERS: 2}  # what is limited: its place in a `Cost`


class Traffic(IntEnum):
    """What a request is for; a silence for READ holds for everything."""

    READ = 0
    BULK = 1
    ORDER = 2


class Cost(NamedTuple):
    """What a request takes of each of `KINDS`, and what it is for."""

    weight: int = 0
    requests: int = 1
    orders: int = 0
    traffic: Traffic = Traffic.READ

    def of(self, what: str) -> int:
        """What it takes of the limit `what`."""
        amount: int = self[KINDS[what]]
        return amount

    def times(self, number: int) -> Cost:
        """What so many of it take."""
        return Cost(self.weight * number, self.requests * number, self.orders * number, self.traffic)


class Window(NamedTuple):
    """A limit: at most `most` of `what` in each stretch of `length` ms; `used` since `begin`."""

    what: str
    length: int
    most: int
    begin: int = 0
    used: int = 0

    @property
    def limit(self) -> Limit:
        """What tells it from others."""
        return self[:2]

    def at(self, now: int) -> Window:
        """The window that holds `now`.

        A clock that is behind by up to one window is late and counts for the newest; one that is
        behind by more was set back, and what is used then counts for its present.
        """
        begin = now - now % self.length
        if begin > self.begin:
            return self._replace(begin=begin, used=0)
        return self if self.begin <= begin + self.length else self._replace(begin=begin)

    def holds(self, now: int) -> bool:
        """Whether `now` lies in it."""
        return self.begin <= now < self.begin + self.length

    def taken(self, amount: int) -> Window:
        """With so much more used."""
        return Window(self.what, self.length, self.most, self.begin, self.used + amount) if amount else self

    def left(self, now: int) -> int:
        """Ms to the end of the window: from 1 to its length."""
        return min(max(self.begin + self.length - now, 1), self.length)


class Silence(NamedTuple):
    """Nothing may be sent before `until`, as the venue said `length` ms before that."""

    until: int = 0
    length: int = 0

    def at(self, now: int) -> Silence:
        """Itself; or, if it is further off than it can be, because a clock was set back, begun anew at `now`."""
        return self if self.until - now <= self.length + HOUR else Silence(now + self.length, self.length)


class Usage(NamedTuple):
    """What all processes behind one address know of a venue's limits.

    `silences` are by `Traffic`. `ahead` is the venue's clock minus the machine's, unless the venue
    keeps a time of its own (`own_time`), as a simulated one may.
    """

    windows: tuple[Window, ...] = ()
    silences: tuple[Silence, ...] = (Silence(),) * len(Traffic)
    ahead: int = 0
    own_time: bool = False

    def at(self, now: int) -> Usage:
        """The state at `now`."""
        windows = tuple([each.at(now) for each in self.windows])
        silences = tuple([each.at(now) for each in self.silences])
        return self._replace(windows=windows, silences=silences)

    def silent_ms(self, traffic: Traffic, now: int) -> int:
        """Ms from `now` until such requests may be sent again; 0 if they may now."""
        return max(0, self.silences[Traffic.READ].until - now, self.silences[traffic].until - now)

    def silenced(self, traffic: Traffic, wait_ms: int, now: int) -> Usage:
        """With a silence from `now` on; one that ends later stays."""
        length = min(wait_ms, LONGEST_SILENCE)
        if now + length <= self.silences[traffic].until:
            return self
        silences = list(self.silences)
        silences[traffic] = Silence(now + length, length)
        return self._replace(silences=tuple(silences))

    def limited(self, limits: tuple[Window, ...]) -> Usage:
        """With the limits that the venue names now; what is used of those that stay is kept, and so are other kinds."""
        known = {each.limit: each for each in self.windows}
        named = {each.what for each in limits}
        kept = [known.get(new.limit, new)._replace(most=new.most) for new in limits]
        return self._replace(windows=(*kept, *(each for each in self.windows if each.what not in named)))
