"""A part of the soak of orders and positions; `python scripts/soak_trading.py` runs the whole."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak_trading.py"


def test_runs_under_faults_and_deaths_end_as_the_exchange_has_it(tmp_path):
    live = runpy.run_path(str(SCRIPT))["live"]
    stories = [asyncio.run(live(tmp_path, seed)) for seed in range(12)]
    counts = sum((story.counts for story in stories), start=type(stories[0].counts)())
    assert counts["deaths"] > 0
    assert counts["guard-stop FILLED"] > 0
    assert counts["trades"] > 0
