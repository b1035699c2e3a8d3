"""The pipeline over several sizes of the universe."""

from __future__ import annotations

from pathlib import Path

from tradebot.bench.growth import growth
from tradebot.bench.rig import Workload
from tradebot.config import load
from tradebot.progress import unseen


async def test_a_universe_that_the_venues_limit_lets_in_over_minutes_is_measured_all_the_same(tmp_path: Path) -> None:
    workload = Workload(4, ("5m", "15m", "1h"), 100, 0.0, 50, 1)
    tight = {"sim.weight_limit": ("test", 160)}  # 8 symbols cold weigh 48 and more for each bot
    rows = await growth(load(None, tight, {}), tmp_path, workload, (8,), unseen)
    found = {row["name"]: row["values"] for row in rows}
    assert found["requests"]["8"] > found["requests"]["4"] > 0
    assert found["total"]["4"] > 0
