"""Both loops on one venue in a process of its own: what they decide must be the same."""

from __future__ import annotations

import pytest

from tradebot.bench.measure import Sample, Workload, difference, kinds, measure, percentiles, served_venue, summary
from tradebot.config import load
from tradebot.errors import Regression
from tradebot.pipeline import STAGES

STAGE_TIMES = dict.fromkeys(STAGES, 1.0)


def taken(minute: int, total_ms: float = 10.0, signals: dict[tuple[str, str, int], float] | None = None) -> Sample:
    return Sample(minute, total_ms, STAGE_TIMES, requests=2, cpu_s=0.5, signals=signals or {})


async def test_a_whole_bench_compares_outputs_and_prints_its_workload() -> None:
    seen: list[int] = []
    workload = Workload(symbols=4, intervals=("5m", "15m", "1h"), bars=100, latency_ms=1.0, connections=50, cycles=2)
    document = await measure(load(None, {}, {}), workload, lambda _, done, __: seen.append(done))
    assert document["workload"]["symbols"] == 4
    assert document["workload"]["pipelined_cycles"] == 61
    assert document["serial"]["requests"] > document["pipelined"]["requests"]
    assert document["serial"].keys() == document["pipelined"].keys() == {"total_ms", "stages", "requests", "cpu_s"}
    assert document["speedup"] > 0
    assert set(document["kinds"]) == {"cold", "close", "idle"}
    assert all(set(row) == {"name", "expected", "measured", "met"} for row in document["claims"])
    assert document["regressions"] == []
    assert seen == list(range(61))


async def test_the_served_venue_is_gone_afterwards() -> None:
    import httpx

    async with served_venue(Workload(2, ("5m",), 100, 0.0, 50, 1)) as url:
        assert httpx.get(f"{url}/api/v3/ping", trust_env=False).json() == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/v3/ping", trust_env=False)


def test_the_same_decisions_are_no_difference() -> None:
    key = ("BTCUSDT", "BUY", 5)
    assert difference(taken(0, signals={key: 0.5}), taken(0, signals={key: 0.5 + 5e-7})) is None
    assert difference(taken(0), taken(0)) is None


def test_another_signal_or_probability_is_a_difference() -> None:
    one, other = ("BTCUSDT", "BUY", 5), ("BTCUSDT", "SELL", 5)
    assert "signals differ" in str(difference(taken(0, signals={one: 0.5}), taken(0, signals={other: 0.5})))
    assert "probabilities differ" in str(difference(taken(0, signals={one: 0.5}), taken(0, signals={one: 0.50001})))
    assert issubclass(Regression, Exception)


def test_cycles_are_told_apart_by_what_has_closed() -> None:
    found = kinds([taken(0, 100.0), taken(5, 200.0)], [taken(0, 30.0), taken(1, 1.0), taken(2, 3.0), taken(5, 20.0)])
    assert found["cold"] == {"serial_ms": 150.0, "pipelined_ms": 30.0}
    assert found["close"]["pipelined_ms"] == 20.0
    assert found["idle"]["pipelined_ms"] == 2.0


def test_figures_are_medians_and_percentiles() -> None:
    found = summary([taken(0, 10.0), taken(1, 20.0), taken(2, 30.0)])
    assert found["total_ms"] == {"p50": 20.0, "p95": 29.0}
    assert found["requests"] == 2.0
    assert percentiles([1.0]) == {"p50": 1.0, "p95": 1.0}
