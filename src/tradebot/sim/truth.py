"""What was really executed, whatever replies said of it: an endpoint of the simulation's own, for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tradebot.sim import replies
from tradebot.sim.engine import Exchange

Respond: TypeAlias = Callable[[Send, int, Any, Mapping[str, str]], Awaitable[None]]


class Truth:
    """GET `/sim/log`: everything that happened to the orders of an account, oldest first; `?key=` names another one."""

    def __init__(self, exchange: Exchange, accounts: Mapping[str, Exchange], respond: Respond) -> None:
        self._exchange = exchange
        self._accounts = accounts
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._accounts.get(Request(scope, receive).query_params.get("key", ""), self._exchange)
        await self._respond(send, 200, [replies.happened(*each) for each in exchange.executed()], {})
