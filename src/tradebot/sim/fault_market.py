"""Faults of the exchange itself: its klines, its symbols and its clock.

Bars are `Exact` data; what is lost is lost from the finest bars, so that coarser ones follow.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from tradebot.clock import DAY, HOUR, MINUTE, SECOND
from tradebot.market.bars import INTERVALS, Mask, Times
from tradebot.market.venue import Instrument
from tradebot.sim.faults import Fault, MarketFault, fault
from tradebot.sim.noise import bits, key

LONGEST_S = DAY // SECOND


class Losing(MarketFault):
    """A fault that takes bars away."""

    def lost(self, symbol: str, opens: Times, seed: int) -> Mask:
        """Which of the finest bars, by their open times, are not there."""
        inside = np.ones(len(opens), np.bool_)
        if self.since is not None:
            inside &= opens >= self.since - self.since % MINUTE
        if self.until is not None:
            inside &= opens < self.until - self.until % MINUTE
        return inside


@fault("holes")
class Holes(Losing):
    """Klines are missing, as after maintenance; coarser bars are made of what is left."""

    interval: str = Field("5m", description="Length of the smallest hole.")
    rate: float = Field(1.0, ge=0, le=1, description="Share of such stretches that are missing, at random by the seed.")

    @field_validator("interval")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in INTERVALS:
            raise ValueError(f"no such interval; known: {', '.join(INTERVALS)}")
        return value

    def lost(self, symbol: str, opens: Times, seed: int) -> Mask:
        """Whole stretches of `interval`, by the seed, the symbol and their open time."""
        drawn = bits(key(seed, "holes", symbol, self.interval), opens // INTERVALS[self.interval]) >> np.uint64(11)
        mask: Mask = super().lost(symbol, opens, seed) & (drawn < self.rate * 2.0**53)
        return mask


class Standing(Losing):
    """A fault while which prices stand still and no bars open; its bounds are rounded down to whole minutes."""

    def set_at(self, now: int) -> Self:
        """The same with a begin: a market comes to a stand when it is told to, and has traded until then."""
        return self if self.since is not None else self.model_copy(update={"since": now})

    def began(self) -> int:
        """Since when, UTC ms; 0 for always."""
        return (self.since or 0) // MINUTE * MINUTE


@fault("stalled")
class Stalled(Standing):
    """The market stands still: no new klines, the last price stays. Whole minutes."""


@fault("off-grid")
class OffGrid(MarketFault):
    """Klines open beside the grid, like those of February 2018 at 28:15 past the hour."""

    offset_s: int = Field(
        15, ge=1, le=LONGEST_S, description="By how many seconds; intervals that are not longer keep theirs."
    )


@fault("late-klines")
class LateKlines(MarketFault):
    """A closed kline, and the one after it, appear only some time after its close."""

    seconds: float = Field(5.0, gt=0, le=LONGEST_S, description="How late, venue seconds.")


@fault("revised-kline")
class RevisedKline(MarketFault):
    """For some time after its close the last kline is as it was shortly before; then it is revised."""

    seconds: float = Field(5.0, gt=0, le=LONGEST_S, description="From its close to its revision, venue seconds.")
    early_s: float = Field(5.0, gt=0, le=LONGEST_S, description="How many seconds of trades are missing until then.")


class SymbolFault(MarketFault):
    """A fault of symbols and their rules."""

    def changed(self, instrument: Instrument) -> Instrument | None:
        """The symbol as it is then; None if it is not there."""
        raise NotImplementedError


@fault("filters")
class Filters(SymbolFault):
    """The rules of a symbol change while clients hold on to the old ones."""

    tick: Decimal | None = Field(None, gt=0, description="New tick size.")
    step: Decimal | None = Field(None, gt=0, description="New step of the quantity.")
    min_quantity: Decimal | None = Field(None, ge=0, description="New least quantity.")
    max_quantity: Decimal | None = Field(None, ge=0, description="New largest quantity; 0: none.")
    min_notional: Decimal | None = Field(None, ge=0, description="New least value of an order.")

    def changed(self, instrument: Instrument) -> Instrument | None:
        """The symbol with those of its rules that are given."""
        new = self.model_dump(
            include={"tick", "step", "min_quantity", "max_quantity", "min_notional"}, exclude_none=True
        )
        return replace(instrument, **new)


@fault("halted")
class Halted(Standing, SymbolFault):
    """A symbol is halted: exchangeInfo says so, orders are refused, its market stands still. Whole minutes."""

    status: Literal["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"] = Field("HALT", description="Its status.")

    def changed(self, instrument: Instrument) -> Instrument | None:
        """The symbol in another status."""
        return replace(instrument, status=self.status)


@fault("delisted")
class Delisted(SymbolFault):
    """A symbol is no longer there: -1121 to whoever asks for it."""

    def changed(self, instrument: Instrument) -> Instrument | None:
        """Nothing."""
        return None


@fault("partial-fill")
class PartialFill(MarketFault):
    """The book gives a new order only a share of its quantity; what is left expires or rests, as its type says."""

    share: Decimal = Field(Decimal("0.5"), ge=0, lt=1, description="How much of it.")


@fault("skew")
class Skew(Fault):
    """The exchange's clock goes wrong: the time that it tells, and the one that it checks timestamps by."""

    ms: int = Field(0, description="By how much; positive is ahead.")
    drift_ms: float = Field(0.0, allow_inf_nan=False, description="So much more with each venue hour after `since`.")

    @model_validator(mode="after")
    def _has_origin(self) -> Skew:
        if self.drift_ms and self.since is None:
            raise ValueError("drift_ms needs since: from when on?")
        return self

    def offset(self, now: int) -> int:
        """What to add (ms) at the venue's true time `now`."""
        return self.ms + round(self.drift_ms * (now - (self.since or 0)) / HOUR) if self.in_force(now) else 0
