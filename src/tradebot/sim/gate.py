"""What every request of the venue's API passes, and what every reply carries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from tradebot.clock import Clock, SteppedClock, monotonic_ms
from tradebot.errors import TradebotError
from tradebot.sim import units, weights
from tradebot.sim.crowd import Crowd
from tradebot.sim.engine import Exchange
from tradebot.sim.keys import check_signature, check_time, payload
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused, no_such
from tradebot.sim.signed import Answer
from tradebot.sim.slices import InSteps
from tradebot.sim.way import CAME, Way

log = logging.getLogger(__name__)
_WITH_A_BODY = frozenset({"POST", "PUT", "DELETE"})
_LARGEST_BODY = 64 << 10


def clock_mode(clock: Clock) -> str:
    """`stepped`, `scaled` or `real`."""
    if isinstance(clock, SteppedClock):
        return "stepped"
    return "scaled" if getattr(clock, "speed", 1.0) != 1.0 else "real"


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one path. `done` is the weight of a call that succeeded, where it differs."""

    handler: Callable[[Params], Any]
    weight: Callable[[Params], int]
    known: frozenset[str]
    signed: bool = False
    done: int | None = None


class Gate:
    """What every request passes: latency, weight, parameters, signature; and what every reply carries.

    The `crowd` works through answers that take long; without a `way` there is no latency.
    """

    def __init__(
        self, exchange: Exchange, credentials: Mapping[str, str], counted: weights.Weights, crowd: Crowd,
        way: Way | None = None,
    ) -> None:  # fmt: skip
        self.clock = exchange.clock
        self._crowd = crowd
        self._plan = exchange.prices.plan
        self._credentials = dict(credentials)
        self._weights = counted
        self._way = way
        self._mode = clock_mode(exchange.clock).encode()

    async def reply(self, calls: Mapping[str, Call], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a path; `calls` is by method, without any there is no such path."""
        came = scope.get(CAME, monotonic_ms())
        if self._way is not None:
            await self._crowd.turn()
        headers: dict[str, str] = {}
        status, content = await self._answer(calls, scope, receive, headers)
        now = self.clock.now()
        if "X-MBX-USED-WEIGHT-1M" not in headers:
            _tell(headers, self._weights.add(_address(scope), 1, now))  # what could not be read is a request too
        if skew := self._skew(now):
            content = _told_wrong(content, skew)
        if self._way is None:
            await self.send(send, status, content, headers)
        else:
            await self._way.back(came, send, *self._messages(status, content, headers))

    async def _answer(
        self, calls: Mapping[str, Call], scope: Scope, receive: Receive, headers: dict[str, str]
    ) -> tuple[int, Any]:
        """Status and body; headers are added."""
        body = await whole_body(receive) if scope["method"] in _WITH_A_BODY else b""
        try:
            if len(body) > _LARGEST_BODY:
                raise Refused(-1101, "Too many parameters sent for this endpoint.", 413)
            micro = units.asked(scope["headers"])
            content = self._carry_out(calls, scope, body, headers)
            if isinstance(content, InSteps):
                content = await self._crowd.work(content)
            return 200, units.in_microseconds(content) if micro else content
        except Refused as no:
            headers |= no.headers
            return no.status, no.body()
        except TradebotError as error:
            # The books cannot be written or the source fails: as at the venue, what was executed is not known.
            return 500, {"code": -1000, "msg": str(error)}
        except Exception:
            # A bug of ours: told as the venue tells its own, with all of it in the log.
            log.exception("%s %s", scope["method"], scope["path"])
            return 500, {"code": -1000, "msg": "An unknown error occurred while processing the request."}

    def _skew(self, now: int) -> int:
        """By how much the exchange's clock goes wrong, where a plan of faults says so."""
        return 0 if self._plan is None else self._plan.skew(now)

    def _carry_out(self, calls: Mapping[str, Call], scope: Scope, body: bytes, headers: dict[str, str]) -> Any:
        now, client = self.clock.now(), _address(scope)
        call = calls.get(scope["method"])
        if call is None:
            raise no_such(scope["path"], scope["method"], 405 if calls else 404)
        query: bytes = scope["query_string"]
        params = Params(query, body)
        _tell(headers, self._weights.add(client, call.weight(params), now))
        self._weights.check(client, now)
        if call.signed:
            check_signature(self._credentials, _api_key(scope), params, payload(query, body))
            check_time(params, now + self._skew(now))
        params.only(call.known)
        result = call.handler(params)
        if isinstance(result, Answer):
            headers |= result.headers
            result = result.body
        if call.done is not None:
            _tell(headers, self._weights.add(client, call.done - call.weight(params), now))
        return result

    async def send(self, send: Send, status: int, content: Any, headers: Mapping[str, str]) -> None:
        """Send a JSON reply; bytes are taken for JSON already."""
        for message in self._messages(status, content, headers):
            await send(message)

    def _messages(self, status: int, content: Any, headers: Mapping[str, str]) -> tuple[Message, Message]:
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        fixed = [
            (b"content-type", b"application/json;charset=UTF-8"),
            (b"content-length", str(len(body)).encode()),
            (b"x-sim-clock", self._mode),
        ]
        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        return (
            {"type": "http.response.start", "status": status, "headers": fixed + given},
            {"type": "http.response.body", "body": body},
        )


def _address(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""


def _api_key(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-mbx-apikey"), None)


def _tell(headers: dict[str, str], weight: int) -> None:
    headers["X-MBX-USED-WEIGHT-1M"] = headers["X-MBX-USED-WEIGHT"] = str(weight)


def _told_wrong(content: Any, skew: int) -> Any:
    """A body whose `serverTime` is off."""
    if isinstance(content, dict) and "serverTime" in content:
        return content | {"serverTime": content["serverTime"] + skew}
    return content


class Path:
    """One path of the exchange, as an ASGI app; without calls any that it does not have."""

    def __init__(self, gate: Gate, calls: Mapping[str, Call]) -> None:
        self.gate = gate
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.gate.reply(self.calls, scope, receive, send)


async def whole_body(receive: Receive) -> bytes:
    """All that a request brings, or more than is taken; `ClientDisconnect` if the client leaves before its end."""
    parts, length, more = [], 0, True
    while more and length <= _LARGEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)
