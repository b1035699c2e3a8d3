"""The venue in a process of its own, and the bots on it."""

from __future__ import annotations

import math
import os
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from tradebot.bench.rig import START, Bot, Workload, apart, fill, pace, served_venue
from tradebot.clock import MINUTE
from tradebot.config import load


async def test_the_served_venue_is_gone_afterwards() -> None:
    async with served_venue(Workload(2, ("5m",), 100, 0.0, 50, 1)) as venue:
        assert httpx.get(f"{venue.url}/api/v3/ping", trust_env=False).json() == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{venue.url}/api/v3/ping", trust_env=False)


several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")


@several
def test_the_venue_has_a_processor_that_the_bot_does_not_use_meanwhile() -> None:
    before = os.sched_getaffinity(0)
    with subprocess.Popen(["sleep", "60"]) as venue:
        with apart(venue.pid):
            own, others = os.sched_getaffinity(0), os.sched_getaffinity(venue.pid)
        venue.kill()
    assert os.sched_getaffinity(0) == before
    assert (own | others, len(others)) == (before, 1)
    assert not own & others


@several
def test_the_bot_has_the_quicker_processors_of_the_moment_with_all_that_it_has_made() -> None:
    before = os.sched_getaffinity(0)
    first, *_, last = sorted(before)
    slow, ended, threads = [first], threading.Event(), list[int]()
    worker = threading.Thread(target=lambda: (threads.append(threading.get_native_id()), ended.wait()))
    worker.start()
    with subprocess.Popen(["sleep", "60"]) as venue, subprocess.Popen(["sleep", "60"]) as process:
        with apart(venue.pid, lambda processor: float(processor in slow)) as place:
            for slow[0] in (first, last, last):
                place()
                assert os.sched_getaffinity(venue.pid) == {slow[0]}
                for each in (0, process.pid, *threads):
                    assert os.sched_getaffinity(each) == before - {slow[0]}
            venue.kill()
            venue.wait()
            place()  # a venue that has ended is no trouble
        process.kill()
    ended.set()
    worker.join()
    assert os.sched_getaffinity(0) == before


@several
def test_a_processor_that_cannot_be_had_is_the_slowest() -> None:
    before = os.sched_getaffinity(0)
    assert pace(max(before) + 100_000) == math.inf
    assert os.sched_getaffinity(0) == before


@several
def test_processors_are_given_back_where_they_cannot_be_compared() -> None:
    before = os.sched_getaffinity(0)

    def broken(processor: int) -> float:
        os.sched_setaffinity(0, {processor})
        raise OSError

    with pytest.raises(OSError), apart(os.getpid(), broken):  # noqa: PT011
        pass
    assert os.sched_getaffinity(0) == before


@several
def test_the_pace_of_a_processor_is_taken_on_it() -> None:
    before = os.sched_getaffinity(0)
    try:
        for processor in before:
            assert pace(processor) > 0
            assert os.sched_getaffinity(0) == {processor}
    finally:
        os.sched_setaffinity(0, before)


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
    async with served_venue(workload) as venue, Bot.open(settings, tmp_path, venue, workload, 1) as bot:
        assert bot.session.settings.venue.connections == 1
        await bot.advance(START + 7 * MINUTE)
        assert bot.session.clock.now() == START + 7 * MINUTE
        await fill(bot.session)
        assert len(bot.session.store.stored()) == 9
