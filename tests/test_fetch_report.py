"""The documents of `fetch` about the store, as tables."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from tradebot import fetch_report, report
from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.fetch_report import CELLS, bytes_text, coverage_bar, duration, history_bar, pace
from tradebot.market.history import Tally

T0 = 1_516_406_400_000
SPAN = (T0, T0 + 99 * HOUR)
WORK = {"venue": "sim", "now": T0, "requests": 3, "weight": 6, "elapsed_ms": 9.0, "errors": []}
NAMED = {"symbol": "1000SATSUSDT", "interval": "15m"}
ENDS = {"first_open": T0, "last_open": T0 + 99 * HOUR}
FETCHED = {**NAMED, **ENDS, "rows": 1_234_567, "new": 1_234_567, "made": 0, "gaps": [(T0 + HOUR, T0 + 2 * HOUR)],
           "missing": [(T0 + 5 * HOUR, T0 + 5 * HOUR)]}  # fmt: skip
STORED = {**NAMED, **ENDS, "bars": 1_234_567, "spans": (SPAN,), "gaps": 7, "bytes": 123_456_789, "age_ms": 3 * DAY}
ERROR = {"symbol": "ETHUSDT", "interval": "1h", "error": "a reason that is rather long " * 6}
SAMPLES: dict[str, dict[str, Any]] = {
    "history": {**WORK, "since": T0, "until": T0 + DAY, "series": [FETCHED], "errors": [ERROR]},
    "status": {"venue": "sim", "folder": "/a/folder", "detailed": False, "series": [STORED], "symbols": 1, "bars": 7,
               "bytes": 7, "folder_bytes": 9},
    "verify": {**WORK, "sampled": True, "mended": False, "remaining": 3, "series": [
        {**NAMED, "checked": 1_234_567, "missing": 1, "extra": 1, "revised": 1, "remaining": 3, "first": T0,
         "last": T0}]},
    "prune": {"venue": "sim", "done": False, "before": T0, "bars": 7, "bytes": 7, "series": [
        {**NAMED, "bars": 7, "bytes": 7, "whole": False}]},
    "export": {"venue": "sim", "files": [{**NAMED, "path": "/a/long/path/" * 9, "rows": 7, "missing": 0, "bytes": 7}],
               "others": []},
    "import": {"venue": "sim", "files": [
        {**NAMED, **ENDS, "path": "x.csv", "rows": 7, "new": 6, "conflicts": 1, "off_grid": 0}],
        "errors": [{"path": "y.csv", "error": "y.csv line 7: is not a number"}]},
    "watch": {**WORK, "next": T0 + MINUTE, "series": [{**NAMED, "new": 1}]},
}  # fmt: skip


def printed(kind: str, **changes: Any) -> str:
    out = io.StringIO()
    report.show(report.console(out), fetch_report.RENDERERS[kind]({**SAMPLES[kind], **changes}))
    return out.getvalue()


def tables(kind: str) -> Iterator[Table]:
    yield from (part for part in fetch_report.RENDERERS[kind](SAMPLES[kind]) if isinstance(part, Table))


@pytest.mark.parametrize("kind", fetch_report.RENDERERS)
def test_every_document_has_a_table_of_at_most_100_columns(kind: str) -> None:
    assert printed(kind)
    out = io.StringIO()
    report.show(report.console(out), tables(kind))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines), default=0) <= 100
    assert not any("…" in line for line in lines if "1000SATSUSDT" in line and kind != "export")


def test_what_is_missing_is_told_with_its_reason_and_its_largest_hole() -> None:
    text = printed("history")
    assert "the venue has none" in text
    assert "2018-01-20 01:00 to 2018-01-20 02:00" in text
    assert "not fetched" in text


def test_many_series_are_summed_up_by_interval_unless_symbols_are_named() -> None:
    many = [{**STORED, "symbol": f"S{n}USDT"} for n in range(fetch_report.MANY + 1)]
    assert "--symbols shows each series" in printed("status", series=many)
    assert "S1USDT" not in printed("status", series=many)
    assert "S1USDT" in printed("status", series=many, detailed=True)


def test_a_prune_says_whether_it_was_done() -> None:
    assert "nothing was dropped: add --yes" in printed("prune")
    assert "7 bars dropped, 7 B freed" in printed("prune", done=True)
    assert printed("prune", series=[]) == "nothing to drop\n"


def test_an_export_tells_what_its_files_lack() -> None:
    assert "missing" not in printed("export")
    text = printed("export", files=[{**SAMPLES["export"]["files"][0], "missing": 1}])
    assert "missing" in text
    assert "1 bar not stored and so not written; --since fetches them" in text


def test_an_export_tells_which_intervals_it_left_out() -> None:
    assert "also stored" not in printed("export", others=[])
    assert "also stored and not written: 1m,4h; --intervals 1m,4h writes them" in printed("export", others=["1m", "4h"])


def test_one_is_no_plural() -> None:
    assert "Exported (1 file)" in printed("export")
    assert "Imported (1 file)" in printed("import")
    assert "1 symbol, 1 series, 1 bar," in printed("status", bars=1)
    assert "1 request of weight 6" in printed("history", requests=1)


def test_a_file_with_nothing_in_it_is_named() -> None:
    read = SAMPLES["import"]["files"][0]
    empty = {**read, "rows": 0, "new": 0, "first_open": None, "last_open": None}
    text = printed("import", files=[read, {**empty, "path": "z.csv"}])
    assert "Imported (1 file)" in text
    assert "nothing to import in z.csv" in text
    text = printed("import", files=[{**empty, "path": f"{number}.csv"} for number in range(7)])
    assert "nothing to import in 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more" in text
    assert "Imported" not in text


def test_what_is_wrong_with_a_file_is_told_with_its_path_once() -> None:
    assert printed("import").count("y.csv") == 1


def test_a_check_that_finds_nothing_says_so() -> None:
    assert "all as at the venue" in printed("verify", series=[], remaining=0)
    assert "3 differences, 3 remain" in printed("verify")


def test_trouble_is_one_line() -> None:
    text = printed("watch", error="timed out", again_ms=8_000)
    assert text == "2018-01-20 00:00:00 trouble: timed out; again in 8 s\n"


def test_a_round_is_one_line_and_its_errors() -> None:
    assert printed("watch").count("\n") <= 2
    assert "ETHUSDT 1h: " in printed("watch", errors=[ERROR])


def test_a_bar_shows_what_is_covered() -> None:
    period, span = (0, CELLS * 100), (0, CELLS * 100 - 1)
    assert coverage_bar([span], [], 1, period) == "█" * CELLS
    assert coverage_bar([(0, 799)], [], 1, period) == "█" * 8 + " " * (CELLS - 8)
    assert coverage_bar([span], [(100, 100)], 1, period) == "█▓" + "█" * (CELLS - 2)
    assert coverage_bar([(100, 100)], [], 1, period) == " ░" + " " * (CELLS - 2)
    assert coverage_bar([], [], 1, period) == " " * CELLS


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted).map(tuple), max_size=3))
def test_a_bar_has_as_many_cells_whatever_is_covered(spans: list[Any]) -> None:
    assert len(coverage_bar(spans, [], 1, (0, 1_000))) == CELLS


def test_series_of_one_period_are_full_whatever_their_interval() -> None:
    rows = [{**STORED, "interval": i, "last_open": T0 + DAY - step, "spans": ((T0, T0 + DAY - step),)}
            for i, step in (("1m", MINUTE), ("1h", HOUR))]  # fmt: skip
    assert printed("status", series=rows).count("█" * CELLS) == 2


@pytest.mark.parametrize(
    ("ms", "text"), [(7_000, "7 s"), (119_000, "119 s"), (20 * MINUTE, "20 min"), (5 * HOUR, "5 h"), (60 * HOUR, "2 d")]
)
def test_durations_are_short(ms: int, text: str) -> None:
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(7, "7 B"), (1_500, "1.5 kB"), (2_500_000, "2.5 MB"), (7_100_000_000, "7.1 GB"), (7e12, "7,000.0 GB")],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_the_pace_is_a_rate_or_what_is_waited_for() -> None:
    half = Tally(bars=200, done=50, rows=5_000, requests=7, weight=14)
    assert pace(half, 2_000) == "6 s left, 2,500 klines/s, 7 requests, weight 14"
    assert pace(Tally(bars=200), 2_000) == "0 klines/s, 0 requests, weight 0"
    assert pace(Tally(waiting="waiting 23 s for the venue's limit"), 1) == "waiting 23 s for the venue's limit"


def test_the_bar_shows_share_pace_and_what_is_waited_for() -> None:
    out = io.StringIO()
    with history_bar(Console(file=out, force_terminal=True, width=100)) as show:
        show(Tally(bars=200, done=100, rows=100, requests=7, weight=14))
        show(Tally(bars=200, done=100, waiting="waiting 23 s for the venue's limit"))
    text = out.getvalue()
    assert "50%" in text
    assert "waiting 23 s for the venue's limit" in text
