"""A row for each way in which a venue answers an order: at the real simulated exchange, through the real client.

Whatever it was, the exchange has at most one executed order for each intent, exactly one if it took it,
the journal agrees with it, and what is held is protected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import orjson
import pytest
from floor import Floor

from tradebot.market import failures
from tradebot.trading.orders import Duty

D = Decimal
MakeFloor = Callable[..., Floor]


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[MakeFloor]:
    made: list[Floor] = []

    def make(*symbols: str, **options: object) -> Floor:
        made.append(Floor(tmp_path, *symbols, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.journal.close()


class Saying(httpx.AsyncBaseTransport):
    """Answers the next request of a kind itself; the exchange may hear of it all the same."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.answers: list[tuple[str, str, httpx.Response, bool]] = []

    def say(self, method: str, path: str, status: int, code: int, text: str, *, executed: bool = False) -> None:
        body = orjson.dumps({"code": code, "msg": text})
        self.answers.append((method, path, httpx.Response(status, content=body), executed))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for place, (method, path, response, executed) in enumerate(self.answers):
            if (request.method, request.url.path) == (method, "/api/v3/" + path):
                del self.answers[place]
                if executed:
                    await self.inner.handle_async_request(request)
                return response
        return await self.inner.handle_async_request(request)


def saying(desk: Floor) -> Saying:
    desk.wire.inner = Saying(desk.wire.inner)
    return desk.wire.inner


async def settled(desk: Floor, cycles: int = 4) -> None:
    """The venue answers again; then nothing is left open but what protects."""
    desk.fault()
    for _ in range(cycles):
        await desk.cycle()
    assert all(order.settled or order.resting for order in desk.orders())
    names = [entry.client_id for entry in desk.exchange_orders()]
    assert len(names) == len(set(names))
    for position in desk.desk.positions():
        if position.state == "open":
            assert sum(left for kind, left, _ in desk.guards() if kind == "STOP_LOSS") == position.quantity.normalize()
    desk.agrees()


def bought(desk: Floor) -> int:
    return sum(entry.side == "BUY" and entry.executed > 0 for entry in desk.exchange_orders())


class TestEntries:
    @pytest.mark.parametrize(
        ("fault", "executed"),
        [
            ("executed-dropped path=order method=POST times=1", 1),
            ("executed-dropped path=order method=POST how=reset times=1", 1),
            ("backend-timeout path=order method=POST executed=true times=1", 1),
            ("backend-timeout path=order method=POST times=1", 0),
            ("server-error path=order method=POST code=-1000 executed=true times=1", 1),
            ("server-error path=order method=POST code=-1001 executed=true times=1", 1),
            ("server-error path=order method=POST code=-1006 executed=true times=1", 1),
            ("server-error path=order method=POST status=502 code=0 executed=true times=1", 1),
            ("server-error path=order method=POST status=502 code=0 times=1", 0),
            ("unavailable path=order method=POST says=unknown executed=true times=1", 1),
            ("unavailable path=order method=POST says=unavailable times=1", 0),
            ("html path=order method=POST executed=true times=1", 1),
            ("truncated path=order method=POST times=1", 1),
            ("truncated path=order method=POST clean=true times=1", 1),
            ("dropped path=order method=POST times=1", 0),
            ("refused path=order method=POST times=1", 0),
            ("limited path=order method=POST times=1", 0),
            ("limited path=order method=POST what=orders times=1", 0),
            ("banned path=order method=POST seconds=30 times=1", 0),
            ("forbidden path=order method=POST times=1", 0),
            ("unknown-status path=order method=POST times=1", 1),
            ("unknown-fields", 1),
            ("duplicated-trades", 1),
        ],
    )
    async def test_that_meet_a_fault(self, floor, fault, executed):
        desk = floor()
        desk.fault(fault)
        await desk.buy()
        await settled(desk, 8)
        assert bought(desk) == executed
        assert len([p for p in desk.desk.positions() if p.state == "open"]) == executed

    @pytest.mark.parametrize("code", sorted(failures.DEFINITE - failures.CLOCK_CODES))
    async def test_of_which_the_venue_says_no(self, floor, code):
        desk = floor()
        saying(desk).say("POST", "order", 400, code, "No.")
        skipped = await desk.buy()
        assert desk.told() == [("enter", "REJECTED")]
        assert desk.orders()[0].code == code
        assert f"code {code}" in skipped["AUSDT"]
        await settled(desk)

    @pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -1008, -2026, -4116, -9999])
    @pytest.mark.parametrize("executed", [True, False])
    async def test_of_which_the_venue_does_not_know(self, floor, code, executed):
        desk = floor()
        saying(desk).say("POST", "order", 400, code, "Hm.", executed=executed)
        await desk.buy()
        assert desk.orders()[0].state == ("FILLED" if executed else "UNKNOWN")
        await settled(desk)
        assert bought(desk) == executed

    @pytest.mark.parametrize("executed", [True, False])
    async def test_that_are_called_duplicates_are_looked_up(self, floor, executed):
        desk = floor()
        saying(desk).say("POST", "order", 400, -2010, "Duplicate order sent.", executed=executed)
        await desk.buy()
        await settled(desk)
        assert bought(desk) == executed

    @pytest.mark.parametrize(
        "text",
        [
            "Account has insufficient balance for requested action.",
            "Market is closed.",
            "This symbol is not permitted for this account.",
            "This action is disabled on this account.",
            "Rest API trading is not enabled.",
        ],
    )
    async def test_that_the_engine_refuses_are_not_tried_again(self, floor, text):
        desk = floor()
        saying(desk).say("POST", "order", 400, -2010, text)
        await desk.buy()
        assert (bought(desk), desk.told()) == (0, [("enter", "REJECTED")])
        await settled(desk)

    @pytest.mark.parametrize("code", sorted(failures.CLOCK_CODES))
    async def test_that_came_too_late_are_signed_again_once(self, floor, code):
        desk = floor()
        saying(desk).say("POST", "order", 400, code, "Timestamp for this request is outside of the recvWindow.")
        await desk.buy()
        assert [name for method, name in desk.wire.sent if name in {"order", "time"}][:3] == ["order", "time", "order"]
        assert bought(desk) == 1
        await settled(desk)

    async def test_that_come_too_late_twice_are_refused(self, floor):
        desk = floor()
        venue = saying(desk)
        for _ in range(2):
            venue.say("POST", "order", 400, -1021, "Timestamp for this request is outside of the recvWindow.")
        await desk.buy()
        assert (bought(desk), desk.told()) == (0, [("enter", "REJECTED")])

    async def test_that_are_not_found_right_after_they_were_placed_are_not_sent_again(self, floor):
        desk = floor()
        venue = saying(desk)
        venue.say("POST", "order", 504, -1007, "Timeout waiting for response from backend server.", executed=True)
        for _ in range(2):
            venue.say("GET", "order", 400, -2013, "Order does not exist.")
        await desk.buy()
        await desk.cycle()
        assert desk.orders()[0].state == "UNKNOWN"
        await settled(desk)
        assert bought(desk) == 1


