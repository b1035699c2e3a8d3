"""What open klines cost, on the simulated venue."""

from __future__ import annotations

from pathlib import Path

from tradebot.bench.opens import MINUTES, MOST, opens
from tradebot.bench.rig import Workload
from tradebot.config import load


async def test_open_klines_cost_more_than_closed_ones_and_less_than_fetching_everything(tmp_path: Path) -> None:
    workload = Workload(2, ("5m", "15m", "1h"), 100, 50.0, 50, 2)
    seen: list[int] = []
    rows = await opens(load(None, {}, {}), tmp_path, workload, lambda _, done, of: seen.append(done))
    requests = {row["klines"]: row["requests"] for row in rows}
    assert requests["closed only"] < requests["open too"] < requests["full refetch"]
    assert requests["full refetch"] == 2 * 3 * MINUTES
    assert requests["closed only"] == 2 * 12, "one for each symbol and 5m close"
    assert {row["symbols"] for row in rows} == {2}
    assert all(row["weight"] == 2 * row["requests"] for row in rows)
    assert rows[-1]["share"] == 1.0
    assert seen == list(range(MINUTES + 1))
    assert MOST > 2
