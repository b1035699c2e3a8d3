"""Every fault, seen by a plain client in process and over a real socket: both must meet the same."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from faulty import Venue, in_process, listening, on_socket

from tradebot.clock import MINUTE
from tradebot.sim.fault_plan import FAULTS, parse_spec

DOCS = Path(__file__).parent.parent.parent / "docs" / "faults.md"
COMMON = {"since", "until", "symbol", "path", "method", "nth", "times", "rate"}
Ask = Callable[[Venue, str], Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """A fault, what is asked, what the client then meets, and whether an order was really executed."""

    spec: str
    meets: type[Exception] | tuple[int, int | None] | Callable[[Any], bool]
    executed: bool = True
    ask: Ask = lambda venue, name: venue.buy(name)


async def order_status(venue: Venue, name: str) -> Any:
    return (await venue.buy(name, quoteOrderQty="", quantity="0.01")).json()


async def info(venue: Venue, _: str) -> Any:
    reply = await venue.get("exchangeInfo", symbol="ETHUSDT")
    return reply.json() if reply.status_code != 200 else reply.json()["symbols"][0]


async def minutes(venue: Venue, _: str) -> Any:
    return await venue.klines("ETHUSDT", "1m", limit=11)


async def trades(venue: Venue, name: str) -> Any:
    await venue.buy(name)
    return (await venue.signed("GET", "myTrades", symbol="ETHUSDT")).json()


async def slowly(venue: Venue, name: str) -> float:
    begin = time.perf_counter()
    assert (await venue.buy(name)).status_code == 200
    return time.perf_counter() - begin


def short_of(order: Any) -> float:
    return round(float(order["executedQty"]) / float(order["origQty"]), 2)


def says(text: str) -> Callable[[Any], bool]:
    return lambda reply: text in reply.text


def not_json(reply: httpx.Response) -> bool:
    try:
        reply.json()
    except ValueError:
        return reply.status_code == 200
    return False


def holes(rows: Any) -> bool:
    return len({b[0] - a[0] for a, b in pairwise(rows)}) > 1


def banned_by_text(reply: httpx.Response) -> bool:
    return "IP banned until 1700000243456" in reply.text and "Retry-After" not in reply.headers


def told_twice(rows: Any) -> bool:
    return len(rows) == 2 * len({row["id"] for row in rows})


CASES: dict[str, list[Case]] = {
    "latency": [
        Case("latency ms=40 jitter_ms=10", lambda seconds: 0.04 <= seconds < 0.4, ask=slowly),
        Case("latency ms=400", httpx.ReadTimeout),
    ],
    "refused": [Case("refused ms=80", httpx.ConnectError, False)],
    "dropped": [
        Case("dropped path=order", httpx.RemoteProtocolError, False),
        Case("dropped how=reset", httpx.ReadError, False),
    ],
    "executed-dropped": [
        Case("executed-dropped method=POST", httpx.RemoteProtocolError),
        Case("executed-dropped how=reset", httpx.ReadError),
        Case("executed-dropped later_ms=30", httpx.RemoteProtocolError),
    ],
    "limited": [
        Case("limited seconds=7", lambda reply: reply.headers["Retry-After"] == "7", False),
        Case("limited", (429, -1003), False),
        Case("limited what=orders", (429, -1015), False),
    ],
    "banned": [
        Case("banned seconds=60", (418, -1003), False),
        Case("banned seconds=60", lambda reply: reply.headers["Retry-After"] == "60", False),
        Case("banned header=false", banned_by_text, False),
    ],
    "backend-timeout": [
        Case("backend-timeout", (503, -1007), False),
        Case("backend-timeout executed=true", (503, -1007)),
    ],
    "server-error": [
        Case("server-error", (500, -1000), False),
        Case("server-error status=502 code=0", (502, None), False),
        Case("server-error status=504 code=-1006 executed=true", (504, -1006)),
    ],
    "unavailable": [
        Case("unavailable says=unknown executed=true", says("Unknown error, please check your request")),
        Case("unavailable", says("Service Unavailable."), False),
        Case("unavailable says=internal", (503, -1001), False),
        Case("unavailable says=throttled", (503, -1008), False),
    ],
    "forbidden": [Case("forbidden", (403, None), False)],
    "restricted": [Case("restricted", (451, 0), False)],
    "html": [Case("html", not_json, False), Case("html executed=true", not_json)],
    "truncated": [Case("truncated share=0.9", httpx.RemoteProtocolError), Case("truncated clean=true", not_json)],
    "slow-body": [
        Case("slow-body pieces=4 pause_ms=10", lambda seconds: 0.04 <= seconds < 0.4, ask=slowly),
        Case("slow-body pieces=2 pause_ms=400", httpx.ReadTimeout),
    ],
    "unknown-status": [
        Case("unknown-status status=ODD", lambda order: order["status"] == "ODD", ask=order_status),
        Case("unknown-status symbol=ETHUSDT", lambda symbol: symbol["status"] == "UNDER_REVIEW", False, info),
    ],
    "unknown-fields": [
        Case("unknown-fields name=new", lambda order: order["new"]["of"][0] == "any", ask=order_status),
        Case("unknown-fields", lambda symbol: symbol["filters"][-1]["filterType"] == "UNHEARD_OF", False, info),
    ],
    "duplicated-trades": [Case("duplicated-trades", told_twice, ask=trades)],
    "holes": [
        Case("holes interval=1m since=1700000000000 until=1700000060000", holes, False, minutes),
        Case("holes interval=1m rate=0.5", holes, False, minutes),
    ],
    "stalled": [Case("stalled since=1700000000000", lambda rows: rows[-1][0] < 1_700_000_000_000, False, minutes)],
    "off-grid": [Case("off-grid offset_s=15", lambda rows: {r[0] % MINUTE for r in rows} == {15_000}, False, minutes)],
    "late-klines": [Case("late-klines seconds=30", lambda rows: rows[-1][0] == 1_699_999_980_000, False, minutes)],
    "revised-kline": [Case("revised-kline seconds=30", lambda rows: float(rows[-2][5]) > 0, False, minutes)],
    "filters": [Case("filters tick=0.5", lambda row: row["filters"][0]["tickSize"] == "0.50000000", False, info)],
    "halted": [
        Case("halted", lambda row: row["status"] == "HALT", False, info),
        Case("halted symbol=ETHUSDT", (400, -2010), False),
    ],
    "delisted": [
        Case("delisted", lambda row: row["code"] == -1121, False, info),
        Case("delisted symbol=ETHUSDT", (400, -1121), False),
    ],
    "partial-fill": [
        Case("partial-fill share=0.4", lambda o: (o["status"], short_of(o)) == ("EXPIRED", 0.4), ask=order_status),
        Case("partial-fill symbol=BTCUSDT", lambda o: (o["status"], short_of(o)) == ("FILLED", 1), ask=order_status),
    ],
    "skew": [Case("skew ms=6000", (400, -1021), False), Case("skew ms=-1500", (400, -1021), False)],
}  # fmt: skip


def test_every_fault_has_its_case() -> None:
    assert CASES.keys() == FAULTS.keys()


@pytest.fixture(scope="module")
def url_of() -> Iterator[tuple[Venue, str]]:
    venue = Venue()
    with listening(venue) as url:
        yield venue, url


@pytest.fixture(params=["in process", "socket"])
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[Venue]:
    """The venue by way of either enactor; one server serves all tests."""
    if request.param == "in process":
        venue = Venue()
        venue.http = in_process(venue)
    else:
        venue, url = request.getfixturevalue("url_of")
        venue.http = on_socket(url)
    async with venue.http:
        yield venue


@pytest.mark.parametrize(
    ("kind", "case"), [pytest.param(kind, case, id=case.spec) for kind, cases in CASES.items() for case in cases]
)
async def test_a_client_meets_the_fault_and_the_books_hold_the_truth(venue: Venue, kind: str, case: Case) -> None:
    fault = parse_spec(case.spec)
    assert fault.kind == kind
    await venue.under(fault)
    name = f"{time.perf_counter_ns()}"
    if isinstance(case.meets, type):
        with pytest.raises(case.meets):
            await case.ask(venue, name)
    elif isinstance(case.meets, tuple):
        reply = await case.ask(venue, name)
        assert reply.status_code == case.meets[0]
        if case.meets[1] is None:
            assert reply.text.startswith("<html>")
        else:
            assert reply.json()["code"] == case.meets[1]
    else:
        assert case.meets(await case.ask(venue, name))
    venue.plan.replace(())
    assert await venue.comes_to(name, case.executed)
    await venue.reached()


RANDOM = (
    "latency jitter_ms=3 rate=0.3",
    "dropped rate=0.1",
    "dropped how=reset rate=0.1 path=klines",
    "html rate=0.2",
    "executed-dropped rate=0.3 method=POST",
    "limited rate=0.1",
    "truncated rate=0.2",
    "banned seconds=1 nth=25",
)


async def test_both_enactors_do_the_same_to_the_same_requests(url_of: tuple[Venue, str]) -> None:
    met: list[Any] = []
    for venue, client in ((local := Venue(), in_process(local)), (url_of[0], on_socket(url_of[1]))):
        venue.http = client
        async with client:
            await venue.under(*map(parse_spec, RANDOM), seed=11)
            replies = [await reply_to(venue, number) for number in range(30)]
            met.append((replies, list(venue.plan.hits)))
            venue.plan.replace(())
    assert met[0] == met[1]
    assert len({hit.kind for hit in met[0][1]}) >= 6


async def reply_to(venue: Venue, number: int) -> str:
    try:
        reply = await (venue.buy() if number % 3 else venue.get("klines", symbol="ETHUSDT", interval="1m"))
    except httpx.TransportError as error:
        return type(error).__name__
    return f"{reply.status_code} {reply.content[:1]!r}"


def test_the_page_about_faults_lists_each_with_its_text_keys_and_an_example() -> None:
    table = DOCS.read_text().partition("## The faults")[2]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", table, re.MULTILINE))
    assert rows.keys() == FAULTS.keys()
    for kind, fault in FAULTS.items():
        text, keys, example = rows[kind].split(" | ")
        assert text == fault.text
        assert re.findall(r"`([a-z_]+)` =", keys) == [name for name in fault.model_fields if name not in COMMON]
        assert parse_spec(example.strip("`")).kind == kind
