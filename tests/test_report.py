"""Tables for people."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradebot import report

STAGES = {"scan": 1.0, "fetch": 20.0, "analyze": 3.0, "predict": 1.0, "execute": 5.0, "monitor": 2.0}
ORDER = {
    "client_id": "tb-1", "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.00123000",
    "price": "64100.00000000", "stop_price": None, "status": "FILLED",
    "executed": "0.00123000", "average": "64123.12000000", "fee": "0.00000123", "intent": "enter",
}  # fmt: skip
POSITION = {
    "symbol": "1000SATSUSDT", "side": "BUY", "quantity": "123456789.12345678", "entry": "0.00000012", "mark": None,
    "stop": "0.00000011", "target": "0.00000013", "opened": 1_516_406_400_000, "state": "open", "unrealized": None,
}  # fmt: skip
RUN: dict[str, Any] = {
    "cycle": 1, "venue": "sim", "started": 1_516_406_400_000, "now": 1_516_406_400_000, "total_ms": 25.0,
    "stages": STAGES, "requests": 90, "weight": 180, "symbols": 30,
    "bar": {"interval": "5m", "open": 1_516_406_100_000, "close": 1_516_406_400_000, "age_ms": 62_000,
            "before": 1_516_406_100_000, "unseen": 0, "again": True, "acted": ["BTCUSDT", "ETHUSDT"]},
    "signals": [{"symbol": "BTCUSDT", "side": "BUY", "bar_time": 1_516_406_100_000, "score": 0.5, "features": {}}],
    "predictions": [{"symbol": "BTCUSDT", "side": "BUY", "bar_time": 1_516_406_100_000, "probability": 0.61}],
    "orders": [ORDER], "positions": [POSITION],
    "skipped": [{"symbol": f"S{i:02}USDT", "reason": "a reason that is rather long " * 6} for i in range(20)],
    "warnings": ["1 cycle missed: the one before took too long"],
}  # fmt: skip
FOLD = {"name": "fold 1", "rounds": 40, "figures": {
    "signals": 1234, "log_loss": 0.69, "base_log_loss": 0.7, "auc": None, "base_rate": 0.4}}  # fmt: skip
TRAIN: dict[str, Any] = {
    "card": {"folds": [FOLD], "test": {**FOLD, "name": "test"},
             "threshold": {"threshold": 0.4321, "why": "the best of many thresholds " * 5}},
    "model": {"path": "/a/long/path/" * 9, "current": False}, "doubts": ["it does not beat the base rate " * 5],
    "skipped": [{"symbol": "OLDBTC", "reason": "no klines in the period"}], "report": "/a/long/path/" * 9,
}  # fmt: skip
SAMPLES: dict[str, dict[str, Any]] = {
    "fetch": {"venue": "sim", "requests": 3, "weight": 6, "elapsed_ms": 9.0, "series": [
        {"symbol": "BTCUSDT", "interval": "5m", "rows": 200, "new": 1, "first_open": 0, "last_open": 1, "gaps": []}],
        "errors": [{"symbol": "ETHUSDT", "interval": "1h", "error": "timed out"}]},
    "analyze": {"venue": "sim", "now": 0, "strategy": "trend", "signals": RUN["signals"], "skipped": []},
    "predict": {"venue": "sim", "now": 0, "model": {"path": "/a/long/path/" * 9}, "predictions": [], "skipped": []},
    "run": RUN,
    "positions": {"account": "sim-paper", "positions": [POSITION]},
    "export-onnx": {
        "source": "a", "onnx": "b", "features": 31, "rows_checked": 10_000, "max_abs_diff": 1e-7, "sha256": "c",
        "notes": ["a note"]},
    "strategies": {"strategies": [{"name": "trend", "text": "follows", "parameters": "a=1.0", "from": "tradebot"}]},
    "explain": {
        "venue": "sim", "now": 0, "strategy": "trend", "symbol": "BTCUSDT", "reason": "the strategy has no view",
        "features": [
            {"name": "volume_ratio_15m", "value": None, "rank": None, "median": -1.5},
            {"name": "rsi_7_5m", "value": 0.5, "rank": 0.25, "median": 0.1}]},
    "serve": {
        "url": "http://127.0.0.1:1", "symbols": 7, "clock": "real", "now": 0, "state": None, "faults": 0,
        "loopback": False},
    "train": TRAIN,
}  # fmt: skip


def printed(parts: Iterable[Any]) -> str:
    out = io.StringIO()
    report.show(report.console(out), parts)
    return out.getvalue()


@pytest.mark.parametrize("kind", report.RENDERERS)
def test_every_document_has_a_table_of_at_most_100_columns(kind: str) -> None:
    parts = list(report.RENDERERS[kind](SAMPLES[kind]))
    assert printed(parts)
    lines = printed(part for part in parts if isinstance(part, Table)).splitlines()
    assert max(map(len, lines), default=0) <= 100


def at_width(width: int, *parts: Any) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=width, force_terminal=True, color_system=None), parts)
    return out.getvalue()


@given(st.data(), st.integers(20, 100))
def test_no_number_is_ever_cut_however_narrow_the_terminal(data: st.DataObject, width: int) -> None:
    names = ["symbol", "quantity", "average price", "gain"][: data.draw(st.integers(1, 4))]
    figures = st.from_regex(r"[A-Z]?[-+]?[0-9]{1,9}(\.[0-9]{1,8})?", fullmatch=True)
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, figures)), min_size=1, max_size=4))
    text = at_width(width, report.table("Some", rows, [(name, report.get(name)) for name in names]))
    assert all(value in text for row in rows for value in row.values())
    assert max(map(len, text.splitlines())) <= width


def test_a_table_that_does_not_fit_is_told_row_by_row_with_names() -> None:
    rows = [{"symbol": "BTCUSDT", "entry": "64123.12", "why": "", "gain": "+1.50"}] * 20
    built = report.table("Positions", rows, [(name, report.get(name)) for name in rows[0]])
    assert at_width(28, built).splitlines()[:2] == ["Positions", "BTCUSDT · entry 64123.12 · "]
    assert "gain +1.50" in at_width(28, built)
    assert "and 5 more" in at_width(28, built)
    assert "64123.12" in at_width(29, built).splitlines()[2], "as a table"


def test_a_reason_takes_several_lines_before_the_table_is_given_up() -> None:
    built = report.table("Skipped", [{"symbol": "BTCUSDT", "reason": "a rather long reason for this"}], report.SKIPPED)
    assert "BTCUSDT  a rather long reason" in at_width(30, built)
    assert "BTCUSDT · reason a rather" in at_width(28, built)


class Gone(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_that_the_reader_has_gone_is_for_the_command_to_answer() -> None:
    with pytest.raises(BrokenPipeError):
        report.show(report.console(Gone()), [Text("a line")])


def test_a_line_of_text_stays_one_where_no_terminal_is() -> None:
    assert printed([Text("word " * 60)]).count("\n") == 1


def test_a_cycle_shows_its_stages_and_all_it_did() -> None:
    text = printed(report.run(RUN))
    for expected in (
        "fetch 20 ·",
        "total 25",
        "Signals and predictions (1)",
        "buy filled",
        "61.0%",
        "FILLED",
        "64123.12",
        "2018-01-20 00:00:00",
    ):
        assert expected in text


def test_what_is_cut_says_how_much_there_is() -> None:
    text = printed(report.run(RUN))
    assert "Skipped (20)" in text
    assert "… and 12 more" in text


def test_a_signal_is_told_what_came_of_its_entry_and_not_of_the_stop_that_guards_it() -> None:
    guard = {**ORDER, "side": "SELL", "type": "STOP_LOSS", "status": "NEW", "intent": "guard-stop",
             "stop_price": "63000.50000000", "executed": "0", "average": "0", "fee": "0"}  # fmt: skip
    text = printed(report.run({**RUN, "orders": [ORDER, guard]}))
    assert "buy filled" in text
    assert "sell new" not in text
    assert "63000.5" in text


@pytest.mark.parametrize(
    ("kind", "stop_price", "shown"),
    [
        ("MARKET", None, ""),
        ("LIMIT", None, "64100"),
        ("STOP_LOSS", "63000.50", "63000.5"),
        ("STOP_LOSS_LIMIT", "9", "9"),
    ],
)
def test_an_order_shows_the_price_at_which_it_waits_if_it_waits(kind: str, stop_price: str | None, shown: str) -> None:
    columns = dict(report.ORDERS)
    assert columns["at"]({**ORDER, "type": kind, "stop_price": stop_price}) == shown


def test_nothing_is_said_to_be_nothing() -> None:
    assert "Orders: none" in printed(report.run({**RUN, "orders": []}))


def test_a_venue_that_others_can_reach_is_warned_of() -> None:
    assert "warning" in printed(report.serve(SAMPLES["serve"]))
    assert "warning" not in printed(report.serve({**SAMPLES["serve"], "loopback": True}))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.00123000", "0.00123"), ("64123.12000000", "64123.12"), ("100", "100"), (None, ""), ("", ""),
     ("123456789.12345678", "123456789.12"), ("0.00000012", "0.00000012"), ("-1.50", "-1.5"), ("100.000", "100")],
)  # fmt: skip
def test_amounts_are_short_but_never_in_exponent_form(amount: str | None, shown: str) -> None:
    assert report.short(amount) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("114.5145145145", "114.515"),
        ("0.1136736737", "0.113674"),
        ("64123.1234", "64123.12"),
        ("0.00000011", "0.00000011"),
    ],
)
def test_a_price_has_six_digits_and_always_its_hundredths(amount: str, shown: str) -> None:
    assert report.price("entry")({"entry": amount}) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("-8.5675416", "-8.57"), ("1234567.891", "+1234567.89"), ("0.000123456", "+0.000123"), (None, ""), ("0", "+0")],
)
def test_a_gain_has_its_sign_and_is_never_rounded_to_nothing(amount: str | None, shown: str) -> None:
    assert report.gain("realized")({"realized": amount}) == shown


def test_what_is_counted_is_one_thing_or_several() -> None:
    assert [report.counted(number, "request") for number in (0, 1, 1_200)] == [
        "0 requests",
        "1 request",
        "1,200 requests",
    ]


def test_progress_is_shown_and_goes_away() -> None:
    with report.progress_bar() as update:
        update("fetch", 1, 2)
        update("fetch", 2, 2)


def test_a_training_says_what_speaks_against_its_model() -> None:
    text = printed(report.train(TRAIN))
    assert "doubt: it does not beat the base rate" in text
    assert "kept, and not the current model" in text
    assert "OLDBTC" in text
    assert "is the current model" in printed(report.train({**TRAIN, "model": {"path": "m", "current": True}}))


def test_a_cycle_says_which_bar_it_is_about_and_what_was_done_about_it_before() -> None:
    told = printed(report.run(RUN))
    assert "Bar 2018-01-19 23:55:00 5m, closed 62 s before · looked at before" in told
    assert "acted on before: BTCUSDT, ETHUSDT" in " ".join(told.split())
    assert "Bar" not in printed(report.run({**RUN, "bar": None}))


def test_a_run_is_summed_up_in_times_and_the_way_from_bar_close_to_order() -> None:
    figures, none = (
        {"count": 3, "p50": 1.0, "p95": 2.0, "max": 1234.5},
        {"count": 0, "p50": None, "p95": None, "max": None},
    )
    counts = {"cycles": 2, "missed": 1, "failed": 0, "slow": 0, "orders": 3}
    told = printed(
        report.summary({**counts, "times": {"fetch": figures}, "latency": {"sent": figures, "intent": none}})
    )
    assert "2 cycles: 1 missed, 0 failed, 0 slow, 3 orders" in told
    assert told.count("1,234.5") == 2
    assert "intent" not in told
