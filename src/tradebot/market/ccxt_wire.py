"""ccxt's dictionaries ↔ types, and its errors in our words.

ccxt gives numbers as floats; their shortest decimal form is what the exchange wrote, up to 15
digits, and that is what our `Decimal`s are made of. A symbol is written `BTC-USDT` here and
`BTC/USDT` there, so that it can be part of a file's name and of a request.

| ccxt | ours |
| --- | --- |
| RateLimitExceeded, DDoSProtection | VenueBusy |
| BadResponse, NullResponse; what ccxt stumbles over | BadReply |
| OperationFailed and all others below it: NetworkError, RequestTimeout, OnMaintenance, … | VenueUnreachable |
| NotSupported | ConfigError |
| all others: BadSymbol, BadRequest, AuthenticationError, RestrictedLocation, … | VenueRejected |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tradebot.clock import MINUTE, SECOND
from tradebot.errors import (
    BadKlines,
    BadReply,
    ConfigError,
    TradebotError,
    VenueBusy,
    VenueRejected,
    VenueUnreachable,
)
from tradebot.market.bars import FIELDS, Klines
from tradebot.market.profiles import PREFIX
from tradebot.market.venue import ZERO, Instrument, Ticker
from tradebot.market.wire import MS, reading

DECIMAL_PLACES, SIGNIFICANT_DIGITS, TICK_SIZE = 2, 3, 4  # ccxt's precision modes
FINEST = Decimal("0.00000001")  # what a paper account counts with, where no fixed step is told
_SYMBOL = re.compile(r"[A-Z0-9._]{1,20}-[A-Z0-9._]{1,20}")
_BUSY, _UNREACHABLE = {"RateLimitExceeded", "DDoSProtection"}, {"OperationFailed"}
_ODD, _UNSUPPORTED = {"BadResponse", "NullResponse"}, {"NotSupported"}
STATUS = {"AuthenticationError": 401, "RestrictedLocation": 451}
_REASONS = {  # of what carries ccxt's requests; the first that fits
    "SSLError": "the encrypted connection failed",
    "ConnectionRefusedError": "connection refused",
    "ClientConnectorDNSError": "no such host",
    "gaierror": "no such host",
    "ClientConnectorError": "no connection",
    "TimeoutError": "no answer in time",
    "ClientConnectionError": "connection cut off",
}


def ours(symbol: str) -> str:
    """`BTC/USDT` as `BTC-USDT`."""
    return symbol.replace("/", "-")


def theirs(symbol: str) -> str:
    """The inverse of `ours`; no quote coin holds a hyphen."""
    base, _, quote = symbol.rpartition("-")
    return f"{base}/{quote}"


def number(value: object) -> Decimal:
    """A float or string of ccxt exactly as it is written; 0 for None, `ValueError` for what is no finite number."""
    if value is None:
        return ZERO
    found = Decimal(str(value)) if isinstance(value, str | int | float) else Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return found


def step(precision: object, mode: int) -> Decimal:
    """The grid that a market's `precision` means in one of ccxt's three modes.

    Significant digits are no fixed grid, and some exchanges tell none: `FINEST` then.
    """
    if precision is None or mode == SIGNIFICANT_DIGITS:
        return FINEST
    return Decimal(1).scaleb(-int(number(precision))) if mode == DECIMAL_PLACES else number(precision) or FINEST


def instruments(markets: Mapping[str, Mapping[str, Any]], mode: int) -> dict[str, Instrument]:
    """The spot markets, by our symbol; names that no request could hold are left out."""
    with reading("markets"):
        spot = [_instrument(market, mode) for market in markets.values() if market.get("spot")]
    return {each.symbol: each for each in spot if _SYMBOL.fullmatch(each.symbol)}


def _instrument(market: Mapping[str, Any], mode: int) -> Instrument:
    limits, precision = market.get("limits") or {}, market.get("precision") or {}

    def bound(of: str, end: str) -> Decimal:
        return max(number((limits.get(of) or {}).get(end)), ZERO)

    return Instrument(
        symbol=ours(market["symbol"]), base=market["base"], quote=market["quote"],
        status="HALT" if market.get("active") is False else "TRADING",
        tick=step(precision.get("price"), mode), step=step(precision.get("amount"), mode),
        min_quantity=bound("amount", "min"), max_quantity=bound("amount", "max"),
        max_market_quantity=bound("market", "max"),
        min_notional=bound("cost", "min"), max_notional=bound("cost", "max"),
    )  # fmt: skip


def tickers(reply: Mapping[str, Mapping[str, Any]]) -> dict[str, Ticker]:
    """24 h statistics of what has traded.

    A missing bid or ask is 0; a missing quote volume is the base volume at the last price.
    """
    with reading("tickers"):
        known = [(ours(symbol), row) for symbol, row in reply.items() if row.get("last") is not None]
        return {
            symbol: Ticker(symbol, number(row["last"]), number(row.get("bid")), number(row.get("ask")), _turnover(row))
            for symbol, row in known
        }


def _turnover(row: Mapping[str, Any]) -> float:
    quote = row.get("quoteVolume")
    return float(number(quote) if quote is not None else number(row.get("baseVolume")) * number(row["last"]))


def prices(reply: Mapping[str, Mapping[str, Any]], field: str) -> dict[str, Decimal]:
    """Last prices from the `field` of each entry; entries without one are left out."""
    with reading("prices"):
        return {ours(symbol): number(row[field]) for symbol, row in reply.items() if row.get(field)}


def klines(rows: Iterable[Sequence[float | None]]) -> Klines:
    """A series from rows in any order; of two with one open time the later row counts.

    Rows without a price (periods in which nobody traded) are left out. ccxt's rows have six columns:
    a missing volume is 0, and quote volume, trades and taker volumes are always 0.
    """
    with reading("klines"):
        by_time = {int(row[0] or 0): row for row in rows if None not in row[1:5]}
        data = np.zeros((len(FIELDS), len(by_time)))
        for place, (time, row) in enumerate(sorted(by_time.items())):
            if time not in MS:
                raise BadKlines("open times are not in milliseconds")
            data[:6, place] = [time, *(value or 0.0 for value in row[1:6])]
        if (data[1:5] <= 0).any():
            raise BadKlines("a price is not positive")
        return Klines(data).checked()


def failure(error: Exception, where: str, headers: Mapping[str, str] | None) -> TradebotError:
    """A ccxt error, or what it stumbled over, as the table above says; `headers` are the last reply's."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "BaseError" not in names:
        return BadReply(f"{where}: an answer that ccxt cannot read ({type(error).__name__})")
    text = " ".join(str(error).split())[:200]
    said = f"{where}: {type(error).__name__}: {text}"
    if names & _BUSY:
        wait = retry_after_ms(headers or {})
        return VenueBusy(f"{said}; silent for {wait // SECOND} s", wait_ms=wait, status=429)
    if names & _ODD:
        return BadReply(said)
    if names & _UNREACHABLE:
        if reason := _reason(error.__cause__):
            tried = text.removeprefix(f"{where.removeprefix(PREFIX)} ")
            return VenueUnreachable(f"{where}: {tried}: {reason}; is the venue up? see --base-url")
        return VenueUnreachable(f"{said}; the venue is in trouble")
    if names & _UNSUPPORTED:
        return ConfigError(f"{said}; use another venue")
    return VenueRejected(said, code=0, status=next((STATUS[name] for name in sorted(names & STATUS.keys())), 400))


def _reason(cause: BaseException | None) -> str | None:
    """What befell a connection, in our words; None where it was not the connection."""
    chain = [] if cause is None else [cause, cause.__cause__]
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    return next((reason for name, reason in _REASONS.items() if name in names), None)


def retry_after_ms(headers: Mapping[str, str]) -> int:
    """The seconds of `Retry-After`, in ms; a minute where it does not say."""
    told = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return int(told) * SECOND if told.isdigit() else MINUTE
