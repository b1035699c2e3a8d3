"""The simulation's own endpoints about faults and the truth; they belong to no venue's protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tradebot.errors import ConfigError
from tradebot.sim.fault_plan import Plan, parse_plan
from tradebot.sim.refusals import Refused

Reply: TypeAlias = Callable[[Send, int, Any, Mapping[str, str]], Awaitable[None]]


class FaultControl:
    """GET tells the plan, its counts and its hits; POST puts another plan in its place."""

    def __init__(self, plan: Plan, reply: Reply) -> None:
        self._plan = plan
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        status: int
        content: dict[str, Any]
        try:
            if request.method == "POST":
                self._replace(await request.body())
            status, content = 200, self._plan.document()
        except Refused as no:
            status, content = no.status, {"code": no.code, "msg": no.text}
        await self._reply(send, status, content, {})

    def _replace(self, body: bytes) -> None:
        try:
            tree = orjson.loads(body)
            if not isinstance(tree, dict):
                raise ConfigError('write it as {"seed": 1, "fault": [{"kind": "latency", "ms": 20}]}')
            faults, seed = parse_plan(tree, "plan")
        except (orjson.JSONDecodeError, ConfigError) as error:
            raise Refused(-1100, str(error)) from None
        self._plan.replace(faults, seed=seed)
