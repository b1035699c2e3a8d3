"""What each fault of requests makes of one, by itself."""

from __future__ import annotations

import orjson
import pytest
from pydantic import ValidationError

from tradebot.errors import ConfigError
from tradebot.sim.fault_kinds import (
    UNAVAILABLE,
    BackendTimeout,
    Banned,
    Dropped,
    ExecutedDropped,
    Forbidden,
    Html,
    Latency,
    Limited,
    Refused,
    Restricted,
    ServerError,
    SlowBody,
    Truncated,
    Unavailable,
)
from tradebot.sim.fault_plan import FAULTS, parse_spec
from tradebot.sim.faults import Call, Outcome, Reply, RequestFault, Strike, Wire

STRIKE = Strike(1_700_000_000_000, 0.0, 0.25)
KINDS = sorted(name for name, kind in FAULTS.items() if issubclass(kind, RequestFault))


def said(fault: RequestFault) -> tuple[int, int, str]:
    reply = fault.outcome(STRIKE).reply
    assert reply is not None
    body = orjson.loads(reply.body)
    return reply.status, body["code"], body["msg"]


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_needs_no_keys_says_what_it_does_and_cannot_be_changed(kind: str) -> None:
    fault = FAULTS[kind]()
    assert fault.kind == kind
    assert fault.text.endswith(".")
    assert all(field.description for field in type(fault).model_fields.values())
    with pytest.raises(ValidationError):
        fault.since = 5


@pytest.mark.parametrize("kind", KINDS)
def test_what_decides_takes_the_reply_away_or_puts_another_in_its_place(kind: str) -> None:
    fault = FAULTS[kind]()
    assert isinstance(fault, RequestFault)
    outcome = fault.outcome(STRIKE)
    alone = outcome.reply is not None or outcome.wire is not Wire.WHOLE or not outcome.executed
    assert alone == fault.decides


@pytest.mark.parametrize(
    ("fault", "wire", "executed"),
    [
        (Refused(), Wire.REFUSED, False),
        (Dropped(), Wire.CLOSED, False),
        (Dropped(how="reset"), Wire.RESET, False),
        (ExecutedDropped(), Wire.CLOSED, True),
        (ExecutedDropped(how="reset"), Wire.RESET, True),
        (Truncated(), Wire.CUT, True),
        (Truncated(clean=True), Wire.WHOLE, True),
    ],
)
def test_connections_are_lost_before_or_after_the_deed(fault: RequestFault, wire: Wire, executed: bool) -> None:
    outcome = fault.outcome(STRIKE)
    assert (outcome.wire, outcome.executed, outcome.reply) == (wire, executed, None)


@pytest.mark.parametrize(
    "fault", [BackendTimeout, ServerError, Html, lambda executed: Unavailable(says="unknown", executed=executed)]
)
@pytest.mark.parametrize("executed", [True, False])
def test_what_is_in_doubt_may_have_been_executed_or_not(fault: type[BackendTimeout], executed: bool) -> None:
    assert fault(executed=executed).outcome(STRIKE).executed is executed


def test_refusals_are_in_the_venues_words() -> None:
    assert said(Limited())[:2] == (429, -1003)
    assert said(Limited(what="orders"))[:2] == (429, -1015)
    assert said(Banned())[:2] == (418, -1003)
    assert said(BackendTimeout())[:2] == (503, -1007)
    assert said(ServerError(status=500, code=-1006))[:2] == (500, -1006)
    assert said(Restricted())[:2] == (451, 0)
    texts = [said(Unavailable.model_validate({"says": name})) for name in UNAVAILABLE]
    assert texts == [(503, *each) for each in UNAVAILABLE.values()]


@pytest.mark.parametrize(
    ("fault", "status"), [(Forbidden(), 403), (Html(), 200), (ServerError(status=502, code=0), 502)]
)
def test_pages_are_html(fault: RequestFault, status: int) -> None:
    reply = fault.outcome(STRIKE).reply
    assert reply is not None
    assert reply.status == status
    assert dict(reply.headers)["content-type"].startswith("text/html")
    assert reply.body.startswith(b"<html>")


def test_luck_makes_the_jitter() -> None:
    assert Latency(ms=10, jitter_ms=8).outcome(STRIKE).delay_ms == 12


def test_only_what_time_tells_can_be_foreseen() -> None:
    assert Refused(since=STRIKE.now, until=STRIKE.now + 1, ms=5).foreseen
    assert not any(
        fault.foreseen for fault in (Refused(path="order"), Refused(rate=0.5), Refused(nth=2), Refused(symbol=("A",)))
    )


def test_a_ban_lasts_in_venue_time_and_a_closed_door_in_real_time() -> None:
    assert (Banned(seconds=3).lasts_ms, Banned(seconds=3).real) == (3000, False)
    assert (Refused(ms=3).lasts_ms, Refused(ms=3).real) == (3, True)
    assert Dropped().lasts_ms == 0


@pytest.mark.parametrize("number", [1, 2, 3, 7, 100])
def test_a_body_comes_in_so_many_pieces_and_whole(number: int) -> None:
    body = bytes(range(50))
    pieces = SlowBody(pieces=max(number, 2)).outcome(STRIKE).sent(body)
    assert b"".join(pieces) == body
    assert len(pieces) <= max(number, 2)
    assert Outcome().sent(b"") == []


@pytest.mark.parametrize(("share", "length"), [(0, 0), (0.5, 5), (0.99, 9)])
def test_a_truncated_body_is_never_whole(share: float, length: int) -> None:
    assert b"".join(Truncated(share=share).outcome(STRIKE).sent(b"0123456789")) == b"0123456789"[:length]


async def test_the_exchange_is_asked_once_or_never() -> None:
    asked = []

    async def execute() -> Reply:
        asked.append(1)
        return Reply(200, (), b"{}")

    call = Call("GET", "/api/v3/ping")
    assert await Outcome().answer(call, execute) == Reply(200, (), b"{}")
    assert await ExecutedDropped().outcome(STRIKE).answer(call, execute) is None
    assert len(asked) == 2
    assert await Dropped().outcome(STRIKE).answer(call, execute) is None
    assert (await Forbidden().outcome(STRIKE).answer(call, execute)) == Forbidden().outcome(STRIKE).reply
    assert len(asked) == 2


@pytest.mark.parametrize(
    "spec",
    ["latency ms=600001", "latency jitter_ms=inf", "latency ms=nan", "refused ms=600001",
     "executed-dropped later_ms=600001", "slow-body pause_ms=600001", "slow-body pieces=1000 pause_ms=601",
     "banned seconds=259201", "limited seconds=259201"],
)  # fmt: skip
def test_nothing_lasts_for_ever(spec: str) -> None:
    with pytest.raises(ConfigError):
        parse_spec(spec)


def test_ten_minutes_are_the_longest() -> None:
    assert Latency(ms=600_000).ms == SlowBody(pieces=1000, pause_ms=600).pause_ms * 1000 == 600_000
