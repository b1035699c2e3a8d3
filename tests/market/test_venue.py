"""The value types of a venue."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest

from tradebot.market.venue import Balance, Instrument, OrderReport, Side


def report(executed: str, quote: str) -> OrderReport:
    amounts = [Decimal(text) for text in ("2", executed, quote, "0")]
    return OrderReport("A", "tb", 1, Side.BUY, "MARKET", "EXPIRED", *amounts, 0)


def test_each_side_undoes_the_other() -> None:
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY


def test_a_balance_is_what_is_free_and_what_is_locked() -> None:
    assert Balance(Decimal("1.5"), Decimal("0.25")).total == Decimal("1.75")


@pytest.mark.parametrize(("status", "spot", "tradable"), [("TRADING", True, True), ("BREAK", True, False)])
def test_only_a_trading_symbol_is_tradable(status: str, spot: bool, tradable: bool) -> None:
    assert Instrument("AB", "A", "B", status, spot).tradable is tradable
    assert not Instrument("AB", "A", "B", status, spot=False).tradable


def test_the_average_price_counts_what_was_executed_whatever_the_status() -> None:
    assert report("0.5", "50").average == 100
    assert report("0", "0").average == 0


def test_values_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Balance().free = Decimal(1)  # type: ignore[misc]
