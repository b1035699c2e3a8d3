"""Answers that take long are worked out in slices, between which others are served."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tradebot.errors import MarketError
from tradebot.market.venue import Instrument
from tradebot.sim.params import Params
from tradebot.sim.prices import Prices
from tradebot.sim.refusals import unknown_symbol

_MANY = 8  # symbols asked for at once, from which on all are looked up in one pass
_SLICE = 40  # symbols told in one go


@dataclass(frozen=True, slots=True)
class InSteps:
    """An answer that may take long: whoever sends it works through `steps`, and serves others between them.

    Of those that are to be worked out `alone` one is begun when the one before it is done: each would undo
    what the others have looked up, and none would be done soon.
    """

    steps: Iterator[None]
    result: Callable[[], Any]
    alone: bool = False

    def then(self, shape: Callable[[Any], Any]) -> InSteps:
        """The same work with another form of its answer."""
        return replace(self, result=lambda: shape(self.result()))


def in_steps(work: Generator[None, None, Any]) -> InSteps:
    """What a generator does between its yields, and returns."""
    done: list[Any] = []

    def steps() -> Iterator[None]:
        done.append((yield from work))

    return InSteps(steps(), lambda: done[0])


class Market(Protocol):
    """Where symbols are traded."""

    prices: Prices

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols that are listed now."""

    def instrument(self, symbol: str) -> Instrument:
        """A listed symbol; `Refused` -1121 for any other."""


def asked(market: Market, params: Params) -> list[str] | None:
    """The symbols that are named, all of them known; None if none is."""
    names = params.symbols()
    return names and [market.instrument(name).symbol for name in names]


def listing(symbols: Iterable[str], tell: Callable[[str], Any]) -> InSteps:
    """What is told of each symbol, as an array; symbols without a price are left out."""

    def told() -> Generator[None, None, list[Any]]:
        found: list[Any] = []
        for place, symbol in enumerate(symbols):
            if place % _SLICE == 0:
                yield
            found.extend(_told(symbol, tell))
        return found

    return in_steps(told())


def each(market: Market, params: Params, now: int, tell: Callable[[str], Any]) -> Any:
    """An object for `symbol`, an array for `symbols` or all; `Refused` -1121 where one has no price yet."""
    names = asked(market, params)
    if names is None or len(names) > _MANY:
        return _after_a_look(market.prices, now, listing(list(market.instruments()) if names is None else names, tell))
    found = [told for symbol in names for told in _told(symbol, tell)]
    if "symbol" not in params:
        return found
    if not found:
        raise unknown_symbol()
    return found[0]


def _told(symbol: str, tell: Callable[[str], Any]) -> Iterator[Any]:
    try:
        yield tell(symbol)
    except MarketError:
        return


def _after_a_look(prices: Prices, now: int, work: InSteps) -> InSteps:
    """All symbols are looked up in one pass before anything is told."""

    def steps() -> Iterator[None]:
        yield from prices.expecting(now)
        yield from work.steps

    return InSteps(steps(), work.result, alone=True)
