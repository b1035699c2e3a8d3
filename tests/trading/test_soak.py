"""A part of the soak of orders and positions; `python scripts/soak_trading.py` runs the whole."""

from __future__ import annotations

import asyncio
import runpy
from functools import partial
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak_trading.py"


def test_runs_under_faults_and_deaths_end_as_the_exchange_has_it(tmp_path):
    live = runpy.run_path(str(SCRIPT))["live"]
    stories = [asyncio.run(live(tmp_path, seed)) for seed in range(12)]
    counts = sum((story.counts for story in stories), start=type(stories[0].counts)())
    assert counts["deaths"] > 0
    assert counts["guard-stop FILLED"] > 0
    assert counts["trades"] > 0


@pytest.mark.parametrize("seed", [4, 5], ids=["spot", "contracts"])
def test_money_and_results_of_a_day_with_faults_are_what_the_exchange_says(tmp_path, seed):
    script = runpy.run_path(str(SCRIPT))
    story = asyncio.run(script["live"](tmp_path, seed, partial(script["day"], cycles=40)))
    assert story.counts["results"] > 0
    assert story.counts["faults"] > 0
