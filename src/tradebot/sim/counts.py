"""How many orders an account may place that nobody fills: fixed windows of the venue's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tradebot.clock import DAY, SECOND
from tradebot.sim.books import Books
from tradebot.sim.refusals import Refused

# What a first fill gives back: more to those who wait on the book.
TAKEN, MADE = 1, 5


@dataclass(frozen=True, slots=True)
class Window:
    """A limit of orders in a stretch of time; `suffix` is that of the header."""

    interval: str
    number: int
    length: int
    limit: int
    suffix: str


WINDOWS = (Window("SECOND", 10, 10 * SECOND, 100, "10S"), Window("DAY", 1, DAY, 200_000, "1D"))


class OrderCounts:
    """The counts of one account, kept in its books; change them within a transaction."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def used(self, now: int) -> Mapping[Window, int]:
        """What counts in the windows that hold `now`."""
        known = self._books.notes()
        here = (each for each in WINDOWS if known.get(f"{each.suffix} window") == now // each.length)
        return dict.fromkeys(WINDOWS, 0) | {each: known[f"{each.suffix} orders"] for each in here}

    def _set(self, used: Mapping[Window, int], now: int) -> None:
        notes = {f"{each.suffix} window": now // each.length for each in used}
        self._books.keep(notes | {f"{each.suffix} orders": max(count, 0) for each, count in used.items()})

    def add(self, orders: int, now: int) -> None:
        """Count new orders; `Refused` -1015 with 429, and without Retry-After, if they are too many."""
        used = {each: before + orders for each, before in self.used(now).items()}
        if each := next((each for each in WINDOWS if used[each] > each.limit), None):
            text = f"Too many new orders; current limit is {each.limit} orders per {each.number} {each.interval}."
            raise Refused(-1015, text, 429)
        self._set(used, now)

    def give_back(self, orders: int, now: int) -> None:
        """Orders that were filled for the first time no longer count."""
        self._set({each: before - orders for each, before in self.used(now).items()}, now)
