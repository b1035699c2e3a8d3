"""Which symbols a cycle looks at: decisions, without a request of their own but `choose`.

The universe is ranked by 24 h quote volume and does not flicker: who is in stays until it falls
well below the last place or misses a filter by a margin; both margins are `SLACK`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, UnknownName, suggestion
from tradebot.market.venue import Feed, Instrument, Ticker

SLACK = 1.2
GONE = "no longer listed"


@dataclass(frozen=True, slots=True)
class Universe:
    """The symbols of a cycle and their quote coin.

    Symbols come in the order of a fixed list, else most traded first, else by name. `skipped` are
    those of a fixed list that are left out. `joined` and `left` are what was changed by the decision
    that made it; symbols that left come with the reason.
    """

    symbols: tuple[str, ...]
    quote: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    joined: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)

    def without(self, gone: Collection[str]) -> Universe:
        """The same without some of its symbols; nothing is said of them."""
        return Universe(tuple(symbol for symbol in self.symbols if symbol not in gone), self.quote, self.skipped)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The symbols that may be in by what the settings name and the rules of the venue; `unfit` are the others."""

    symbols: tuple[str, ...]
    quote: str
    unfit: Mapping[str, str] = field(default_factory=dict)


def common_quote(instruments: Iterable[Instrument]) -> str:
    """The quote coin that most instruments share; on a tie the first in the alphabet."""
    counts = Counter(instrument.quote for instrument in instruments)
    return min(counts, key=lambda quote: (-counts[quote], quote), default="")


def _spelled(name: str) -> str:
    """A symbol or pattern as people write it, in the form of our symbols: BTC/USDT is BTC-USDT."""
    return name.upper().replace("/", "-")


def _found(patterns: Sequence[str], symbols: Mapping[str, str], former: Collection[str]) -> list[str]:
    """All symbols that match, in the order of the patterns; `symbols` by their name in capitals.

    `UnknownName` for a pattern that finds none, unless it is a symbol of `former`.
    """
    found: dict[str, None] = {}
    for pattern in map(_spelled, patterns):
        matches = [symbol for name, symbol in symbols.items() if fnmatchcase(name, pattern)]
        matches = matches or [symbol for symbol in former if symbol.upper() == pattern]
        if not matches:
            kind = "no symbol matches" if {"*", "?"} & set(pattern) else "unknown symbol"
            raise UnknownName(f"{kind} '{pattern}'{suggestion(pattern, symbols)}")
        found |= dict.fromkeys(matches)
    return list(found)


def named(wanted: Wanted, listed: Iterable[str]) -> list[str]:
    """Those of `listed` that a list or patterns name, traded or not; `UnknownName` for what names none."""
    return _found(wanted.symbols, {symbol.upper(): symbol for symbol in sorted(listed)}, ())


def excluded(wanted: Wanted, symbol: str) -> bool:
    """Whether a symbol is never to be looked at."""
    return any(fnmatchcase(symbol.upper(), _spelled(pattern)) for pattern in wanted.exclude)


def _unfit(wanted: Wanted, instrument: Instrument | None, quote: str) -> str | None:
    """Why a symbol cannot be looked at, whatever its statistics; or None."""
    if instrument is None:
        return GONE
    if excluded(wanted, instrument.symbol):
        return "excluded by universe.exclude"
    if not instrument.tradable:
        return f"venue status {instrument.status}"
    return None if instrument.quote == quote else f"quote coin is {instrument.quote}, not {quote}"


def candidates(wanted: Wanted, instruments: Mapping[str, Instrument], former: Collection[str] = ()) -> Candidates:
    """Who may be in. `UnknownName` for a symbol or pattern that finds nothing, `MarketError` if nobody may.

    A fixed list keeps its order and says whom it leaves out; others come by name. Symbols of a list
    that were known before (`former`) may have gone since.
    """
    by_name = {symbol.upper(): symbol for symbol in sorted(instruments)}
    named = _found(wanted.symbols, by_name, former) if wanted.symbols else list(by_name.values())
    quote = wanted.quote.upper() or _shared_quote(wanted, [instruments[each] for each in named if each in instruments])
    unfit = {each: reason for each in named if (reason := _unfit(wanted, instruments.get(each), quote))}
    fit = [each for each in named if each not in unfit]
    if not fit:
        raise MarketError(_nobody(wanted, quote, unfit))
    return Candidates(tuple(fit if wanted.fixed else sorted(fit)), quote, unfit)


def _shared_quote(wanted: Wanted, offered: Iterable[Instrument]) -> str:
    """The quote coin that most of them share: of a fixed list all, else those that are traded."""
    return common_quote(each for each in offered if wanted.fixed or each.tradable)


def _nobody(wanted: Wanted, quote: str, unfit: Mapping[str, str]) -> str:
    if wanted.fixed:
        symbol, reason = next(iter(unfit.items()))
        return f"no symbol of the list can be traded: {symbol}: {reason}"
    if not quote:
        return "no symbol is trading at this time of the venue's clock; see universe.symbols"
    return f"no symbol with quote coin '{quote}' is trading; see universe.quote and universe.exclude"


