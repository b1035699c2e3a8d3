"""What carries requests beside the network, and the places that they take."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import httpx
import pytest

from tradebot.market.request import Adapter, Answer, Gate, Place, Request, as_it_is

TIMES = {"connect": 1.0, "pool": 1.0, "read": 1.0, "write": 1.0}


class Echo(httpx.AsyncBaseTransport):
    """Answers as it is told and keeps what it was asked."""

    def __init__(self, response: httpx.Response | None = None) -> None:
        self.response = response
        self.asked: list[httpx.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.response is None:
            await asyncio.sleep(60)
            raise AssertionError
        return self.response

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (302, False), (404, False), (199, False)])
def test_only_a_success_is_good(status: int, good: bool) -> None:
    assert Answer(status, {}, b"", 0.0).good == good


async def test_a_transport_of_httpx_gets_the_request_as_it_is() -> None:
    echo, over = Echo(httpx.Response(200, content=b"{}")), list[str]()
    adapter = Adapter(echo, "http://venue.test:81/behind")
    request = Request("POST", "/order?a=%2C&b=1", TIMES, (("X-MBX-APIKEY", "k"),), b"[]")
    assert (await adapter.send(request, lambda: over.append("over"))).body == b"{}"
    (asked,) = echo.asked
    assert (asked.method, str(asked.url)) == ("POST", "http://venue.test:81/behind/order?a=%2C&b=1")
    assert (asked.headers["x-mbx-apikey"], asked.content, asked.extensions["timeout"]) == ("k", b"[]", TIMES)
    assert over == ["over"]
    await adapter.aclose()
    assert echo.closed


async def test_its_answer_is_unpacked_and_its_headers_go_by_small_letters() -> None:
    headers = {"Content-Encoding": "gzip", "Retry-After": "5"}
    echo = Echo(httpx.Response(429, content=gzip.compress(b"[1]"), headers=headers))
    over = list[str]()
    answer = await Adapter(echo, "http://venue.test").send(Request("GET", "/", TIMES), lambda: over.append("over"))
    assert not over, "a refusal is read before anything else goes out"
    assert (answer.status, answer.headers.get("retry-after"), answer.body) == (429, "5", b"[1]")


async def test_one_that_never_answers_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        await Adapter(Echo(), "http://venue.test").send(Request("GET", "/", TIMES | {"read": 0.02}), lambda: None)


async def test_a_place_that_is_left_early_is_left_once() -> None:
    gate = Gate(1)
    with await gate.taken(as_it_is) as place:
        assert gate.full
        place.leave()
        assert not gate.full
        with await gate.taken(as_it_is):
            place.leave()
            assert gate.full
    assert not gate.full
    gate.now()
    assert gate.full, "one place has not become two"


async def test_a_place_is_left_when_what_took_it_fails() -> None:
    gate = Gate(1)
    with pytest.raises(ValueError, match="x"), await gate.taken(as_it_is):
        raise ValueError("x")
    assert not gate.full


async def test_who_begins_with_an_error_has_it_and_nobody_else() -> None:
    def broken(place: Place) -> Place:
        raise ValueError("x")

    gate = Gate(1)
    with pytest.raises(ValueError, match="x"):
        await gate.taken(broken)
    first = await gate.taken(as_it_is)
    waiting = [asyncio.create_task(gate.taken(begin)) for begin in (broken, as_it_is)]
    await asyncio.sleep(0)
    first.leave()
    with pytest.raises(ValueError, match="x"):
        await waiting[0]
    (await waiting[1]).leave()
    assert not gate.full


def test_a_request_shows_neither_key_nor_signature() -> None:
    request = Request("POST", "/order?signature=abc", TIMES, (("X-MBX-APIKEY", "secret"),), b"body")
    assert repr(request) == "<POST /order>"


async def test_who_waits_begins_in_the_moment_in_which_another_one_leaves() -> None:
    gate, begun = Gate(1), list[int]()

    def begin(number: int) -> Callable[[Place], Place]:
        def noted(place: Place) -> Place:
            begun.append(number)
            return place

        return noted

    first = await gate.taken(begin(1))
    waiting = [asyncio.create_task(gate.taken(begin(number))) for number in (2, 3)]
    await asyncio.sleep(0)
    assert begun == [1]
    first.leave()
    assert begun == [1, 2]
    (await waiting[0]).leave()
    assert begun == [1, 2, 3]
    (await waiting[1]).leave()
    assert not gate.full


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "in the moment of its turn"])
async def test_who_is_cancelled_holds_no_place(late: bool) -> None:
    gate = Gate(1)
    first = await gate.taken(as_it_is)
    waiting = [asyncio.create_task(gate.taken(as_it_is)) for _ in range(2)]
    await asyncio.sleep(0)
    if late:
        first.leave()
    waiting[0].cancel()
    if not late:
        await asyncio.sleep(0)
        first.leave()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    (await asyncio.wait_for(waiting[1], 1)).leave()
    assert not gate.full
