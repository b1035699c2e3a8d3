"""Cycles with orders on a venue whose clock stands still while they work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeAlias

import httpx
import pytest

from tradebot.analysis.pool import WorkerPool
from tradebot.clock import HOUR, MINUTE, Moments, parse_time
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import TooSlow, VenueUnreachable
from tradebot.latency import STEPS
from tradebot.loop import Loop
from tradebot.market.binance import BinanceClient
from tradebot.market.venue import Broker
from tradebot.pipeline import Pipeline
from tradebot.session import open_session
from tradebot.trading.desk import Desk
from tradebot.trading.halt import Switch
from tradebot.trading.journal import Journal
from tradebot.trading.purse import Purse

from .conftest import AT, MakeSettings, served
from .test_pipeline import Change, Meddling

START = parse_time(AT)
EAGER = {"strategy__min_score": 0.05, "model__threshold": 0.0}
Ready: TypeAlias = Callable[[], int]


@asynccontextmanager
async def looping(settings: Settings, change: Change = lambda _: None) -> AsyncIterator[Loop]:
    async with open_session(settings, trading=True, wrap=lambda inner: Meddling(change, inner)) as session:
        with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
            assert session.broker is not None
            desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", session.account)
            yield Loop(Pipeline(session, pool), desk)


async def run(settings: Settings, cycles: int, change: Change = lambda _: None) -> list[Document]:
    documents: list[Document] = []
    async with looping(settings, change) as loop:
        await loop.run(cycles, documents.append)
    return documents


async def test_cycles_are_a_minute_of_the_venues_clock_apart(make_settings: MakeSettings) -> None:
    documents = await run(make_settings(sim__at="2025-06-02T15:00:30Z"), 4)
    assert [each["cycle"] for each in documents] == [1, 2, 3, 4]
    started = [each["started"] - START for each in documents]
    assert started == [MINUTE // 2, MINUTE, 2 * MINUTE, 3 * MINUTE]


async def test_a_cycle_leaves_no_garbage_to_be_looked_for_between_a_close_and_its_order(
    make_settings: MakeSettings,
) -> None:
    class Ring:
        """What only the collector can free."""

        def __init__(self) -> None:
            self.own = self

    left: list[weakref.ref[Ring]] = []
    async with looping(make_settings()) as loop:
        loop.observe = lambda _: left.append(weakref.ref(Ring()))
        gc.disable()
        try:
            await loop.run(2, lambda _: None)
            found = [each() for each in left]
        finally:
            gc.enable()
    assert found == [None, None]


async def test_only_what_has_closed_is_asked_for(make_settings: MakeSettings) -> None:
    asked: list[int] = []
    klines = [0]

    def count(request: httpx.Request) -> httpx.Response | None:
        klines[0] += request.url.path.endswith("klines")
        return None

    async with looping(make_settings(), count) as loop:
        await loop.run(6, lambda _: asked.append(klines[0]))
    assert asked == [18, 18, 18, 18, 18, 18 + 6]


async def test_a_prediction_above_the_threshold_becomes_a_position(make_settings: MakeSettings) -> None:
    (document,) = await run(make_settings(**EAGER), 1)
    bought = [order for order in document["orders"] if order["status"] == "FILLED"]
    assert bought
    assert {order["symbol"] for order in bought} == {position["symbol"] for position in document["positions"]}
    assert all(order["side"] == "BUY" for order in bought)
    assert set(document["positions"][0]) >= {
        "symbol", "side", "quantity", "entry", "mark", "stop", "target", "opened", "state", "unrealized",
    }  # fmt: skip


async def test_the_same_bar_is_never_acted_upon_twice(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    (first,) = await run(settings, 1)
    (again,) = await run(settings, 1)
    assert first["orders"]
    assert again["orders"] == []
    assert [each["symbol"] for each in again["positions"]] == [each["symbol"] for each in first["positions"]]


async def test_positions_end_when_their_time_is_over(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=120, trading__max_positions=2)
    documents = await run(settings, 4)
    exits = [order for each in documents for order in each["orders"] if order["side"] == "SELL"]
    exits = [order for order in exits if not order["intent"].startswith("guard")]
    assert {order["intent"] for order in exits} == {"time"}
    entered = {order["symbol"] for order in documents[0]["orders"]}
    assert {order["symbol"] for order in exits} == entered


async def test_exits_are_looked_after_when_no_kline_can_be_had(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=60, venue__retries=0)
    await run(settings, 1)

    def no_klines(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if request.url.path.endswith("klines") else None

    async with looping(settings, no_klines) as loop:
        loop.session.clock.advance(START + 6 * MINUTE)  # type: ignore[attr-defined]
        documents: list[Document] = []
        with pytest.raises(VenueUnreachable):
            await loop.run(1, documents.append)
    assert documents[0]["warnings"]
    assert "time" in {order["intent"] for order in documents[0]["orders"] if order["status"] == "FILLED"}
    assert {each["state"] for each in documents[0]["positions"]} <= {"dust"}


async def test_a_loop_goes_on_after_a_cycle_that_failed(make_settings: MakeSettings) -> None:
    broken = [True]

    def once(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if broken[0] and request.url.path.endswith("klines") else None

    documents: list[Document] = []

    def emit(document: Document) -> None:
        documents.append(document)
        broken[0] = False

    async with looping(make_settings(venue__retries=0), once) as loop:
        await loop.run(2, emit)
    assert documents[0]["warnings"]
    assert documents[1]["warnings"] == []


async def test_without_prices_there_are_no_entries(make_settings: MakeSettings) -> None:
    def no_prices(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if request.url.path.endswith("ticker/price") else None

    documents: list[Document] = []
    async with looping(make_settings(**EAGER, venue__retries=0), no_prices) as loop:
        with pytest.raises(VenueUnreachable):
            await loop.run(1, documents.append)
    assert documents[0]["predictions"]
    assert documents[0]["orders"] == []


async def test_execution_does_not_hold_up_the_next_cycle(make_settings: MakeSettings) -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    class Slow:
        """A desk whose first entry hangs until the second cycle has looked."""

        doubts: ClassVar[list[str]] = []
        moments = Moments()

        def __init__(self, broker: Broker, journal: Journal) -> None:
            self.broker, self.journal, self.switch = broker, journal, Switch(journal.path.parent)
            self.purse = Purse(broker, journal)

        def expect(self) -> None:
            self.purse.ask()

        def positions(self) -> list[Any]:
            return []

        def acted(self, predictions: Any) -> frozenset[tuple[str, int]]:
            return frozenset()

        async def reconcile(self) -> list[str]:
            return []

        async def monitor(self, marks: Any) -> list[Any]:
            seen.append("monitor")
            if seen.count("monitor") == 2:
                gate.set()
            return []

        async def enter(
            self, predictions: Any, marks: Any, threshold: float, outlook: Any
        ) -> tuple[list[Any], dict[str, str]]:
            await gate.wait()
            seen.append("entered")
            return [], {}

    settings = make_settings(**EAGER, sim__clock="scaled", sim__speed=6000.0)
    documents: list[Document] = []
    async with open_session(settings, trading=True) as session:
        assert session.broker is not None
        with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
            loop = Loop(Pipeline(session, pool), Slow(session.broker, journal))  # type: ignore[arg-type]
            await asyncio.wait_for(loop.run(2, documents.append), 20)
    assert seen[:3] == ["monitor", "monitor", "entered"]
    assert [each["cycle"] for each in documents] == [1, 2]


async def test_minutes_that_passed_are_counted_and_not_made_up_for(make_settings: MakeSettings) -> None:
    async with looping(make_settings()) as loop:
        clock: Any = loop.session.clock
        documents: list[Document] = []

        def late(document: Document) -> None:
            documents.append(document)
            if document["cycle"] == 1:
                clock.advance(START + 3 * MINUTE + 5_000)

        await loop.run(3, late)
    assert [each["started"] - START for each in documents] == [0, 3 * MINUTE + 5_000, 4 * MINUTE]
    assert documents[1]["warnings"] == ["2 cycles missed: the one before took too long"]


async def test_an_interrupted_run_leaves_no_order_unrecorded(make_settings: MakeSettings) -> None:
    sent: list[str] = []

    def notice(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and request.url.path.endswith("order"):
            sent.append(request.url.params["newClientOrderId"])
            raise asyncio.CancelledError
        return None

    settings = make_settings(**EAGER)
    async with looping(settings, notice) as loop:
        with pytest.raises(asyncio.CancelledError):
            await loop.run(1, lambda _: None)
        recorded = {order.client_id for order in loop.desk.journal.orders(loop.session.account)}
    assert sent
    assert set(sent) <= recorded


async def test_balances_are_asked_for_when_klines_are_whatever_the_prices_take(make_settings: MakeSettings) -> None:
    asked: list[str] = []

    def note(request: httpx.Request) -> httpx.Response | None:
        asked.append(request.url.path.rpartition("/")[2])
        return None

    async with looping(make_settings(), note) as loop:
        await loop.run(1, lambda _: None)
    assert asked.index("account") < asked.index("klines")


async def test_balances_are_not_asked_for_where_no_entry_is_possible(make_settings: MakeSettings) -> None:
    asked: list[int] = []
    account = [0]

    def count(request: httpx.Request) -> httpx.Response | None:
        account[0] += request.url.path.endswith("account")
        return None

    async with looping(make_settings(**EAGER), count) as loop:
        await loop.run(3, lambda _: asked.append(account[0]))
    assert asked[0] > 0
    assert asked[1:] == [asked[0]] * 2


async def test_exits_are_looked_after_when_no_price_can_be_read(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=60, venue__retries=0)
    await run(settings, 1)

    def no_prices(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if request.url.path.endswith("ticker/price") else None

    async with looping(settings, no_prices) as loop:
        loop.session.clock.advance(START + 6 * MINUTE)  # type: ignore[attr-defined]
        documents: list[Document] = []
        with pytest.raises(VenueUnreachable):
            await loop.run(1, documents.append)
    assert "time" in {order["intent"] for order in documents[0]["orders"] if order["status"] == "FILLED"}
    assert {each["state"] for each in documents[0]["positions"]} <= {"dust"}


async def test_told_to_end_it_waits_for_the_orders_in_the_air(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, sim__latency_ms=300.0)
    async with looping(settings) as loop:
        running = asyncio.create_task(loop.run(1, lambda _: None))
        while not any(order.state.value == "SENT" for order in loop.desk.journal.orders(loop.session.account)):
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        states = {order.state.value for order in loop.desk.journal.orders(loop.session.account)}
    assert states <= {"FILLED", "NEW"}
    assert "FILLED" in states


async def test_the_universe_and_the_rules_are_read_anew_every_hour(make_settings: MakeSettings) -> None:
    asked = [0]

    def count(request: httpx.Request) -> httpx.Response | None:
        asked[0] += request.url.path.endswith("exchangeInfo")
        return None

    async with looping(make_settings(), count) as loop:
        await loop.begin(1)
        assert asked == [1]
        loop.session.clock.advance(START + 61 * MINUTE)  # type: ignore[attr-defined]
        await loop.begin(2)
        await loop.begin(3)
        assert asked == [2]


async def test_rules_that_are_too_old_are_no_ground_for_an_entry_but_exits_go_on(make_settings: MakeSettings) -> None:
    down = [False]

    def change(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if down[0] and "exchangeInfo" in request.url.path else None

    documents: list[Document] = []
    async with looping(make_settings(**EAGER, venue__retries=0), change) as loop:
        await loop.finish(await loop.begin(1), None, documents.append)
        assert documents[0]["positions"]
        down[0] = True
        loop.session.clock.advance(START + 7 * HOUR)  # type: ignore[attr-defined]
        await loop.finish(await loop.begin(2), None, documents.append)
    _, late = documents
    assert {order["intent"] for order in late["orders"]} <= {"time", "guard-stop", "guard-target"}
    assert late["orders"]
    assert {"the trading rules are 7 h old and cannot be read anew"} == {each["reason"] for each in late["skipped"]}


async def test_a_position_is_left_at_its_time_though_its_symbol_has_left_the_universe(
    make_settings: MakeSettings,
) -> None:
    documents: list[Document] = []
    async with looping(make_settings(**EAGER)) as loop:
        await loop.finish(await loop.begin(1), None, documents.append)
        held = {position["symbol"] for position in documents[0]["positions"]}
        scout = loop.session.scout
        scout._universe = (await scout.universe()).without(held)
        scout._chosen_at = START + 5 * HOUR
        loop.session.clock.advance(START + 5 * HOUR)  # type: ignore[attr-defined]
        await loop.finish(await loop.begin(2), None, documents.append)
    assert held
    assert documents[1]["symbols"] == 6 - len(held)
    assert {order["symbol"] for order in documents[1]["orders"] if order["side"] == "SELL"} == held
    assert {position["state"] for position in documents[1]["positions"]} <= {"dust"}


async def test_an_order_that_is_refused_puts_the_rules_in_doubt(make_settings: MakeSettings) -> None:
    asked = [0]

    def change(request: httpx.Request) -> httpx.Response | None:
        asked[0] += "exchangeInfo" in request.url.path
        if request.method == "POST":
            return httpx.Response(400, json={"code": -1013, "msg": "Filter failure: LOT_SIZE"})
        return None

    documents: list[Document] = []
    async with looping(make_settings(**EAGER), change) as loop:
        loop.session.clock.advance(START + 5 * MINUTE)  # type: ignore[attr-defined]
        for number in range(3):
            await loop.finish(await loop.begin(number), None, documents.append)
            loop.session.clock.advance(START + (6 + number) * MINUTE)  # type: ignore[attr-defined]
    assert {order["status"] for order in documents[0]["orders"]} == {"REJECTED"}
    assert asked[0] == 2, "not again while nothing is refused"


async def test_a_venues_clock_that_jumped_is_told(make_settings: MakeSettings) -> None:
    async with served(make_settings(sim__clock="real")) as url:
        settings = make_settings(venue__name="binance", venue__base_url=url)
        async with open_session(settings, trading=True) as session:
            with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
                assert session.broker is not None
                desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", "one")
                loop = Loop(Pipeline(session, pool), desk)
                assert await loop._measure() == []
                session.clock.sync(session.clock.now() - 60 * MINUTE, 0.0)
                (warning,) = await loop._measure()
    assert "jumped by +3600 s" in warning


@asynccontextmanager
async def unconnected(make_settings: MakeSettings, *, looked: bool, **clock: Any) -> AsyncIterator[tuple[Loop, Ready]]:
    """A loop whose connections are closed, after a look if that is wanted; and how many are open."""
    async with served(make_settings(**clock)) as url:
        settings = make_settings(venue__name="binance", venue__base_url=url)
        async with open_session(settings, trading=True) as session:
            with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
                assert session.broker is not None
                assert isinstance(session.feed, BinanceClient)
                desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", "one")
                loop, network = Loop(Pipeline(session, pool), desk), session.feed._network
                assert network is not None
                if looked:
                    await loop.pipeline.look()
                await network.aclose()
                network._closed = False
                yield loop, lambda: sum(each.usable() for each in network._idle)


async def test_connections_are_ready_when_a_bar_closes(make_settings: MakeSettings) -> None:
    async with unconnected(make_settings, looked=True, sim__clock="scaled", sim__speed=200.0) as (loop, ready):
        close = loop.session.clock.now() // (5 * MINUTE) * (5 * MINUTE) + 10 * MINUTE
        await loop._next(close - MINUTE)
        before = ready()
        await loop._next(close)
        assert before < loop.session.scout.size == ready()


@pytest.mark.parametrize("looked", [False, True])
async def test_connections_are_opened_before_the_first_cycle_where_anything_is_due(
    make_settings: MakeSettings, looked: bool
) -> None:
    async with unconnected(make_settings, looked=looked) as (loop, ready):
        assert await loop.ready() == []
        assert (ready() > 0) == (not looked)


async def priced(settings: Settings, cycles: int) -> list[tuple[int, bool]]:
    """How many requests for all prices each cycle made, and whether it entered anything."""
    made = [0]
    told: list[tuple[int, bool]] = []

    def count(request: httpx.Request) -> httpx.Response | None:
        made[0] += request.url.path.endswith("ticker/price")
        return None

    def tell(document: Document) -> None:
        told.append((made[0], any(order["side"] == "BUY" for order in document["orders"])))
        made[0] = 0

    async with looping(settings, count) as loop:
        await loop.run(cycles, tell)
    return told


async def test_with_closed_klines_only_marks_are_fresh_in_each_cycle(make_settings: MakeSettings) -> None:
    assert [requests for requests, _ in await priced(make_settings(run__monitor_every_s=0), 4)] == [1, 1, 1, 1]


async def test_with_open_klines_who_holds_nothing_needs_no_marks(make_settings: MakeSettings) -> None:
    settings = make_settings(market__closed_only=False, model__threshold=1.0)
    assert [requests for requests, _ in await priced(settings, 8)] == [1, 0, 0, 0, 0, 0, 0, 0]


async def test_with_open_klines_marks_are_asked_for_when_they_are_too_old_and_for_every_entry(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(market__closed_only=False, trading__max_positions=1, sim__symbols=12, **EAGER)
    told = await priced(settings, 30)
    assert all(requests == 1 for requests, entered in told if entered)
    assert 5 <= sum(requests for requests, _ in told) <= 15


async def test_what_is_entered_is_entered_at_prices_of_its_own_cycle(make_settings: MakeSettings) -> None:
    settings = make_settings(market__closed_only=False, **EAGER, trading__max_positions=0)
    async with looping(settings) as loop:
        first = await loop.begin(1)
        loop.session.clock.advance(START + MINUTE)  # type: ignore[attr-defined]
        cycle = await loop.begin(2)
        assert (cycle.marks, loop.marks.asked) == (first.marks, START)
        object.__setattr__(loop.desk.settings.trading, "max_positions", 5)
        await loop.finish(cycle, None, lambda _: None)
        assert [each.intent for each in cycle.outcomes]
        assert loop.marks.asked == START + MINUTE


async def test_a_model_that_grows_old_is_told_in_every_cycle(make_settings: MakeSettings) -> None:
    documents = await run(make_settings(sim__at="2026-04-15T15:00:30Z", model__max_age_days=10), 2)
    assert [["of 10 allowed" in each for each in document["warnings"]] for document in documents] == [[True]] * 2


class Slowing(httpx.AsyncBaseTransport):
    """Answers some requests late, real seconds; infinitely late is never."""

    def __init__(self, delay: Callable[[httpx.Request], float], inner: httpx.AsyncBaseTransport) -> None:
        self.delay, self.inner = delay, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        seconds = self.delay(request)
        await (asyncio.Event().wait() if math.isinf(seconds) else asyncio.sleep(seconds))
        return await self.inner.handle_async_request(request)


@asynccontextmanager
async def slowed(settings: Settings, delay: Callable[[httpx.Request], float]) -> AsyncIterator[Loop]:
    async with open_session(settings, trading=True, wrap=lambda inner: Slowing(delay, inner)) as session:
        with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
            assert session.broker is not None
            desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", session.account)
            yield Loop(Pipeline(session, pool), desk)


LAGGARDS = ("BTCUSDT", "ETHUSDT")


def lagging(seconds: float) -> Callable[[httpx.Request], float]:
    """Klines of a third of the symbols come late."""

    def delay(request: httpx.Request) -> float:
        return seconds if request.url.params.get("symbol") in LAGGARDS and "klines" in request.url.path else 0.0

    return delay


@pytest.mark.parametrize("late_s", [10.0, math.inf], ids=["in 10 s", "never"])
async def test_a_cycle_ends_at_its_deadline_trades_the_rest_and_names_who_did_not_answer(
    make_settings: MakeSettings, late_s: float
) -> None:
    settings = make_settings(**EAGER, run__fetch_deadline_s=0.5)
    documents: list[Document] = []
    async with slowed(settings, lagging(late_s)) as loop:
        await loop.run(1, documents.append)
    (document,) = documents
    late = {row["symbol"]: row["reason"] for row in document["skipped"] if row["symbol"] in LAGGARDS}
    assert set(late) == set(LAGGARDS)
    assert all("no answer in time" in reason for reason in late.values())
    assert {order["status"] for order in document["orders"] if order["intent"] == "enter"} == {"FILLED"}


async def test_a_third_of_the_symbols_that_fail_does_not_keep_the_others_from_being_traded(
    make_settings: MakeSettings,
) -> None:
    def broken(request: httpx.Request) -> httpx.Response | None:
        failing = request.url.params.get("symbol") in LAGGARDS and "klines" in request.url.path
        return httpx.Response(500) if failing else None

    (document,) = await run(make_settings(**EAGER, venue__retries=0), 1, broken)
    assert {row["symbol"] for row in document["skipped"]} >= set(LAGGARDS)
    assert any(order["intent"] == "enter" for order in document["orders"])
    assert document["latency"]


async def test_exits_are_made_while_the_klines_do_not_come(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=60, run__fetch_deadline_s=1.0)
    await run(settings, 1)
    sold = asyncio.Event()

    def stuck(request: httpx.Request) -> float:
        if request.method == "POST" and request.url.params.get("side") == "SELL":
            sold.set()
        return math.inf if "klines" in request.url.path else 0.0

    async with slowed(settings, stuck) as loop:
        loop.session.clock.advance(START + 6 * MINUTE)  # type: ignore[attr-defined]
        looking = asyncio.create_task(loop.begin(1))
        await asyncio.wait_for(sold.wait(), 20)
        assert not looking.done(), "the look is still waiting"
        await looking


async def test_an_order_that_hangs_keeps_no_other_from_being_protected_or_left(make_settings: MakeSettings) -> None:
    bought: list[str] = []
    protected = asyncio.Event()

    def hanging(request: httpx.Request) -> float:
        if request.method == "POST" and request.url.params.get("side") == "BUY":
            bought.append(request.url.params["symbol"])
            return math.inf if len(bought) == 1 else 0.0
        if "orderList" in request.url.path:
            protected.set()
        return 0.0

    async with slowed(make_settings(**EAGER, trading__max_hold_s=60), hanging) as loop:
        executing = asyncio.create_task(loop.finish(await loop.begin(1), None, lambda _: None))
        await protected.wait()
        loop.session.clock.advance(START + MINUTE)  # type: ignore[attr-defined]
        left: set[str] = set()
        while left < set(bought[1:]):  # who is not protected yet is left in the next pass
            seen = await loop.guard.look()
            left |= {each.symbol for each in seen.outcomes if (each.intent, str(each.state)) == ("time", "FILLED")}
        assert bought[0] not in left
        assert not executing.done(), "the first order still hangs"
        executing.cancel()
        await asyncio.gather(executing, return_exceptions=True)


async def test_an_order_that_hangs_ends_in_doubt_and_the_document_and_the_log_say_so(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    hung: list[str] = []

    def hanging(request: httpx.Request) -> float:
        if request.method == "POST" and request.url.params.get("side") == "BUY":
            hung[:] = hung or [request.url.params["symbol"]]
            return math.inf if request.url.params["symbol"] == hung[0] else 0.0
        return 0.0

    documents: list[Document] = []
    async with slowed(make_settings(**EAGER), hanging) as loop:
        assert loop.session.broker is not None
        loop.session.broker._order_times = {**loop.session.broker._order_times, "read": 0.3}
        await loop.run(2, documents.append)
    first, second = documents
    (order,) = [each for each in first["orders"] if each["status"] == "UNKNOWN"]
    assert order["symbol"] == hung[0]
    (why,) = [each["reason"] for each in first["skipped"] if each["symbol"] == hung[0]]
    assert "enter UNKNOWN (order " in why
    (told,) = [each for each in first["warnings"] if each.startswith(f"{hung[0]}: enter in doubt (")]
    assert told.endswith("it is not sent again, but looked up until the venue tells what became of it")
    assert f"cycle 1: {told}" in caplog.text
    assert {each["status"] for each in first["orders"] if each["intent"] == "enter"} == {"UNKNOWN", "FILLED"}
    protected = {each["symbol"] for each in first["orders"] if each["intent"] == "guard-stop"}
    assert protected == {each["symbol"] for each in first["orders"]} - set(hung)
    assert not any(each["symbol"] == hung[0] and each["status"] == "FILLED" for each in second["orders"])


async def test_between_cycles_what_is_due_is_left_and_told_with_the_next_cycle(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=75, run__monitor_every_s=10)
    _, _, third = await run(settings, 3)
    exits = [order for order in third["orders"] if order["side"] == "SELL" and order["status"] == "FILLED"]
    assert {order["intent"] for order in exits} == {"time"}


async def test_with_the_beat_off_exits_wait_for_the_next_cycle(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, trading__max_hold_s=75, run__monitor_every_s=0)
    documents = await run(settings, 3)
    assert not [order for order in documents[1]["orders"] if order["side"] == "SELL" and order["status"] == "FILLED"]
    assert [order for order in documents[2]["orders"] if order["intent"] == "time"]


async def test_a_cycle_over_its_budget_says_which_stage_and_who_was_slow(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, run__budget_ms={"fetch": 0.001, "predict": 1e6})
    (document,) = await run(settings, 1)
    (line,) = document["slow"]
    assert line.startswith("fetch took ")
    assert "its budget is 0.001 ms; slowest: " in line
    assert line in document["warnings"]
    assert document["orders"], "a warning only"


async def test_a_slow_cycle_may_be_told_to_enter_nothing_but_exits_go_on(make_settings: MakeSettings) -> None:
    await run(make_settings(**EAGER, trading__max_hold_s=60), 1)
    settings = make_settings(
        **EAGER, trading__max_hold_s=60, run__budget_ms={"total": 0.001}, run__on_slow="skip-entries"
    )
    async with looping(settings) as loop:
        loop.session.clock.advance(START + 6 * MINUTE)  # type: ignore[attr-defined]
        documents: list[Document] = []
        await loop.run(1, documents.append)
    (document,) = documents
    assert "enter" not in {order["intent"] for order in document["orders"]}
    assert "time" in {order["intent"] for order in document["orders"]}
    reasons = {row["reason"].partition(" took")[0] for row in document["skipped"]}
    assert "the cycle is too slow: total" in reasons


async def test_a_slow_cycle_may_end_the_run(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, run__budget_ms={"fetch": 0.001}, run__on_slow="stop")
    documents: list[Document] = []
    async with looping(settings) as loop:
        with pytest.raises(TooSlow, match=r"run\.on_slow = stop: fetch took"):
            await loop.run(5, documents.append)
    assert len(documents) == 1
    assert documents[0]["orders"] == []


async def test_every_signal_on_a_new_bar_has_its_way_from_the_close_to_the_order(make_settings: MakeSettings) -> None:
    first, second, *_ = await run(make_settings(**EAGER), 2)
    assert {row["symbol"] for row in first["latency"]} == {row["symbol"] for row in first["signals"]}
    entered = {order["symbol"] for order in first["orders"] if order["intent"] == "enter"}
    for row in first["latency"]:
        taken = [row[step] for step in STEPS if row[step] is not None]
        assert taken == sorted(taken)
        assert len(taken) == (len(STEPS) if row["symbol"] in entered else 4)
    assert second["latency"] == [], "no bar has closed"


async def test_a_bar_that_closed_too_long_ago_is_not_entered(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER, risk__max_bar_age=0.1)
    async with looping(settings) as loop:
        loop.session.clock.advance(START + MINUTE)  # type: ignore[attr-defined]
        documents: list[Document] = []
        await loop.run(1, documents.append)
    (document,) = documents
    assert document["orders"] == []
    assert {row["reason"] for row in document["skipped"]} == {"its newest 5m bar closed 60 s ago"}


async def test_a_cycle_tells_its_bar_and_what_the_state_knows_of_it(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    (first,) = await run(settings, 1)
    (again,) = await run(settings, 1)
    assert (first["bar"]["close"], first["bar"]["age_ms"], first["bar"]["interval"]) == (START, 0, "5m")
    assert (first["bar"]["before"], first["bar"]["again"], first["bar"]["acted"]) == (None, False, [])
    assert again["bar"]["again"]
    assert set(again["bar"]["acted"]) == {order["symbol"] for order in first["orders"] if order["intent"] == "enter"}
    assert not [order for order in again["orders"] if order["intent"] == "enter"]


async def test_one_that_is_started_an_hour_late_says_what_it_has_not_seen(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    await run(settings, 1)
    async with looping(settings) as loop:
        loop.session.clock.advance(START + 61 * MINUTE)  # type: ignore[attr-defined]
        documents: list[Document] = []
        await loop.run(1, documents.append)
    bar = documents[0]["bar"]
    assert (bar["unseen"], bar["again"]) == (11, False)
    assert documents[0]["warnings"] == [
        "11 bars of 5m closed unseen since 2025-06-02 14:55:00; nothing is entered on them any more"
    ]


async def test_a_single_cycle_waits_for_a_bar_that_closes_in_a_moment(make_settings: MakeSettings) -> None:
    settings = make_settings(sim__clock="scaled", sim__speed=20.0, sim__at="2025-06-02T15:04:57Z")
    documents = await run(settings, 1)
    assert documents[0]["bar"]["close"] in (START, START + 5 * MINUTE)  # opening may outlast the wait
    assert documents[0]["started"] >= START + 4 * MINUTE + 57_000


async def test_a_look_in_which_nothing_is_due_takes_over_the_last_one(make_settings: MakeSettings) -> None:
    first, second = await run(make_settings(**EAGER, trading__max_positions=0), 2)
    assert second["signals"] == first["signals"]
    assert second["predictions"] == first["predictions"]
    assert second["stages"]["analyze"] == 0.0 < first["stages"]["analyze"]


class Waiting(httpx.AsyncBaseTransport):
    """Klines of one symbol are answered when the first order has come, or after a while."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner, self.armed, self.ordered = inner, False, asyncio.Event()
        self.ordered_first = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.armed and "klines" in request.url.path and request.url.params["symbol"] == "BTCUSDT":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ordered.wait(), 1.0)
                self.ordered_first = True
        if request.method == "POST":
            self.ordered.set()
        return await self.inner.handle_async_request(request)