class TestExits:
    @pytest.mark.parametrize("protect", ["venue", "monitor"])
    @pytest.mark.parametrize(
        "fault",
        [
            "executed-dropped path=order times=2",
            "backend-timeout path=order executed=true times=2",
            "backend-timeout path=order times=2",
            "unavailable path=order says=unknown executed=true times=2",
            "html path=order executed=true times=2",
            "truncated path=order times=2",
            "dropped path=order times=2",
            "refused path=order times=2",
            "limited path=order seconds=5 times=1",
            "banned path=order seconds=30 times=1",
            "unknown-status path=order times=2",
            "duplicated-trades",
        ],
    )
    async def test_that_meet_a_fault_sell_all_of_it_once(self, floor, fault, protect):
        desk = floor(max_hold_s=120, protect=protect)
        await desk.buy()
        await desk.cycle()
        desk.fault(fault)
        await desk.cycle()
        await settled(desk, 6)
        assert desk.desk.positions() == []
        assert desk.sold() == D("9.99")

    async def test_refused_for_a_filter_are_made_by_the_new_rules(self, floor):
        desk = floor(max_hold_s=60, protect="monitor")
        desk.fault("filters symbol=AUSDT step=0.1")
        await desk.cycle()
        desk.fault()
        await desk.buy()
        desk.fault("filters symbol=AUSDT step=0.1")
        await desk.cycle()
        assert [str(o.state) for o in desk.orders(Duty.EXIT)] == ["REJECTED"]
        await desk.renew()
        await desk.cycle()
        assert [(o.quantity, str(o.state)) for o in desk.orders(Duty.EXIT)][1:] == [(D("9.9"), "FILLED")]
        assert desk.position.state == "dust"
        desk.agrees()


class TestCancels:
    async def test_of_what_is_unknown_look_the_order_up(self, floor):
        desk = floor(max_hold_s=60)
        await desk.buy()
        saying(desk).say("DELETE", "order", 400, -2011, "Unknown order sent.", executed=True)
        await desk.cycle()
        await settled(desk)
        assert desk.sold() == D("9.99")

    @pytest.mark.parametrize("code", [-1000, -1006, -1007, -1008, -1015, -1003, -2011, -9999])
    async def test_that_were_not_done_are_tried_again(self, floor, code):
        desk = floor(max_hold_s=60)
        await desk.buy()
        saying(desk).say("DELETE", "order", 429 if code in {-1003, -1015} else 400, code, "Not now.")
        await desk.cycle()
        assert desk.orders(Duty.EXIT) == []
        await settled(desk)
        assert desk.desk.positions() == []
        assert desk.sold() == D("9.99")
