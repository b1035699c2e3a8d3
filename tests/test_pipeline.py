"""One look at the market: stages that overlap and results that do not depend on the order of arrival."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tradebot.analysis.pool import WorkerPool
from tradebot.clock import parse_time
from tradebot.config import Settings
from tradebot.errors import ConfigError, MarketError, ModelError
from tradebot.look import Look
from tradebot.pipeline import Pipeline
from tradebot.session import open_session

from .conftest import AT, MakeSettings

Change = Callable[[httpx.Request], httpx.Response | None]


class Meddling(httpx.AsyncBaseTransport):
    """Answers some requests in the venue's place."""

    def __init__(self, change: Change, inner: httpx.AsyncBaseTransport) -> None:
        self.change, self.inner = change, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.change(request) or await self.inner.handle_async_request(request)


@asynccontextmanager
async def opened(settings: Settings, use: str = "never", change: Change = lambda _: None) -> AsyncIterator[Pipeline]:
    async with open_session(settings, wrap=lambda inner: Meddling(change, inner)) as session:
        with WorkerPool(1, use, None) as pool:  # type: ignore[arg-type]
            yield Pipeline(session, pool)


async def test_a_look_sees_every_symbol_and_gives_31_features(make_settings: MakeSettings) -> None:
    async with opened(make_settings()) as pipeline:
        look = await pipeline.predict(await pipeline.look())
    assert look.analysis is not None
    assert look.analysis.features.values.shape == (6, 31)
    assert np.isfinite(look.analysis.features.values).all()
    assert len(look.predictions) == len(look.signals)
    assert look.skipped == {}


async def test_the_universe_is_chosen_once_a_session(make_settings: MakeSettings) -> None:
    async with opened(make_settings(universe__top=3)) as pipeline:
        first = await pipeline.scan()
        before = pipeline.session.feed.requests
        assert await pipeline.scan() == first
        assert pipeline.session.feed.requests == before
        assert len(first.symbols) == 3


async def test_the_pool_changes_no_bit(make_settings: MakeSettings) -> None:
    looks: list[Look] = []
    for use in ("never", "always"):
        async with opened(make_settings(), use) as pipeline:
            looks.append(await pipeline.predict(await pipeline.look()))
    one, two = (look.analysis.features.values for look in looks if look.analysis)
    assert one.tobytes() == two.tobytes()
    assert looks[0].predictions == looks[1].predictions


