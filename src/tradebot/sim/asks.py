"""What several clients wait for at once, computed together: days of a tile cost a tenth of what each costs alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tradebot.market.bars import Times
from tradebot.sim.path import MINUTES
from tradebot.sim.shapes import LENGTH


@dataclass(eq=False, slots=True)
class Need:
    """A day of a coin (by its place) to be computed: minutes `first` to `last` of it, whole hours.

    `bars` are the numbers of bars a day that it is wanted as: `MINUTES`, 24 or 1, the latter of whole
    days. `made` has them when it is done: minutes as a block `(7, last - first)`, coarser ones `(10, n)`.
    """

    place: int
    day: int
    first: int
    last: int
    bars: set[int]
    made: dict[int, Times] = field(default_factory=dict)

    @property
    def hours(self) -> tuple[int, int]:
        """What has to be computed: the first of these hours of the day, and the one after the last."""
        return self.first // LENGTH, self.last // LENGTH

    @property
    def since(self) -> tuple[int, int]:
        """The first minute and the one after the last, since 1970."""
        start = self.day * MINUTES
        return start + self.first, start + self.last

    def join(self, other: Need) -> None:
        """Be what another one of the same day is as well."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.bars |= other.bars


class Asks:
    """Who waits for what. `work` makes needs, some at a step; `batch` of them are made in one go.

    Of who needs many, `share` at a time, so that nobody waits for all of them.
    """

    def __init__(self, batch: int, share: int, work: Callable[[Sequence[Need]], Iterator[None]]) -> None:
        self._size = batch
        self._share = share
        self._work = work
        self._pending: dict[tuple[int, int], Need] = {}
        self._waiting: deque[deque[Need]] = deque()
        self._begun: Iterator[None] = iter(())
        self._much: dict[int, deque[Need]] = {}

    def steps(self, needs: Sequence[Need]) -> Iterator[None]:
        """Have all of these made. Nothing is done before the second step, so that others can join in."""
        if not needs:
            return
        mine = deque(self._pending.setdefault((need.place, need.day), need) for need in needs)
        for shared, need in zip(mine, needs, strict=True):
            shared.join(need)
        self._waiting.append(deque(mine))
        yield
        if len(mine) <= self._share:
            while self._advance(mine):
                yield
        else:
            yield from self._in_turn(mine)

    def _in_turn(self, mine: deque[Need]) -> Iterator[None]:
        """Of those who need much only the first does something, for all of them: a round of all is then one step."""
        self._much[id(mine)] = mine
        try:
            while self._advance(mine) if next(iter(self._much)) == id(mine) else _missing(mine):
                yield
        finally:
            del self._much[id(mine)]

    def _advance(self, mine: deque[Need]) -> bool:
        """Do a step of what is being made, if any of these is not there yet; whether any is then still missing."""
        if _missing(mine) and not _stepped(self._begun):
            self._begun = self._work(self._batch())
            if not _stepped(self._begun):
                return False
        return _missing(mine)

    def _batch(self) -> list[Need]:
        """What to make next: a share of each who waits, in turns."""
        batch: list[Need] = []
        while self._waiting and len(batch) < self._size:
            left = self._waiting.popleft()
            for _ in range(min(self._share, len(left), self._size - len(batch))):
                need = left.popleft()
                if self._pending.get((need.place, need.day)) is need:
                    del self._pending[need.place, need.day]
                    batch.append(need)
            if left:
                self._waiting.append(left)
        return batch


def _stepped(work: Iterator[None]) -> bool:
    return any(True for _ in work)


def _missing(needs: deque[Need]) -> bool:
    """Whether any is not made yet; those at the front that are leave."""
    while needs and needs[0].made:
        needs.popleft()
    return bool(needs)