async def eagerly(settings: Settings, minutes: int) -> tuple[bool, list[Document]]:
    """A quiet cycle and, so many minutes later, one in which one symbol is late; whether orders went out before it."""
    waiting: list[Waiting] = []

    def wrap(inner: httpx.AsyncBaseTransport) -> Waiting:
        waiting.append(Waiting(inner))
        return waiting[-1]

    documents: list[Document] = []
    async with open_session(settings, trading=True, wrap=wrap) as session:
        with WorkerPool(1, "never", None) as pool, Journal(settings.data_path / "state.db") as journal:
            assert session.broker is not None
            desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", session.account)
            loop = Loop(Pipeline(session, pool), desk)
            object.__setattr__(settings.trading, "max_positions", 0)
            await loop.finish(await loop.begin(1), None, documents.append)
            object.__setattr__(settings.trading, "max_positions", 50)
            loop.session.clock.advance(START + minutes * MINUTE)  # type: ignore[attr-defined]
            waiting[0].armed = True
            await loop.finish(await loop.begin(2), None, documents.append)
    return waiting[0].ordered_first, documents


MANY = {**EAGER, "sim__symbols": 70, "universe__top": 70, "trading__fraction": "0.005"}


async def test_eager_orders_go_out_before_the_last_symbol_has_come_and_predictions_are_the_same(
    make_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    early, (_, one) = await eagerly(make_settings(**MANY, run__execute="eager"), 5)
    late, (_, two) = await eagerly(make_settings(**MANY, data_dir=str(tmp_path_factory.mktemp("batch"))), 5)
    assert (early, late) == (True, False)
    assert one["predictions"] == two["predictions"]
    assert {order["symbol"] for order in one["orders"]} == {order["symbol"] for order in two["orders"]}
    entered = [order["symbol"] for order in one["orders"] if order["intent"] == "enter"]
    assert len(entered) == len(set(entered)), "nothing twice"
    assert set(one["bar"]["acted"]) == set()


@pytest.mark.parametrize(
    ("change", "minutes"), [({"strategy__name": "momentum"}, 5), ({}, 60)], ids=["compares symbols", "the market moved"]
)
async def test_eager_waits_for_all_symbols_where_they_matter_to_each_other(
    make_settings: MakeSettings, change: dict[str, Any], minutes: int
) -> None:
    early, (_, document) = await eagerly(make_settings(**{**MANY, **change}, run__execute="eager"), minutes)
    assert not early
    assert any(order["intent"] == "enter" for order in document["orders"])


async def test_at_a_close_the_account_is_compared_only_after_the_orders_are_out(make_settings: MakeSettings) -> None:
    asked: list[str] = []
    told: list[list[str]] = []

    def note(request: httpx.Request) -> httpx.Response | None:
        asked.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        return None

    def emit(document: Document) -> None:
        told.append(list(asked))
        asked.clear()

    async with looping(make_settings(**EAGER), note) as loop:
        await loop.run(7, emit)
    assert "GET openOrders" in told[0], "before the first entry"
    assert "GET klines" in told[5], "a bar has closed"
    assert "GET openOrders" not in told[5]
    assert told[6].index("GET openOrders") < told[6].index("GET price"), "before the next cycle"
