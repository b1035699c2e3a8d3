from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from exchanging import NOW, Marked, exchange, instrument, synthetic

from tradebot.errors import MarketError
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused
from tradebot.sim.slices import InSteps, each, listing


def tell(symbol: str) -> str:
    if symbol == "SILENT":
        raise MarketError("not yet")
    return symbol.lower()


def worked(work: Any) -> Any:
    assert isinstance(work, InSteps)
    assert list(work.steps) is not None
    return work.result()


def ask(symbols: list[str] | None = None, **given: str) -> Params:
    if symbols is not None:
        given["symbols"] = str(symbols).replace("'", '"')
    return Params("&".join(f"{name}={quote(value)}" for name, value in given.items()).encode())


def test_a_listing_is_worked_out_some_symbols_at_a_time_in_their_order() -> None:
    names = [f"COIN{number}" for number in range(100)]
    told: list[str] = []
    work = listing(names, lambda symbol: told.append(symbol) or symbol)  # type: ignore[func-returns-value]
    counts = [len(told) for _ in work.steps]
    assert counts == [0, 40, 80]
    assert work.result() == told == names


def test_symbols_without_a_price_are_left_out() -> None:
    assert worked(listing(["A", "SILENT", "B"], tell)) == ["a", "b"]


def test_an_answer_can_take_another_form_when_it_is_done() -> None:
    assert worked(listing(["A"], tell).then(lambda told: {"symbols": told})) == {"symbols": ["a"]}


def test_one_symbol_is_an_object_some_are_an_array_and_many_are_worked_out_in_slices() -> None:
    market = synthetic()
    market.prices.expect(NOW)
    assert each(market, ask(symbol="ETHUSDT"), NOW, tell) == "ethusdt"
    assert each(market, ask(["ETHUSDT", "BTCUSDT"]), NOW, tell) == ["ethusdt", "btcusdt"]
    assert worked(each(market, ask(), NOW, tell)) == [name.lower() for name in market.instruments()]


def test_more_than_a_few_named_symbols_are_worked_out_in_slices_too() -> None:
    market = synthetic(9)
    names = list(market.instruments())
    assert isinstance(each(market, ask(names[:8]), NOW, tell), list)
    assert worked(each(market, ask(names), NOW, tell)) == [name.lower() for name in names]


def test_only_who_looks_all_symbols_up_has_to_be_alone() -> None:
    assert each(synthetic(), ask(), NOW, tell).then(len).alone
    assert not listing(["A"], tell).alone


def test_what_is_unknown_or_has_no_price_yet_is_refused_by_name() -> None:
    market = exchange(Marked({"SILENT": replace(instrument(), symbol="SILENT")}))
    for symbol in ("SILENT", "NONE"):
        with pytest.raises(Refused, match="-1121"):
            each(market, ask(symbol=symbol), NOW, tell)
    assert each(market, ask(["SILENT"]), NOW, tell) == []
