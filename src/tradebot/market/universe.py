"""Which symbols a cycle looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, UnknownName, suggestion
from tradebot.market.venue import Feed, Instrument


@dataclass(frozen=True, slots=True)
class Universe:
    """The symbols of a cycle, most traded first where they were ranked, and their quote coin."""

    symbols: tuple[str, ...]
    quote: str
    skipped: Mapping[str, str]


def common_quote(instruments: Iterable[Instrument]) -> str:
    """The quote coin that most instruments share; on a tie the first in the alphabet."""
    counts = Counter(instrument.quote for instrument in instruments)
    return min(counts, key=lambda quote: (-counts[quote], quote), default="")


def _fixed(wanted: Wanted, instruments: Mapping[str, Instrument]) -> Universe:
    names = tuple(dict.fromkeys(symbol.upper() for symbol in wanted.symbols))
    for name in names:
        if name not in instruments:
            raise UnknownName(f"unknown symbol '{name}'{suggestion(name, instruments)}")
    quote = wanted.quote.upper() or common_quote(instruments[name] for name in names)
    excluded = {symbol.upper() for symbol in wanted.exclude}
    reasons = {name: _unfit(instruments[name], quote, excluded) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    if len(skipped) == len(names):
        symbol, reason = next(iter(skipped.items()))
        raise MarketError(f"no symbol of the list can be traded: {symbol}: {reason}")
    return Universe(tuple(name for name in names if name not in skipped), quote, skipped)


def _unfit(instrument: Instrument, quote: str, excluded: Collection[str]) -> str | None:
    """Why a symbol of a fixed list is left out, or None."""
    if instrument.symbol in excluded:
        return "excluded by universe.exclude"
    if not instrument.tradable:
        return f"venue status {instrument.status}"
    return None if instrument.quote == quote else f"quote coin is {instrument.quote}, not {quote}"


async def choose(wanted: Wanted, instruments: Mapping[str, Instrument], feed: Feed) -> Universe:
    """The universe that the settings ask for.

    A fixed list keeps its order; else the `top` symbols of the quote coin by 24 h quote volume.
    The statistics are only asked for where there is something to leave out. `UnknownName` for a
    symbol that the venue does not list, `MarketError` where nothing can be traded.
    """
    if wanted.symbols:
        return _fixed(wanted, instruments)
    tradable = [each for each in instruments.values() if each.tradable]
    quote = wanted.quote.upper() or common_quote(tradable)
    excluded = {symbol.upper() for symbol in wanted.exclude}
    symbols = sorted(each.symbol for each in tradable if each.quote == quote and each.symbol not in excluded)
    if not symbols:
        raise MarketError(f"no symbol with quote coin '{quote}' is trading; see universe.quote and universe.exclude")
    if len(symbols) > wanted.top:
        tickers = await feed.tickers()
        volume = {symbol: tickers[symbol].quote_volume for symbol in symbols if symbol in tickers}
        symbols = sorted(volume, key=lambda symbol: (-volume[symbol], symbol))[: wanted.top]
    return Universe(tuple(symbols), quote, {})