async def test_batches_that_arrive_in_another_order_change_no_bit(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(make_settings()) as pipeline:
        whole = await pipeline.look()
        monkeypatch.setattr("tradebot.pipeline.BATCH", 1)
        pipeline.session.instruments.update([pipeline.session.instruments.popitem() for _ in range(6)])
        apart = await pipeline.look()
    assert whole.analysis is not None
    assert apart.analysis is not None
    assert whole.analysis.features.symbols == apart.analysis.features.symbols
    assert whole.analysis.features.values.tobytes() == apart.analysis.features.values.tobytes()


async def test_a_symbol_that_fails_is_skipped_with_its_reason_and_the_others_go_on(make_settings: MakeSettings) -> None:
    def change(request: httpx.Request) -> httpx.Response | None:
        bad = request.url.path.endswith("klines") and "ETHUSDT" in str(request.url)
        return httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."}) if bad else None

    async with opened(make_settings(venue__retries=0), change=change) as pipeline:
        look = await pipeline.look()
    assert set(look.skipped) == {"ETHUSDT"}
    assert "klines" in look.skipped["ETHUSDT"]
    assert look.analysis is not None
    assert len(look.analysis.features.symbols) == 5


async def test_a_universe_without_any_kline_is_an_error(make_settings: MakeSettings) -> None:
    def change(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if request.url.path.endswith("klines") else None

    async with opened(make_settings(venue__retries=0), change=change) as pipeline:
        with pytest.raises(MarketError):
            await pipeline.look()


async def test_a_model_of_other_intervals_is_refused(make_settings: MakeSettings) -> None:
    async with opened(make_settings(market__intervals=("1m", "5m", "15m"))) as pipeline:
        look = await pipeline.look()
        with pytest.raises(ModelError):
            await pipeline.predict(look)


@pytest.mark.parametrize("intervals", [("5m",), ("1h", "15m", "5m"), ("5m", "5m", "1h")])
async def test_the_cycle_wants_three_intervals_from_fine_to_coarse(
    make_settings: MakeSettings, intervals: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="from fine to coarse"):
        async with opened(make_settings(market__intervals=intervals)):
            pass


async def test_the_settings_threshold_wins_over_the_models(make_settings: MakeSettings) -> None:
    async with opened(make_settings()) as pipeline:
        look = await pipeline.look()
        assert math.isinf(look.threshold)  # nothing is entered that was not predicted
        assert 0 < (await pipeline.predict(look)).threshold < 1
    async with opened(make_settings(model__threshold=0.9)) as pipeline:
        assert math.isclose((await pipeline.predict(await pipeline.look())).threshold, 0.9)


async def test_progress_counts_every_series(make_settings: MakeSettings) -> None:
    seen: list[tuple[str, int, int]] = []
    async with open_session(make_settings()) as session:
        with WorkerPool(1, "never", None) as pool:
            pipeline = Pipeline(session, pool, progress=lambda *step: seen.append(step))
            await pipeline.look()
    assert seen == [("fetch", done, 18) for done in range(1, 19)]


# --- the universe is read anew while the klines are fetched

LATER = parse_time("2025-06-02T16:01:00Z")


def faults(folder: Path, text: str) -> str:
    file = folder / "plan.toml"
    file.write_text(text)
    return str(file)


async def test_a_symbol_that_halts_leaves_the_look_with_its_reason_and_the_next_one_is_without_it(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    plan = faults(tmp_path, "[[fault]]\nkind = 'halted'\nsymbol = 'ETHUSDT'\nsince = 2025-06-02T15:30:00Z\n")
    async with opened(make_settings(sim__faults=plan, universe__top=5)) as pipeline:
        before = await pipeline.look()
        assert "ETHUSDT" in before.universe.symbols
        pipeline.session.clock.advance(LATER)  # type: ignore[attr-defined]
        look = await pipeline.look()
        after = await pipeline.look()
    assert look.skipped == look.left == {"ETHUSDT": "venue status HALT"}
    assert look.analysis is not None
    assert "ETHUSDT" not in look.analysis.features.symbols
    assert len(look.joined) == 1
    assert set(after.universe.symbols) == {*before.universe.symbols, *look.joined} - {"ETHUSDT"}
    assert (after.skipped, after.left, after.joined) == ({}, {}, ())


async def test_a_universe_that_cannot_be_read_anew_stays_with_a_warning(make_settings: MakeSettings) -> None:
    down = [False]

    def change(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if down[0] and "exchangeInfo" in request.url.path else None

    async with opened(make_settings(venue__retries=0), change=change) as pipeline:
        before = await pipeline.look()
        pipeline.session.clock.advance(LATER)  # type: ignore[attr-defined]
        down[0] = True
        look = await pipeline.look()
        assert (await pipeline.look()).warnings == [], "it is not tried in every cycle"
    assert look.universe == before.universe
    assert ["of before: binance at sim: HTTP 500" in warning for warning in look.warnings] == [True]


class Silent(Meddling):
    """Does not answer who asks for the rules, once it is told to."""

    silent = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.silent and "exchangeInfo" in request.url.path:
            await asyncio.Event().wait()
        return await super().handle_async_request(request)


async def test_a_look_does_not_wait_for_rules_that_never_come(make_settings: MakeSettings) -> None:
    venue: list[Silent] = []

    def wrap(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        venue.append(Silent(lambda _: None, inner))
        return venue[0]

    async with open_session(make_settings(run__fetch_deadline_s=2.0), wrap=wrap) as session:
        with WorkerPool(1, "never", None) as pool:
            pipeline = Pipeline(session, pool)
            await pipeline.look()
            session.clock.advance(LATER)  # type: ignore[attr-defined]
            venue[0].silent = True
            look = await pipeline.look()
            again = await pipeline.look()
    assert look.analysis is not None
    assert look.warnings == ["the universe is the one of before: no answer in time"]
    assert again.warnings == []


async def test_klines_that_the_venue_refuses_put_the_rules_in_doubt(make_settings: MakeSettings) -> None:
    asked = [0]

    def change(request: httpx.Request) -> httpx.Response | None:
        asked[0] += "exchangeInfo" in request.url.path
        bad = request.url.path.endswith("klines") and "ETHUSDT" in str(request.url)
        return httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."}) if bad else None

    async with opened(make_settings(), change=change) as pipeline:
        for minute in range(4):
            pipeline.session.clock.advance(parse_time(AT) + minute * 60_000)  # type: ignore[attr-defined]
            await pipeline.look()
    assert asked[0] == 2, "not when they were read within the minute"
