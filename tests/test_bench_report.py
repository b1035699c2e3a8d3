"""The tables of `bench`."""

from __future__ import annotations

import io
from typing import Any

from rich.table import Table

from tradebot import report
from tradebot.bench.timeline import Strip
from tradebot.bench_report import bench

STAGES = {"scan": 1.0, "fetch": 20.0, "analyze": 3.0, "predict": 1.0, "execute": 5.0, "monitor": 2.0}
LOOP = {"total_ms": {"p50": 100.0, "p95": 200.0}, "stages": STAGES, "requests": 90.0, "cpu_s": 0.5}
BENCH: dict[str, Any] = {
    "environment": {"python": "3.11", "cpus": 2, "load": 0.1},
    "workload": {"symbols": 30, "intervals": ["5m"], "bars": 100, "latency_ms": 20.0, "cycles": 5,
                 "pipelined_cycles": 61, "elapsed_ms": 30_000},
    "serial": LOOP, "pipelined": {**LOOP, "total_ms": {"p50": 50.0, "p95": 400.0}, "cpu_s": 0.0},
    "kinds": {"cold": {"serial_ms": 100.0, "pipelined_ms": 10.0}}, "speedup": 2.0,
    "claims": [{"name": "network time", "expected": "-50%", "measured": "-90%", "met": True},
               {"name": "ML CPU", "expected": "-40%", "measured": "-10%", "met": False},
               {"name": "cold cycle", "expected": "≤ 1.3 s", "measured": "0.2 s", "met": None}],
    "latency": {"available": {"count": 190, "p50": 51.234, "p95": 80.1, "max": 12_345.678},
                "sent": {"count": 0, "p50": None, "p95": None, "max": None}},
    "ideas": [{"without": "persistent worker pool", "text": "a new one", "total_ms": 2000.0, "times": 20.0,
               "requests": 31.0, "cpu_s": 0.5, "fetch_ms": 1000.0, "predict_ms": 1.0, "idle": 0.5}],
    "open_klines": [{"klines": "open too", "symbols": 10, "requests": 400, "weight": 800, "share": 0.25}],
    "scaling": [{"name": "total", "values": {"50": 100.0, "200": 250.0, "2000": 2500.0}, "exponent": 0.9},
                {"name": "scan", "values": {"50": 0.1, "200": 0.1, "2000": 0.2}, "exponent": None}],
    "regressions": [{"name": "close: CPU ms a symbol", "before": 1.0, "now": 2.0, "worse": 1.0}],
    "strips": [Strip("serial cycle", [("fetch", 0.0, 900.0)], [(0.0, 10.0)])],
}  # fmt: skip


def printed(*parts: Any) -> str:
    out = io.StringIO()
    report.show(report.console(out), parts)
    return out.getvalue()


def test_its_tables_have_at_most_100_columns() -> None:
    lines = printed(*(part for part in bench(BENCH) if isinstance(part, Table))).splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 100


def test_the_bench_says_where_the_pipeline_is_ahead_and_where_it_is_behind() -> None:
    rows = {line.split("  ")[0]: line for line in printed(*bench(BENCH)).splitlines()}
    assert "2.0 times" in rows["total p50, ms"]
    assert "behind" in rows["total p95, ms"]
    assert rows["network time"].rstrip().endswith("yes")
    assert rows["ML CPU"].rstrip().endswith("no")
    assert rows["cold cycle"].rstrip().endswith("0.2 s"), "no mark where nothing was promised"


def test_a_second_workload_is_shown_like_the_first() -> None:
    second = {**BENCH, "workload": {**BENCH["workload"], "bars": 200}, "strips": []}
    text = printed(*bench({**BENCH, "also": [second]}))
    assert "× 100 bars" in text
    assert "× 200 bars" in text
    assert text.count("speed-up 2.0 times") == 2
