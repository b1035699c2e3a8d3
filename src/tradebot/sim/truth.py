"""The simulation's own endpoints: whom they answer, and what was really executed, whatever replies said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from ipaddress import ip_address
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tradebot.sim.refusals import Refused, no_such

Tell: TypeAlias = Callable[[], Any]
Respond: TypeAlias = Callable[[Send, int, Any, Mapping[str, str]], Awaitable[None]]


class Guard:
    """Answers `methods` of an endpoint; HTTP 405 to any other, 403 to `own` ones that do not come from loopback.

    Where the app is called in process, without an address, there is nobody else.
    """

    def __init__(self, app: ASGIApp, respond: Respond, methods: Set[str], own: Set[str]) -> None:
        self._app = app
        self._respond = respond
        self._methods = methods
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        no = None
        if method not in self._methods:
            no = no_such(scope["path"], method, 405)
        elif method in self._own and not _from_here(scope):
            no = Refused(-1002, f"{method} {scope['path']} takes a request from the machine that serves it.", 403)
        if no is None:
            await self._app(scope, receive, send)
        else:
            await self._respond(send, no.status, no.body(), {})


def _from_here(scope: Scope) -> bool:
    """Whether a request comes from loopback; a name in place of an address does not."""
    if scope.get("client") is None:
        return True
    try:
        address = ip_address(scope["client"][0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Truth:
    """Everything that was executed for an account, as `told` tells it; `?key=` names one of the `others`."""

    def __init__(self, told: Tell, others: Mapping[str, Tell], respond: Respond) -> None:
        self._told = told
        self._others = others
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = self._others.get(Request(scope, receive).query_params.get("key", ""), self._told)
        await self._respond(send, 200, told(), {})
