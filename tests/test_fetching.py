"""What `fetch` does with the venue: history, checks, a store kept warm. The venue is the simulated exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tradebot import fetching
from tradebot.clock import DAY, HOUR, MINUTE, parse_time
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import MarketError, UnknownName, UsageError, VenueUnreachable
from tradebot.keeping import open_store
from tradebot.market.bars import Klines, interval_ms
from tradebot.market.chunks import Stretch
from tradebot.market.history import Tally
from tradebot.market.store import Ready
from tradebot.session import open_session

from .conftest import AT, MakeSettings

NOW = parse_time(AT)
SINCE = NOW - 4 * DAY
Plan = Callable[..., Settings]


def unseen(_: Tally) -> None:
    pass


@pytest.fixture
def planned(make_settings: MakeSettings, tmp_path: Path) -> Plan:
    """Settings of a venue with faults, one a line as in TOML."""

    def make(*faults: str, **changes: object) -> Settings:
        path = tmp_path / "faults.toml"
        path.write_text("seed = 3\n" + "".join(f"[[fault]]\n{fault}\n" for fault in faults))
        return make_settings(sim__faults=str(path), sim__symbols=2, **changes)

    return make


async def truth(settings: Settings, symbol: str, interval: str, since: int, until: int) -> Klines:
    """What the venue says, page by page."""
    async with open_session(settings.model_copy(update={"data_dir": settings.data_dir + "-truth"})) as session:
        parts, at = [Klines.empty().data], since
        while at < until:
            page = await session.feed.klines(symbol, interval, at, 1000)
            if not len(page):
                break
            parts.append(page.between(at, until - 1).data)
            at = int(page.data[0, -1]) + 1
        return Klines(np.concatenate(parts, axis=1))


async def agree(settings: Settings, since: int, until: int) -> bool:
    with open_store(settings) as store:
        for symbol, interval in store.stored():
            held = store.read(symbol, interval, since, until - 1)
            if held.data.tobytes() != (await truth(settings, symbol, interval, since, until)).data.tobytes():
                return False
        return bool(store.stored())


async def test_history_is_the_venues_to_the_digit_and_costs_the_finest_interval(make_settings: MakeSettings) -> None:
    settings = make_settings(sim__symbols=2)
    document = await fetching.history(settings, SINCE, None, unseen)
    assert document["errors"] == []
    assert (document["since"], document["until"]) == (SINCE, NOW)
    assert {(row["symbol"], row["interval"], row["rows"], row["new"], row["made"]) for row in document["series"]} == {
        (symbol, interval, rows, new, made)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for interval, rows, new, made in (("5m", 1152, 1152, 0), ("15m", 384, 0, 384), ("1h", 96, 0, 96))
    }
    assert await agree(settings, SINCE, NOW)
    assert document["requests"] == 1 + 2 * 2, "rules, and two pages for each symbol"
    again = await fetching.history(settings, SINCE, None, unseen)
    assert again["requests"] == 1


async def test_what_the_venue_lacks_is_told_and_is_no_error(planned: Plan) -> None:
    settings = planned('kind = "holes"\ninterval = "5m"\nrate = 0.02')
    document = await fetching.history(settings, SINCE, None, unseen)
    assert document["errors"] == []
    assert await agree(settings, SINCE, NOW)
    for row in document["series"]:
        step = interval_ms(row["interval"])
        lacking = sum((last - first) // step + 1 for first, last in row["gaps"])
        assert row["missing"] == ()
        assert (NOW - SINCE) // step - row["rows"] - lacking in (0, 1), "but for a hole at an end"
    fine = next(row for row in document["series"] if row["interval"] == "5m")
    assert len(fine["gaps"]) > 5


async def test_faults_of_the_way_there_do_not_show(planned: Plan) -> None:
    settings = planned(
        'kind = "dropped"\npath = "klines"\nrate = 0.1', 'kind = "truncated"\npath = "klines"\nrate = 0.1',
        'kind = "server-error"\npath = "klines"\nrate = 0.1',
    )  # fmt: skip
    document = await fetching.history(settings, SINCE, None, unseen)
    assert document["errors"] == []
    assert await agree(settings, SINCE, NOW)


async def test_a_halted_symbol_that_is_named_has_a_past(planned: Plan) -> None:
    settings = planned('kind = "halted"\nsymbol = "ETHUSDT"', universe__symbols="ethusdt", market__intervals="1h")
    document = await fetching.history(settings, SINCE, None, unseen)
    assert [(row["symbol"], row["rows"]) for row in document["series"]] == [("ETHUSDT", 96)]
    with pytest.raises(UnknownName, match="unknown symbol 'NOSUCH'"):
        await fetching.history(planned(universe__symbols="NOSUCH"), SINCE, None, unseen)


async def test_a_limit_is_waited_for_and_shown(planned: Plan) -> None:
    settings = planned('kind = "limited"\npath = "klines"\nseconds = 23\nnth = 2')
    seen: list[str] = []
    document = await fetching.history(settings, SINCE, None, lambda tally: seen.append(tally.waiting))
    assert "waiting 23 s for the venue's limit" in seen
    assert document["errors"] == []


async def test_progress_tells_how_far_it_is(make_settings: MakeSettings) -> None:
    seen: list[tuple[int, int, int]] = []
    await fetching.history(
        make_settings(sim__symbols=2), SINCE, None, lambda tally: seen.append((tally.done, tally.bars, tally.requests))
    )
    assert seen[-1][:2] == (3264, 3264)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][2] == 5


async def test_a_symbol_that_cannot_be_had_is_an_error_beside_the_others(planned: Plan) -> None:
    settings = planned('kind = "restricted"\nsymbol = "ETHUSDT"\npath = "klines"')
    document = await fetching.history(settings, SINCE, None, unseen)
    assert [(row["symbol"], row["interval"]) for row in document["errors"]] == [
        ("ETHUSDT", interval) for interval in ("15m", "1h", "5m")
    ]
    for row in document["series"]:
        span = (SINCE, NOW - interval_ms(row["interval"]))
        assert row["missing"] == ((span,) if row["symbol"] == "ETHUSDT" else ())


async def test_a_period_that_is_none_is_refused(make_settings: MakeSettings) -> None:
    for since, until in ((NOW + DAY, None), (SINCE, SINCE)):
        with pytest.raises(UsageError, match="--since must be before --until"):
            await fetching.history(make_settings(), since, until, unseen)


def tamper(settings: Settings) -> None:
    """Another close, a bar too many, and one that the store believes to be none."""
    with open_store(settings) as store:
        held = store.read("BTCUSDT", "5m", NOW - HOUR, NOW)
        data = held.data.copy()
        data[4, 3] += 1
        store.add([Stretch(("BTCUSDT", "5m"), Klines(data), NOW - HOUR, NOW - 5 * MINUTE)])


async def test_a_check_finds_what_differs_and_can_mend_it(make_settings: MakeSettings) -> None:
    settings = make_settings(sim__symbols=2)
    await fetching.history(settings, SINCE, None, unseen)
    good = await fetching.verify(settings, None, None, unseen, mend=False)
    assert (good["remaining"], good["sampled"]) == (0, True)
    day = await fetching.verify(settings, SINCE, SINCE + 24 * HOUR, unseen, mend=False)
    assert sum(row["checked"] for row in day["series"]) == 2 * (288 + 96 + 24)
    tamper(settings)
    bad = await fetching.verify(settings, SINCE, None, unseen, mend=False)
    assert bad["remaining"] == 1
    assert sum(row["checked"] for row in bad["series"]) == 3264
    (row,) = [row for row in bad["series"] if row["remaining"]]
    assert (row["symbol"], row["interval"], row["revised"], row["first"]) == (
        "BTCUSDT", "5m", 1, NOW - HOUR + 3 * 5 * MINUTE)  # fmt: skip
    mended = await fetching.verify(settings, SINCE, None, unseen, mend=True)
    assert (mended["remaining"], mended["mended"]) == (0, True)
    assert await agree(settings, SINCE, NOW)


async def test_a_check_needs_something_stored(make_settings: MakeSettings) -> None:
    with pytest.raises(MarketError, match="nothing is stored"):
        await fetching.verify(make_settings(), None, None, unseen, mend=False)


async def watched(settings: Settings, rounds: int) -> list[Document]:
    documents: list[Document] = []

    def emit(document: Document) -> None:
        documents.append(document)
        if len(documents) == rounds:
            task.cancel()

    task = asyncio.create_task(fetching.watch(settings, emit))
    with pytest.raises(asyncio.CancelledError):
        await task
    return documents


async def test_a_watch_asks_when_something_closes_and_not_before(make_settings: MakeSettings) -> None:
    rounds = await watched(make_settings(sim__symbols=2), 5)
    assert [row["now"] for row in rounds[1:]] == [row["next"] for row in rounds[:-1]]
    assert all(0 < row["next"] - row["now"] <= 5 * MINUTE + 5_000 for row in rounds)
    assert all(sum(each["new"] for each in row["series"]) >= 2 for row in rounds[1:])
    assert all(row["requests"] <= 6 for row in rounds[1:])


async def test_a_watch_waits_for_a_venue_in_trouble(planned: Plan) -> None:
    settings = planned('kind = "server-error"\npath = "klines"\ntimes = 6', venue__retries=0)
    trouble, good = (await watched(settings, 2))[:2]
    assert "500" in trouble["error"]
    assert trouble["again_ms"] == 1_000
    assert good["errors"] == []
    assert len(good["series"]) == 6


async def test_a_watch_asks_for_symbols_that_fail_less_and_less_often_and_for_the_others_on_time(planned: Plan) -> None:
    settings = planned('kind = "server-error"\npath = "klines"\nsymbol = "ETHUSDT"', venue__retries=0)
    rounds = await watched(settings, 12)
    waits = [row["next"] - row["now"] for row in rounds]
    assert all({each["symbol"] for each in row["errors"]} == {"ETHUSDT"} for row in rounds)
    assert waits[:3] == [1_000, 2_000, 4_000]
    assert max(waits) <= 60_000
    closes = [row["now"] for row in rounds[1:] if row["now"] % (5 * MINUTE) == 0]
    assert closes, "the close of the others is not slept through"
    new = {row["now"]: {each["symbol"] for each in row["series"] if each["new"]} for row in rounds[1:]}
    assert all(new[close] and "ETHUSDT" not in new[close] for close in closes)


async def test_series_are_told_by_symbol_and_from_fine_to_coarse(make_settings: MakeSettings) -> None:
    document = await fetching.fetch(make_settings(sim__symbols=2))
    assert [(row["symbol"], row["interval"]) for row in document["series"]] == [
        (symbol, interval) for symbol in ("BTCUSDT", "ETHUSDT") for interval in ("5m", "15m", "1h")
    ]


async def test_a_fetch_takes_any_intervals_and_needs_no_model(make_settings: MakeSettings) -> None:
    document = await fetching.fetch(make_settings(market__intervals=("4h",), model__path="none.onnx", sim__symbols=1))
    assert [row["interval"] for row in document["series"]] == ["4h"]


async def test_a_series_that_failed_is_an_error_beside_the_others(make_settings: MakeSettings) -> None:
    async with open_session(make_settings()) as session:
        good = Ready("BTCUSDT", "5m", Klines.empty())
        bad = Ready("ETHUSDT", "5m", Klines.empty(), error=VenueUnreachable("timed out"))
        document = fetching.fetched(session, 0, [good, bad], 1.0, {"XYZUSDT": "venue status HALT"})
        assert [row["symbol"] for row in document["series"]] == ["BTCUSDT"]
        assert document["errors"] == [{"symbol": "ETHUSDT", "interval": "5m", "error": "timed out"}]
        assert document["skipped"] == [{"symbol": "XYZUSDT", "reason": "venue status HALT"}]
        with pytest.raises(VenueUnreachable):
            fetching.fetched(session, 0, [bad], 1.0, {})
