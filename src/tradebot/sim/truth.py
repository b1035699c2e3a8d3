"""The simulation's own endpoints: whom they answer, and what was really executed, whatever replies said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tradebot.sim import replies
from tradebot.sim.engine import Exchange
from tradebot.sim.refusals import Refused, no_such

Respond: TypeAlias = Callable[[Send, int, Any, Mapping[str, str]], Awaitable[None]]


class Guard:
    """Answers `methods` of an endpoint; HTTP 405 to any other, 403 to those that are `closed`."""

    def __init__(self, app: ASGIApp, respond: Respond, methods: Set[str], closed: Set[str] = frozenset()) -> None:
        self._app = app
        self._respond = respond
        self._methods = methods
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        if method in self._methods - self._closed:
            await self._app(scope, receive, send)
            return
        no = no_such(scope["path"], method, 405)
        if method in self._closed:
            no = Refused(-1002, "You are not authorized to execute this request; it takes loopback.", 403)
        await self._respond(send, no.status, no.body(), {})


class Truth:
    """GET `/sim/log`: everything that happened to the orders of an account, oldest first; `?key=` names another one."""

    def __init__(self, exchange: Exchange, accounts: Mapping[str, Exchange], respond: Respond) -> None:
        self._exchange = exchange
        self._accounts = accounts
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._accounts.get(Request(scope, receive).query_params.get("key", ""), self._exchange)
        await self._respond(send, 200, [replies.happened(*each) for each in exchange.executed()], {})
