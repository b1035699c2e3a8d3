"""Accounts, candidates and bars to judge."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from tradebot.config import Risk, Trading
from tradebot.market.bars import Panel, interval_ms
from tradebot.market.venue import Instrument, Side
from tradebot.trading.risk import Account, Candidate, Costs, Outlook, Prediction

NOW = 1_516_406_400_000
RULES_OF_X = Instrument("XUSDT", "X", "USDT", step=Decimal("0.001"), min_notional=Decimal(5))


def account(**more: object) -> Account:
    """1,000 USDT free and nothing held; `risk` may be a dict of keys."""
    if isinstance(risk := more.get("risk"), dict):
        more["risk"] = Risk(**risk)
    made = Account("USDT", Decimal(1000), Decimal(1000), frozenset(), frozenset(), frozenset(), 0.55, Trading())
    return replace(made, **{"now": NOW, "costs": Costs(Decimal("0.001"), Decimal("0.0004")), **more})  # type: ignore[arg-type]


def candidate(probability: float = 0.9, side: Side = Side.BUY, **more: object) -> Candidate:
    """XUSDT at 10."""
    prediction = Prediction("XUSDT", side, NOW, probability)
    return replace(Candidate(prediction, RULES_OF_X, Decimal(10)), **more)  # type: ignore[arg-type]


def bars(end: int = NOW - 3_600_000, interval: str = "1h", **returns: object) -> Panel:
    """A panel whose closes have these log returns, one symbol each; the newest bar opens at `end`."""
    rows = np.array([np.exp(np.concatenate([[0.0], np.cumsum(each)])) for each in returns.values()])
    data = np.stack([rows, rows, rows, rows, np.ones_like(rows)])
    return Panel(
        interval, end // interval_ms(interval) * interval_ms(interval), tuple(returns), data, np.zeros(rows.shape, bool)
    )


def noise(seed: int, size: float = 0.01, count: int = 199) -> np.ndarray:
    """Random log returns."""
    return np.random.default_rng(seed).normal(0, size, count)


def outlook(**returns: object) -> Outlook:
    """One panel of 1h bars that is up to date."""
    return Outlook((bars(**returns),))
