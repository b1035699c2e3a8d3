"""What keeps a cycle's predictions from being entered stands in its `skipped`, each rule with its reason."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tradebot.clock import MINUTE, parse_time
from tradebot.config import Settings
from tradebot.cycle import Cycle
from tradebot.documents import Document
from tradebot.identity import account_key
from tradebot.trading.halt import Switch, halt
from tradebot.trading.journal import Journal
from tradebot.trading.risk import RULES
from tradebot.trading.risk.record import Record

from .conftest import AT, MakeSettings
from .test_loop import EAGER, looping, run

START = parse_time(AT)
SOME = 8  # cycles, in one of which a symbol that was bought is a signal again
D = Decimal
Before = Callable[[Settings], None]


def as_it_is(_: Settings) -> None:
    """Nothing has happened before."""


def stopped(settings: Settings) -> None:
    Switch(settings.data_path).pull(halt("weekend", "me"))


def recorded(**past: Any) -> Before:
    """The account has this behind it."""

    def write(settings: Settings) -> None:
        with Journal(settings.data_path / "state.db") as journal:
            journal.record(account_key(settings), START - MINUTE, Record(**past))

    return write


REFUSALS: dict[str, tuple[dict[str, Any], Before, str]] = {
    "halt": ({}, stopped, "by me: weekend; `tradebot stop --release` ends that"),
    "threshold": ({"model__threshold": 0.99}, as_it_is, "below 99.00%"),
    "side": ({"sim__symbols": 30}, as_it_is, "a short position is not possible on spot"),
    "max-positions": ({"trading__max_positions": 1}, as_it_is, "1 of 1 positions held"),
    "size": (
        {"risk__size": "kelly", "trading__take_profit": 0.002},
        as_it_is,
        "no size: a target of 0.002 does not cover costs",
    ),
    "cash": ({"paper__balance": 20}, as_it_is, "USDT are too little: "),
    "stale-data": ({"risk__max_bar_age": 0.3, "sim__at": "2025-06-02T15:02:00Z"}, as_it_is, "5m bar closed 120 s ago"),
    "cool-down": (
        {"risk__cool_down_all_s": 300}, recorded(bad={"XUSDT": START - MINUTE}), "240 s to wait after the last loss"
    ),
    "losing-streak": ({}, recorded(losses=7, last_loss=START - MINUTE), "7 losses in a row: 3540 s to wait"),
    "daily-loss": (
        {}, recorded(day=START // 86_400_000, opened=D(900), opened_equity=D(10_000)), "9.00% lost today"
    ),
    "drawdown": ({}, recorded(peak=D(5_000), equity=D(10_000)), "33.33% below the highest equity"),
    "correlated": ({"risk__max_correlated": 1, "risk__correlation": 0.001}, as_it_is, "moves with what is held: "),
    "edge": ({"risk__min_edge": 0.5}, as_it_is, "to expect after costs, below 50.000%"),
    "exposure": ({"risk__max_exposure": 0.15}, as_it_is, "more would be above 1500"),
    "coin": ({"risk__max_coin": 0.05}, as_it_is, "more would be above 500"),
}  # fmt: skip
WITH_A_PAST = {"bar", "one-per-symbol", "unresolved", "clock", "tradable"}


def reasons(document: Document) -> list[str]:
    return [row["reason"] for row in document["skipped"]]


@pytest.mark.parametrize("rule", REFUSALS)
async def test_a_cycle_says_which_rule_refused(make_settings: MakeSettings, rule: str) -> None:
    keys, before, reason = REFUSALS[rule]
    settings = make_settings(**{**EAGER, **keys})
    before(settings)
    (document,) = await run(settings, 1)
    assert any(reason in each for each in reasons(document)), reasons(document)


def test_every_rule_is_seen_in_a_cycle_here() -> None:
    assert {*REFUSALS, *WITH_A_PAST} == set(RULES)


async def test_a_bar_that_was_acted_on_and_a_symbol_that_is_held(make_settings: MakeSettings) -> None:
    await run(make_settings(**EAGER), 1)
    (again,) = await run(make_settings(**EAGER), 1)
    assert "this bar was acted on already" in reasons(again)
    settings = make_settings(**EAGER, run__every_s=300)
    documents = await run(settings, SOME)
    assert "a position is held already" in [reason for each in documents[1:] for reason in reasons(each)]


async def test_an_order_in_doubt(make_settings: MakeSettings) -> None:
    def lost(request: httpx.Request) -> httpx.Response | None:
        orders = request.url.path.endswith("/order")
        return httpx.Response(502) if orders else None

    documents = await run(make_settings(**EAGER, run__every_s=300, venue__retries=0), SOME, lost)
    assert documents[0]["orders"][0]["status"] == "UNKNOWN"
    assert "an earlier order is not resolved yet" in [reason for each in documents[1:] for reason in reasons(each)]


async def test_a_venue_that_takes_no_orders(make_settings: MakeSettings) -> None:
    documents: list[Document] = []
    async with looping(make_settings(**EAGER)) as loop:
        loop.desk.instruments = {}
        await loop.run(1, documents.append)
    assert "not offered by the venue" in reasons(documents[0])


async def test_a_bar_after_which_another_one_has_closed(make_settings: MakeSettings) -> None:
    async with looping(make_settings(**EAGER, risk__max_bar_age=0)) as loop:
        look = await loop.pipeline.predict(await loop.pipeline.look())
        cycles = [Cycle(1, START + late, look.watch, 0, 0) for late in (5 * MINUTE - 1, 5 * MINUTE)]
        for cycle in cycles:
            await loop.admission.enter(cycle, look, look.predictions)
    early, late = cycles
    assert set(early.skipped.values()) == {"exits only: not compared with the venue yet"}
    assert set(late.skipped.values()) == {"its bar closed 300 s ago, and another one since"}


async def test_a_clock_that_cannot_be_relied_on(make_settings: MakeSettings) -> None:
    documents: list[Document] = []
    async with looping(make_settings(**EAGER)) as loop:
        loop.admission.clock_doubt = "the venue's clock jumped by +60 s"
        await loop.run(1, documents.append)
    assert documents[0]["orders"] == []
    assert "the venue's clock jumped by +60 s" in reasons(documents[0])


async def test_spreads_are_asked_for_when_something_reckons_with_them_and_an_entry_is_near(
    make_settings: MakeSettings,
) -> None:
    asked: list[str] = []

    def watch(request: httpx.Request) -> httpx.Response | None:
        asked.append(request.url.path.rpartition("/")[2])
        return None

    for keys, times in ({}, 0), ({"risk__min_edge": -1}, 1), ({"risk__min_edge": -1, "model__threshold": 0.99}, 0):
        asked.clear()
        await run(make_settings(**{**EAGER, **keys}, sim__seed=times + len(keys)), 1, watch)
        assert asked.count("24hr") == times


async def test_without_an_answer_a_usual_spread_is_reckoned_with(make_settings: MakeSettings) -> None:
    def silent(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if request.url.path.endswith("24hr") else None

    (document,) = await run(make_settings(**EAGER, risk__min_edge=-1, venue__retries=0), 1, silent)
    assert any(warning.startswith("spreads not known: ") for warning in document["warnings"])
    assert document["orders"]
