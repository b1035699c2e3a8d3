"""The venue in a process of its own, and the bots on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tradebot.bench.rig import START, Bot, Workload, apart, fill, served_venue
from tradebot.clock import MINUTE
from tradebot.config import load


async def test_the_served_venue_is_gone_afterwards() -> None:
    async with served_venue(Workload(2, ("5m",), 100, 0.0, 50, 1)) as url:
        assert httpx.get(f"{url}/api/v3/ping", trust_env=False).json() == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/v3/ping", trust_env=False)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_the_venue_has_a_processor_that_the_bot_does_not_use_meanwhile() -> None:
    before = os.sched_getaffinity(0)
    with subprocess.Popen(["sleep", "60"]) as venue:
        with apart(venue.pid):
            own, others = os.sched_getaffinity(0), os.sched_getaffinity(venue.pid)
        venue.kill()
    assert os.sched_getaffinity(0) == before
    assert (own | others, len(others)) == (before, 1)
    assert not own & others


def test_where_there_is_one_processor_the_venue_shares_it() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with apart(os.getpid()):
            assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("symbols", "fits"), [(200, True), (600, True), (601, False), (2000, False)])
def test_the_serial_loop_looks_at_no_more_than_a_minutes_weight_allows(symbols: int, fits: bool) -> None:
    assert Workload(symbols, ("5m", "15m", "1h"), 100, 0.0, 50, 2).serial_fits is fits


async def test_a_bot_moves_the_venues_clock_and_fills_its_store(tmp_path: Path) -> None:
    workload = Workload(3, ("5m", "15m", "1h"), 100, 0.0, 50, 1)
    settings = load(None, {}, {})
    async with served_venue(workload) as url, Bot.open(settings, tmp_path, url, workload, 1) as bot:
        assert bot.session.settings.venue.connections == 1
        await bot.advance(START + 7 * MINUTE)
        assert bot.session.clock.now() == START + 7 * MINUTE
        await fill(bot.session)
        assert len(bot.session.store.stored()) == 9
