"""Where the time of cycles went, as trace events."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tradebot.cycle import Cycle
from tradebot.errors import UsageError
from tradebot.market.binance import BinanceClient
from tradebot.trace import ROWS, Trace

from .conftest import MakeSettings
from .test_loop import EAGER, looping


async def traced(make_settings: MakeSettings, path: Path) -> list[dict[str, Any]]:
    async with looping(make_settings(**EAGER)) as loop:
        with Trace(path, loop.session.feed) as trace:
            loop.observe = trace.add
            await loop.run(2, lambda _: None)
        assert isinstance(loop.session.feed, BinanceClient)
        assert loop.session.feed.spans.maxlen == 0, "as it was before"
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


async def test_stages_requests_batches_and_orders_are_events_with_names(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    events = await traced(make_settings, tmp_path / "trace.json")
    rows = {event["args"]["name"]: event["tid"] for event in events if event["ph"] == "M"}
    assert sorted(rows) == sorted(ROWS)
    lasting = [event for event in events if event["ph"] == "X"]
    names = {event["name"] for event in lasting}
    assert {"fetch 1", "analyze 1", "predict 1", "execute 1", "monitor 1", "fetch 2"} <= names
    assert "klines BTCUSDT 5m" in names
    assert "6 symbols" in names
    assert any(name.startswith("order ") for name in names)
    assert all(event["dur"] >= 0 and event["ts"] > 0 for event in lasting)


async def test_what_went_on_at_once_has_rows_of_its_own_since_viewers_drop_what_overlaps(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    events = await traced(make_settings, tmp_path / "trace.json")
    rows = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    until: dict[int, int] = {}
    for event in (each for each in events if each["ph"] == "X"):
        assert event["ts"] >= until.get(event["tid"], 0)
        until[event["tid"]] = event["ts"] + event["dur"]
    assert until.keys() == rows.keys()
    assert {"orders", "requests"} <= {name for name in rows.values() if list(rows.values()).count(name) > 1}


async def test_nothing_secret_is_written(make_settings: MakeSettings, tmp_path: Path) -> None:
    async with looping(make_settings()) as loop:
        feed = loop.session.feed
        assert isinstance(feed, BinanceClient)
        with Trace(tmp_path / "trace.json", feed) as trace:
            target = "/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=deadbeef"
            feed.spans = deque([(1.0, 2.0, target)])
            trace.add(Cycle(1, 0, (await loop.begin(1)).watch, 0, 0))
    text = (tmp_path / "trace.json").read_text()
    assert "order BTCUSDT" in text
    assert "deadbeef" not in text


async def test_a_file_that_cannot_be_written_is_told_by_name(make_settings: MakeSettings, tmp_path: Path) -> None:
    async with looping(make_settings()) as loop:
        with pytest.raises(UsageError, match=r"--profile .*No such file"):
            Trace(tmp_path / "missing" / "trace.json", loop.session.feed)
