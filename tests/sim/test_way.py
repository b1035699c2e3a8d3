"""When replies leave, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message

from tradebot.clock import monotonic_ms
from tradebot.sim.way import Way

HEAD: Message = {"type": "http.response.start", "status": 200, "headers": []}
LONG_AGO = 3_600_000.0  # ms


def body(name: str) -> Message:
    return {"type": "http.response.body", "body": name.encode()}


class Wire:
    """A connection on which replies leave outside of their tasks; one that is `paused` takes only messages."""

    def __init__(self, paused: bool = False) -> None:
        self.paused = paused
        self.left: list[bytes] = []
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def whole(self, head: Message, body: Message) -> Callable[[], bool]:
        return lambda: self._leave(body["body"])

    def _leave(self, reply: bytes) -> bool:
        if not self.paused and reply not in self.left:
            self.left.append(reply)
        return not self.paused


async def test_a_reply_is_never_early() -> None:
    way = Way(3.4)

    async def took() -> float:
        came = monotonic_ms()
        await way.back(came, Wire(), HEAD, body("a"))
        return monotonic_ms() - came

    for _ in range(10):
        assert min(await asyncio.gather(*(took() for _ in range(3)))) >= 3.4


async def test_replies_leave_in_the_order_of_their_requests_whichever_was_made_first() -> None:
    way, wire, now = Way(5), Wire(), monotonic_ms()
    await asyncio.gather(*(way.back(now + ms, wire, HEAD, body(f"{ms}")) for ms in (2, 0, 3, 1)))
    assert wire.left == [b"0", b"1", b"2", b"3"]


async def test_all_that_are_due_leave_before_a_task_goes_on() -> None:
    way, wire, seen = Way(1), Wire(), list[int]()

    async def reply(name: str) -> None:
        await way.back(monotonic_ms() - LONG_AGO, wire, HEAD, body(name))
        seen.append(len(wire.left))

    await asyncio.gather(*(reply(name) for name in "abc"))
    assert seen == [3, 3, 3]


async def test_what_was_made_too_late_leaves_at_once() -> None:
    way, wire = Way(LONG_AGO / 2), Wire()
    waiting = asyncio.create_task(way.back(monotonic_ms(), wire, HEAD, body("not due")))
    await asyncio.sleep(0)
    await asyncio.wait_for(way.back(monotonic_ms() - LONG_AGO, wire, HEAD, body("late")), 5)
    assert wire.left == [b"late"]
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_what_cannot_leave_now_is_left_to_its_task() -> None:
    wire = Wire(paused=True)
    await Way(1).back(monotonic_ms(), wire, HEAD, body("a"))
    assert (wire.left, wire.messages) == ([], [HEAD, body("a")])


async def test_connections_of_other_servers_get_messages_when_the_time_has_come() -> None:
    messages, came = list[Message](), monotonic_ms()

    async def send(message: Message) -> None:
        assert monotonic_ms() >= came + 2
        messages.append(message)

    await Way(2).back(came, send, HEAD, body("a"))
    assert messages == [HEAD, body("a")]


async def test_a_reply_that_nobody_waits_for_any_more_does_not_leave() -> None:
    way, wire, came = Way(2), Wire(), monotonic_ms()
    dropped = asyncio.create_task(way.back(came, wire, HEAD, body("dropped")))
    await asyncio.sleep(0)
    dropped.cancel()
    await way.back(came + 1, wire, HEAD, body("wanted"))
    assert wire.left == [b"wanted"]


def test_another_event_loop_begins_anew() -> None:
    way, ends = Way(30), list[float]()

    async def left_behind() -> None:
        asyncio.get_running_loop().call_soon(asyncio.create_task, way.over(monotonic_ms() + LONG_AGO))
        await way.left()

    async def asking() -> None:
        begun = await way.left()
        await asyncio.wait_for(way.over(begun), 5)
        ends.append(monotonic_ms() - begun)

    for work in (left_behind, asking, left_behind, asking):
        asyncio.run(work())
    assert len(ends) == 2
    assert min(ends) >= 30


async def test_a_reply_that_fails_to_leave_fails_alone_and_in_its_task() -> None:
    way, wire, came, told = Way(2), Wire(), monotonic_ms(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    problem = RuntimeError("closed")

    class Broken(Wire):
        def _leave(self, reply: bytes) -> bool:
            raise problem

    replies = [way.back(came, each, HEAD, body("a")) for each in (Broken(), wire)]
    assert await asyncio.gather(*replies, return_exceptions=True) == [problem, None]
    assert (told, wire.left) == ([problem], [b"a"])
