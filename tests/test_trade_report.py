"""The documents of `positions` as tables for people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tradebot import report
from tradebot.trade_report import BARS, RENDERERS, SPARKS, duration, sparkline

POSITION = {
    "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.50000000", "entry": "100", "mark": None, "stop": "98",
    "target": "103", "opened": 0, "until": 1, "state": "open", "unrealized": None,
}  # fmt: skip
RESULT = {
    "symbol": "BTCUSDT", "side": "BUY", "quote": "USDT", "opened": 0, "closed": 1_516_406_400_000, "held_ms": 4_000_000,
    "quantity": "0.5", "entry": "100", "exit": "110", "realized": "4.895", "fees": "0.105", "other_fees": {},
    "slippage": "0.01", "r": "4.895", "reason": "take-profit",
}  # fmt: skip
TOTAL = {
    "quote": "USDT", "trades": 2, "wins": 1, "win_rate": 0.5, "realized": "2.5", "fees": "0.2", "slippage": "0.01",
    "expectancy": "1.25", "profit_factor": "1.5", "mean_r": "0.4", "mean_held_ms": 60_000, "best": "4.9",
    "worst": "-2.4", "max_drawdown": "2.4", "curve": ["4.9", "2.5"],
}  # fmt: skip


def shown(kind: str, document: dict[str, Any]) -> str:
    out = io.StringIO()
    report.show(report.console(out), RENDERERS[kind](document))
    assert all(len(line) <= report.WIDTH for line in out.getvalue().splitlines())
    return out.getvalue()


HALT = {"reason": "weekend [bold]", "who": "me@here", "since": 1_516_406_400_000, "flatten": False}
STOPPED = "STOPPED since 2018-01-20 00:00:00 UTC by me@here: weekend [bold]"


def test_positions_say_first_that_the_kill_switch_is_on() -> None:
    document = {"account": "sim-paper", "halt": HALT, "positions": [], "external": [], "doubts": []}
    first, second, *_ = shown("positions", document).splitlines()
    assert first == STOPPED
    assert second == "nothing is entered until `tradebot stop --release`"


def test_stop_shows_what_is_in_force_what_was_closed_and_what_was_released() -> None:
    assert STOPPED in shown("stop", {"halt": HALT})
    flat = {"halt": HALT, "orders": [], "positions": [POSITION], "warnings": ["no answer"]}
    assert "Still held (1)" in shown("stop", flat)
    assert "warning: no answer" in shown("stop", flat)
    assert shown("stop", {"halt": None, "released": HALT}).startswith("entries are allowed again; was STOPPED since")
    assert shown("stop", {"halt": None, "released": None}) == "was not stopped\n"
    assert "STOPPED by unknown: x" in shown("stop", {"halt": {**HALT, "who": "unknown", "since": 0, "reason": "x"}})


def test_positions_show_what_others_do_and_what_is_in_doubt() -> None:
    nothing = {"account": "sim-paper", "positions": [], "external": [], "doubts": []}
    assert shown("positions", nothing).strip() == "Positions of sim-paper: none"
    external = [{"symbol": "ETHUSDT", "reason": "an open order of somebody else"}]
    text = shown("positions", nothing | {"positions": [POSITION], "external": external, "doubts": ["A: too little"]})
    assert all(word in text for word in ("BTCUSDT", "0.5", "ETHUSDT", "somebody else", "in doubt: A: too little"))


LONG = {"quantity": "0.01401597", "entry": "0.1136736737", "mark": "0.11343", "stop": "0.1114002002",
        "target": "0.1170838839", "unrealized": "-1234.567"}  # fmt: skip


def narrow(kind: str, document: dict[str, Any]) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=80), RENDERERS[kind](document))
    return out.getvalue()


def test_what_is_gained_can_be_read_on_a_terminal_of_80_columns() -> None:
    held = {"account": "x", "external": [], "doubts": [], "positions": [POSITION | LONG | {"symbol": "ATOMUSDT"}]}
    assert "-1234.57" in narrow("positions", held)
    assert "…" not in narrow("positions", held)
    over = RESULT | {"symbol": "ATOMUSDT", "entry": "0.1136736737", "exit": "0.1136736737", "realized": "-1234.567"}
    text = narrow("results", {"account": "x", "results": [over], "totals": []})
    assert all(word in text for word in ("-1234.57", "why"))
    assert "…" not in text


@pytest.mark.parametrize(("state", "said"), [("open", "short"), ("dust", "short dust")])
def test_a_contract_that_was_sold_short_says_so(state: str, said: str) -> None:
    short = POSITION | {"side": "SELL", "state": state}
    assert said in shown("positions", {"account": "x", "external": [], "doubts": [], "positions": [short]})
    over = {"account": "x", "results": [RESULT | {"side": "SELL"}], "totals": [TOTAL]}
    assert "take-profit, short" in shown("results", over)


def test_what_was_closed_and_released_is_told_with_what_is_left() -> None:
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "intent": "close", "status": "FILLED",
             "price": None, "stop_price": None, "executed": "0.5", "average": "110", "fee": "0.055"}  # fmt: skip
    text = shown("close", {"orders": [order], "positions": [POSITION | {"state": "dust"}], "warnings": ["no prices"]})
    assert all(word in text for word in ("FILLED", "dust", "warning: no prices"))
    text = shown("release", {"released": ["BTCUSDT: 1 written off"], "positions": [], "warnings": []})
    assert "BTCUSDT: 1 written off" in text
    assert "Held now: none" in text


@pytest.mark.parametrize(("changed", "said"), [(0, "no rows are other"), (3, "3 rows are other")])
def test_a_rebuild_tells_whether_anything_changed(changed: int, said: str) -> None:
    counts = {"orders": 1_000, "positions": 400, "fills": 2_000}
    assert f"1,000 orders, 400 positions, 2,000 fills; {said}" in shown("rebuild", counts | {"changed": changed})


def test_history_shows_the_newest_results_and_what_they_add_up_to() -> None:
    text = shown("results", {"account": "sim-paper", "results": [RESULT] * 40, "totals": [TOTAL]})
    assert text.count("BTCUSDT") == 30
    assert all(
        word in text for word in ("1 h 6 min", "+4.90", "take-profit", "+2.50 USDT in 2 trades, 50% won", "1.50")
    )
    assert "█▁" in text
    assert "none yet" in shown("results", {"account": "sim-paper", "results": [], "totals": []})
    unbeaten = TOTAL | {"profit_factor": None}
    assert "none lost" in shown("results", {"account": "x", "results": [RESULT], "totals": [unbeaten]})


@pytest.mark.parametrize(
    ("ms", "said"), [(40_000, "40 s"), (900_000, "15 min"), (12_000_000, "3 h 20 min"), (183_600_000, "2 d 3 h")]
)
def test_durations_are_as_people_say_them(ms: int, said: str) -> None:
    assert duration(ms) == said


@given(points=st.lists(st.floats(-1e6, 1e6), max_size=400))
def test_a_sparkline_fits_and_ends_where_the_points_do(points: list[float]) -> None:
    line = sparkline(points)
    assert len(line) == (
        min(len(points), SPARKS) if len(points) <= SPARKS else -(-len(points) // -(-len(points) // SPARKS))
    )
    assert set(line) <= set(BARS)
    if points and points[-1] == max(points) > min(points) and len(points) <= SPARKS:
        assert line[-1] == BARS[-1]
