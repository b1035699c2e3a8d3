"""Both loops on one venue in a process of its own: what they decide must be the same."""

from __future__ import annotations

from tradebot.bench.ablation import IDEAS
from tradebot.bench.cycles import Sample
from tradebot.bench.measure import kinds, measure, percentiles, summary
from tradebot.bench.rig import Workload
from tradebot.config import load
from tradebot.latency import STEPS
from tradebot.look import STAGES

STAGE_TIMES = dict.fromkeys(STAGES, 1.0)


def taken(minute: int, total_ms: float = 10.0, signals: dict[tuple[str, str, int], float] | None = None) -> Sample:
    return Sample(minute, total_ms, STAGE_TIMES, requests=2, cpu_s=0.5, signals=signals or {})


async def test_a_whole_bench_compares_outputs_and_prints_its_workload() -> None:
    seen: list[tuple[str, int]] = []
    workload = Workload(symbols=4, intervals=("5m", "15m", "1h"), bars=100, latency_ms=1.0, connections=50, cycles=2)
    bench = await measure(load(None, {}, {}), workload, (6,), lambda stage, done, _: seen.append((stage, done)))
    document = bench.document
    assert document["workload"]["symbols"] == 4
    assert document["workload"]["pipelined_cycles"] == 61
    assert document["serial"]["requests"] > document["pipelined"]["requests"]
    assert document["serial"].keys() == document["pipelined"].keys() == {"total_ms", "stages", "requests", "cpu_s"}
    assert document["speedup"] > 0
    assert set(document["kinds"]) == {"cold", "close", "idle"}
    assert all(set(row) == {"name", "expected", "measured", "met"} for row in document["claims"])
    assert document["regressions"] == []
    assert list(document["latency"]) == list(STEPS)
    assert document["kinds"]["cold"]["floor_ms"] >= workload.latency_ms
    assert [done for stage, done in seen if stage == "bench"] == list(range(61))
    ideas = {row["without"]: row for row in document["ideas"]}
    assert set(ideas) == set(IDEAS)
    assert ideas["incremental klines"]["requests"] > ideas["all four"]["requests"]
    assert ideas["persistent worker pool"]["cpu_s"] > ideas["all four"]["cpu_s"]
    growth = {row["name"]: row["values"] for row in document["scaling"]}
    assert growth["requests"] == {"4": ideas["all four"]["requests"], "6": growth["requests"]["6"]}
    assert growth["requests"]["6"] > growth["requests"]["4"]
    serial, cold, close = bench.strips
    assert len(serial.requests) >= 12
    assert {stage for stage, *_ in cold.stages} == set(STAGES)
    assert len(close.requests) < len(cold.requests)


def test_cycles_are_told_apart_by_what_has_closed() -> None:
    found = kinds([taken(0, 100.0), taken(5, 200.0)], [taken(0, 30.0), taken(1, 1.0), taken(2, 3.0), taken(5, 20.0)])
    assert found["cold"] == {"serial_ms": 150.0, "pipelined_ms": 30.0, "requests": 2.0, "cpu_s": 0.5, "floor_ms": 0.0,
                             "idle": 0.0}  # fmt: skip
    assert found["close"]["pipelined_ms"] == 20.0
    assert found["idle"]["pipelined_ms"] == 2.0


def test_figures_are_medians_and_percentiles() -> None:
    found = summary([taken(0, 10.0), taken(1, 20.0), taken(2, 30.0)])
    assert found["total_ms"] == {"p50": 20.0, "p95": 29.0}
    assert found["requests"] == 2.0
    assert percentiles([1.0]) == {"p50": 1.0, "p95": 1.0}