def needs_statistics(wanted: Wanted, known: Candidates) -> bool:
    """Whether there is somebody to leave out whom only the 24 h statistics can tell."""
    if wanted.fixed:
        return False
    return len(known.symbols) > wanted.top or bool(wanted.min_volume or wanted.max_spread)


def spread(ticker: Ticker) -> float:
    """Ask minus bid as a share of their middle; infinite where there is no bid or no ask."""
    bid, ask = float(ticker.bid), float(ticker.ask)
    return 2 * (ask - bid) / (ask + bid) if bid > 0 and ask > 0 else float("inf")


def failing(wanted: Wanted, ticker: Ticker | None, slack: float) -> str | None:
    """The filter that a symbol misses by more than the factor `slack`, in words; or None."""
    if ticker is None:
        return "no 24 h statistics"
    if ticker.quote_volume * slack < wanted.min_volume:
        return f"24 h volume {ticker.quote_volume:.0f} is below universe.min_volume = {wanted.min_volume:.0f}"
    if wanted.max_spread and (apart := spread(ticker)) > wanted.max_spread * slack:
        return f"spread {apart:.3%} is above universe.max_spread = {wanted.max_spread:.3%}"
    return None


def settle(
    wanted: Wanted,
    old: Collection[str],
    known: Candidates,
    tickers: Mapping[str, Ticker] | None,
    barred: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The symbols that are in, and why each of the others is not. `MarketError` if nobody is.

    `old` are the symbols that were in, `barred` those that something else keeps out; `tickers` is None
    where no statistics are needed. Depends on no order of its arguments. At most `top` symbols, the most
    traded first; a fixed list as it is.
    """
    if wanted.fixed:
        return known.symbols, known.unfit
    old = frozenset(old)
    reasons = {**_filtered(wanted, old, known.symbols, tickers), **barred}
    volume = {s: tickers[s].quote_volume if tickers else 0.0 for s in known.symbols if s not in reasons}
    fit = sorted(volume, key=lambda symbol: (-volume[symbol], symbol))
    if not fit:
        raise MarketError(f"no symbol of {len(known.symbols)} passes the filters of [universe]: {_example(reasons)}")
    chosen = _placed(fit, old, wanted.top)
    reasons |= {symbol: f"rank {rank} by 24 h volume" for rank, symbol in enumerate(fit, 1) if symbol not in chosen}
    return tuple(symbol for symbol in fit if symbol in chosen), reasons


def _filtered(
    wanted: Wanted, old: Collection[str], symbols: Iterable[str], tickers: Mapping[str, Ticker] | None
) -> dict[str, str]:
    """Reasons against those that do not pass the filters, which are milder to who is in."""
    if tickers is None:
        return {}
    told = {s: failing(wanted, tickers.get(s), SLACK if s in old else 1.0) for s in symbols}
    return {symbol: reason for symbol, reason in told.items() if reason}


def _placed(ranking: Sequence[str], old: Collection[str], top: int) -> set[str]:
    """Those of `old` that have not fallen well below rank `top`; the best of the others in the places left."""
    near = ranking[: max(int(top * SLACK), top + 1)]
    staying = [symbol for symbol in near if symbol in old][:top]
    joining = [symbol for symbol in ranking if symbol not in old][: top - len(staying)]
    return {*staying, *joining}


def _example(reasons: Mapping[str, str]) -> str:
    """One of the reasons, the same for the same reasons."""
    symbol = min(reasons)
    return f"{symbol}: {reasons[symbol]}"


def decided(
    wanted: Wanted,
    old: Universe | None,
    known: Candidates,
    tickers: Mapping[str, Ticker] | None,
    barred: Mapping[str, str] = MappingProxyType({}),
) -> Universe:
    """The universe that follows `old` (None at the beginning), with what is new about it; raises as `settle`."""
    symbols, reasons = settle(wanted, old.symbols if old else (), known, tickers, barred)
    skipped = known.unfit if wanted.fixed else {}
    if old is None:
        return Universe(symbols, known.quote, skipped)
    joined = tuple(symbol for symbol in symbols if symbol not in old.symbols)
    why = {**known.unfit, **reasons}
    left = {symbol: why.get(symbol, GONE) for symbol in old.symbols if symbol not in symbols}
    return Universe(symbols, known.quote, skipped, joined, left)


def thinned(wanted: Wanted, old: Universe, instruments: Mapping[str, Instrument]) -> Universe:
    """The universe without the symbols that are no longer traded, once the rules were read anew; maybe none is left."""
    gone = {symbol: why for symbol in old.symbols if (why := _unfit(wanted, instruments.get(symbol), old.quote))}
    kept = tuple(symbol for symbol in old.symbols if symbol not in gone)
    return Universe(kept, old.quote, old.skipped, (), gone)


async def choose(wanted: Wanted, instruments: Mapping[str, Instrument], feed: Feed) -> Universe:
    """The universe that the settings ask for, without a memory and without asking for anybody's age.

    The statistics are only asked for where there is something to leave out. `UnknownName` for a
    symbol that the venue does not list, `MarketError` where nothing can be traded.
    """
    known = candidates(wanted, instruments)
    tickers = await feed.tickers() if needs_statistics(wanted, known) else None
    return decided(wanted, None, known, tickers)
