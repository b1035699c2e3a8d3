"""The error tree. Each class carries its exit code and whether trying again can help.

    TradebotError             1   (a bug, when raised as itself)
    ├── UsageError            2   command line
    │   ├── ConfigError       2   configuration file or environment
    │   ├── UnknownName       2   a name that no registry holds
    │   └── StrategyError     2   a user's strategy that raises, looks ahead or gives the wrong shape
    ├── MarketError           3   market data is not available
    │   ├── VenueUnreachable  3   retry: refused, timed out, cut off, 5xx
    │   ├── VenueBusy         3   retry, but not before `wait_ms`: 429, 418, 403
    │   ├── VenueRejected     3   the venue understood and said no (`code`)
    │   ├── BadReply          3   retry: what came back is not what the protocol says
    │   ├── KlinesLate        3   retry: a kline has closed and the venue does not have it yet
    │   └── BadKlines         3   a kline file or store entry that cannot be read
    ├── ModelError            4   missing, corrupt, foreign or stale model
    ├── TradingError          5   state, orders, balances
    │   ├── OrderRejected     5   refused, certainly not executed
    │   ├── OrderUnknown      5   sent, outcome not known: query before anything else
    │   ├── TooSlow           5   a cycle was over its budget, and the settings end the run for that
    │   ├── ImpossibleTransition 5
    │   └── JournalError      5   the state cannot be written or read
    ├── PoolError             1   workers die whatever is tried
    ├── Regression            6   `bench` found that something got slower or differs
    └── Locked               75   another instance holds the lock; cron may try again

Errors of other libraries are translated where they enter; none reaches the user.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class TradebotError(Exception):
    """Root of the tree; its message is the one line that the user sees."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class UsageError(TradebotError):
    """A command line that cannot be carried out."""

    exit_code = 2


class ConfigError(UsageError):
    """An unknown key or a bad value in the configuration."""


class UnknownName(UsageError):
    """A name that is not registered; the message offers the nearest ones."""


class StrategyError(UsageError):
    """A strategy that somebody added does not keep to what strategies promise; the message names it and says how."""


class MarketError(TradebotError):
    """Market data is not available."""

    exit_code = 3


class VenueUnreachable(MarketError):
    """No usable answer came: refused, timed out, cut off or a server error.

    `sent` tells whether the request may have reached the venue: an order must then be queried. `code` is
    the venue's, 0 if it said none.
    """

    retryable = True

    def __init__(self, message: str, *, sent: bool = True, code: int = 0) -> None:
        super().__init__(message)
        self.sent = sent
        self.code = code


class VenueBusy(MarketError):
    """The venue asks to be left alone for `wait_ms` venue milliseconds; nothing was executed.

    `code` is the venue's, 0 if it said none or was not asked.
    """

    retryable = True

    def __init__(self, message: str, *, wait_ms: int, status: int, code: int = 0) -> None:
        super().__init__(message)
        self.wait_ms = wait_ms
        self.status = status
        self.code = code


class VenueRejected(MarketError):
    """The venue refused the request for a reason of its own; `code` is the venue's."""

    def __init__(self, message: str, *, code: int, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class BadReply(MarketError):
    """A reply that is not what the protocol says: HTML, truncated JSON, missing fields."""

    retryable = True


class KlinesLate(MarketError):
    """The venue's clock has passed the close of a kline that it does not have: late, or its market stands still."""

    retryable = True


class BadKlines(MarketError):
    """Klines that cannot be read; the message names file, line and column."""


class ModelError(TradebotError):
    """A model that is missing, corrupt, of another schema or too old."""

    exit_code = 4


class TradingError(TradebotError):
    """Trouble with orders, positions or their state."""

    exit_code = 5


class OrderRejected(TradingError):
    """The order was refused and has certainly not been executed; `code` is the venue's."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class OrderUnknown(TradingError):
    """The order was sent and its outcome is not known; it must be queried, never sent again."""


class TooSlow(TradingError):
    """A cycle took longer than `run.budget_ms` allows, and `run.on_slow` is stop."""


class ImpossibleTransition(TradingError):
    """A state machine was given an event that its present state does not know."""


class JournalError(TradingError):
    """The trading state cannot be written or read; no order may be sent."""


class PoolError(TradebotError):
    """The worker pool broke, was rebuilt, and broke again on the same work."""


class Regression(TradebotError):
    """`bench` found a difference between outputs or a figure that got worse."""

    exit_code = 6


class Locked(TradebotError):
    """Another instance holds the lock."""

    exit_code = 75
    retryable = True


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known name is near, else the list of known names."""
    names = sorted(known)
    by_lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{by_lower[near[0]]}'?"
    return f"; known: {', '.join(names[:12])}{'…' if len(names) > 12 else ''}" if names else ""
