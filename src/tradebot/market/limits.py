"""The limits of a venue, shared fairly, and when to try again.

Nothing here sleeps or reads a clock of its own: the budget *returns* how long to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import NamedTuple

from tradebot.clock import Clock
from tradebot.errors import TradebotError
from tradebot.market.tally import Tally
from tradebot.market.usage import Cost, Limit, Traffic, Usage, Window

FIRST_DELAY_MS = 200
LONGEST_DELAY_MS = 5_000
CEILING = 0.9  # of a limit, for all processes together: others behind the address are seen late
BULK = 0.85  # of a share, for klines: after any burst the rest is there for marks, orders and rules
NEVER = (0, 0)  # a window that has not begun
MOST_AT_ONCE = 32  # of bulk reads that follow one another


class Ahead(NamedTuple):
    """Of `number` bulk reads, counted with the first of them, those that are `left`; until a window ends."""

    cost: Cost = Cost()
    number: int = 0
    left: int = 0
    until: int = 0


class Budget:
    """What may be sent to one venue from one address, in venue time.

    `limits` are the venue's until it names others. Of each, this process may use `share` (0 to 1),
    and all that use the same `tally` together `CEILING`, or `share` if that is more. The venue's own
    counters are the truth, since they see every process behind the address; the local ones are their
    floor, since they see what is still in the air. Orders may go up to the venue's limit itself.
    Of bulk reads that follow one another some are counted ahead, which takes less time, and given back as
    soon as anything else is asked.
    """

    def __init__(
        self, clock: Clock, limits: Iterable[Window], *, share: float = CEILING, tally: Tally | None = None
    ) -> None:
        most = max(share, CEILING)
        self._caps = {
            Traffic.READ: (share, most),
            Traffic.BULK: (share * BULK, most * BULK),
            Traffic.ORDER: (1.0, 1.0),
        }
        self._clock = clock
        self._tally = tally or Tally()
        self._air: list[Cost] = []
        self._ahead = Ahead()
        self._own: dict[Limit, tuple[int, int]] = {}  # begin and what this process has used since
        self._tally.update(lambda known: known if known.windows else known.limited(tuple(limits)))

    @property
    def usage(self) -> Usage:
        """What is known at this moment."""
        return self._tally.update(lambda usage: self._present(usage, self._clock.now()))

    @property
    def known(self) -> Usage:
        """What was last seen, whatever time it is: for who does not know the venue's time yet."""
        return self._tally.usage

    def wait_ms(self, cost: Cost) -> int:
        """0, and it is spent until `answered`; or the venue ms to wait before asking again, and nothing is."""
        wait, now = 0, self._clock.now()

        def admit(usage: Usage) -> Usage:
            nonlocal wait
            usage = self._present(usage, now)
            wait = usage.silent_ms(cost.traffic, now) or self._full_ms(usage, cost, now)
            return usage if wait else self._spent(usage, self._with_more(usage, cost, now))

        if not self._was_ahead(cost, now):
            self._tally.update(admit)
        if not wait:
            self._air.append(cost)
        return wait

    def barred_ms(self, cost: Cost) -> int:
        """0 if what was admitted may still go, by what our own replies have said since; or the venue ms to wait."""
        now, most, usage = self._clock.now(), self._caps[cost.traffic][1], self.known
        full = [each for each in usage.windows if each.used > most * each.most]
        if not full and not usage.silent_ms(cost.traffic, now):  # time alone makes nothing full or silent
            return 0
        usage = usage.at(now)
        over = [each for each in usage.windows if 0 < cost.of(each.what) < each.used > most * each.most]
        return max(usage.silent_ms(cost.traffic, now), *(each.left(now) for each in over), 0)

    def silent_ms(self, traffic: Traffic = Traffic.READ) -> int:
        """Venue ms until the venue may be asked such things again; 0 if it may now."""
        return self.usage.silent_ms(traffic, self._clock.now())

    def answered(self, cost: Cost, told: Mapping[Limit, int], sent: int) -> None:
        """What was sent at the moment `sent` is over; `told` are the counters of the reply, if there was one."""
        self._air.remove(cost)
        ahead, air = self._ahead.cost.times(self._ahead.left), self._air  # the venue does not know of all of it yet
        mine = [each for each in self.known.windows if each.limit in told]
        if [each for each in mine if _heard(each, told, sent, ahead) > each.used]:
            self._tally.update(lambda usage: _truer(usage, told, sent, ahead, air))

    def learn(self, limits: Iterable[Window]) -> None:
        """Take over the limits that the venue names."""
        windows = tuple(limits)
        if windows:
            self._tally.update(lambda usage: self._given_back(usage).limited(windows))  # a new limit has counted none

    def close(self) -> None:
        """Give back what was not used, and close the tally."""
        if self._ahead.left:
            self._tally.update(self._given_back)
        self._tally.close()

    def silence(self, wait_ms: int, traffic: Traffic = Traffic.READ) -> None:
        """No such requests for `wait_ms` venue ms; READ is everything."""
        now = self._clock.now()
        self._tally.update(lambda usage: usage.at(now).silenced(traffic, wait_ms, now))

    def heard(self, ahead: int, *, own_time: bool) -> None:
        """Note the venue's clock for processes that must know it without asking; see `Usage`."""
        self._tally.update(lambda usage: usage._replace(ahead=ahead, own_time=own_time))

    def _present(self, usage: Usage, now: int) -> Usage:
        """The state now. What of ours is in the air when a window begins is going to count in it."""
        own = self._own
        if self._ahead.left:
            usage = self._given_back(usage)
        if not [each for each in usage.windows if not each.holds(now) or own.get(each.limit, NEVER)[0] != each.begin]:
            return usage  # a list, as for so few it takes less time than `any`
        usage = usage.at(now)
        windows = list(usage.windows)
        for place, window in enumerate(windows):
            if own.get(window.limit, NEVER)[0] != window.begin:
                late = sum(cost.of(window.what) for cost in self._air)
                own[window.limit] = window.begin, late
                windows[place] = window.taken(late)
        return usage._replace(windows=tuple(windows))

    def _full_ms(self, usage: Usage, cost: Cost, now: int) -> int:
        """Ms until the last of the windows that are too full for `cost` ends."""
        share, most = self._caps[cost.traffic]
        wait = 0
        for window in usage.windows:
            if amount := cost.of(window.what):
                own = self._own[window.limit][1]
                # One that is heavier than the whole share may go when nothing else was spent.
                alone = own and own + amount > share * window.most
                together = window.used and window.used + amount > most * window.most
                if alone or together:
                    wait = max(wait, window.left(now))
        return wait

    def _spent(self, usage: Usage, cost: Cost) -> Usage:
        windows = []
        for window in usage.windows:
            if amount := cost.of(window.what):
                begin, own = self._own[window.limit]
                self._own[window.limit] = begin, own + amount
            windows.append(window.taken(amount))
        return Usage(tuple(windows), *usage[1:])  # a third of the time of `_replace`

    # --- counted ahead

    def _was_ahead(self, cost: Cost, now: int) -> bool:
        """Whether it is counted already, and nobody has changed anything since."""
        ahead = self._ahead
        if not ahead.left or ahead.cost != cost or now >= ahead.until:
            return False
        if self.barred_ms(cost) or not self._tally.stands():
            return False
        self._ahead = ahead._replace(left=ahead.left - 1)
        return True

    def _with_more(self, usage: Usage, cost: Cost, now: int) -> Cost:
        """What to count at once: itself, and of bulk reads twice as many as last time, if they fit."""
        if cost.traffic is not Traffic.BULK:
            return cost
        goes_on = self._ahead.cost == cost and now < self._ahead.until
        number = min(2 * self._ahead.number, MOST_AT_ONCE) if goes_on else 1
        if number > 1 and self._full_ms(usage, cost.times(number), now):
            number = 1
        until = min([each.begin + each.length for each in usage.windows], default=now)
        self._ahead = Ahead(cost, number, number - 1, until)
        return cost.times(number)

    def _given_back(self, usage: Usage) -> Usage:
        """Without what was not used; what a window that is over has seen of it is forgotten with that."""
        back, self._ahead = self._ahead.cost.times(-self._ahead.left), Ahead()
        windows = list(usage.windows)
        for place, window in enumerate(windows):
            begin, own = self._own.get(window.limit, NEVER)
            if begin == window.begin and (amount := back.of(window.what)):
                self._own[window.limit] = begin, own + amount
                windows[place] = window.taken(max(amount, -window.used))  # the file may be another one by now
        return Usage(tuple(windows), *usage[1:])


def _heard(window: Window, told: Mapping[Limit, int], sent: int, ahead: Cost) -> int:
    """What is used of a window by its counter, if it has one; of what was sent before it began there is none."""
    count = told.get(window.limit, 0) if sent >= window.begin else 0
    return count and count + ahead.of(window.what)


def _truer(usage: Usage, told: Mapping[Limit, int], sent: int, ahead: Cost, air: Iterable[Cost]) -> Usage:
    """With what others have used; all of ours in the air counts beside it, or each reply would tell a little more."""
    windows = list(usage.windows)
    for place, window in enumerate(windows):
        if (heard := _heard(window, told, sent, ahead)) > window.used:
            windows[place] = window._replace(used=heard + sum(cost.of(window.what) for cost in air))
    return usage._replace(windows=tuple(windows))


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
