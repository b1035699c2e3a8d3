"""The exchange as an ASGI app: the venue's API, and beside it what belongs to the simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tradebot.clock import SteppedClock
from tradebot.sim import replies, weights
from tradebot.sim.crowd import Crowd
from tradebot.sim.deals import Deals
from tradebot.sim.engine import Exchange
from tradebot.sim.gate import Gate, Path, clock_mode
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET
from tradebot.sim.later import Later
from tradebot.sim.params import LAST_MOMENT
from tradebot.sim.public import Public
from tradebot.sim.refusals import Refused
from tradebot.sim.routes import account_calls, market_calls
from tradebot.sim.signed import Signed
from tradebot.sim.truth import Guard, Truth
from tradebot.sim.way import Way

if TYPE_CHECKING:
    from tradebot.sim.futures.engine import Futures

__all__ = ["PAPER_KEY", "PAPER_SECRET", "create_app"]


class ClockControl:
    """The exchange's own control endpoint: GET tells the clock, POST moves one that is stepped."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if request.method == "POST":
                self._move(await request.body())
            clock = self.gate.clock
            speed = 0.0 if isinstance(clock, SteppedClock) else getattr(clock, "speed", 1.0)
            status, content = 200, {"mode": clock_mode(clock), "now": clock.now(), "speed": speed}
        except Refused as no:
            status, content = no.status, {"code": no.code, "msg": no.text}
        await self.gate.send(send, status, content, {})

    def _move(self, body: bytes) -> None:
        clock = self.gate.clock
        if not isinstance(clock, SteppedClock):
            raise Refused(-1020, "Only a stepped clock can be moved; serve it with --clock stepped.", 409)
        try:
            ((name, value),) = orjson.loads(body).items()
        except (ValueError, AttributeError):
            name, value = "", None
        if name not in {"now", "advance"} or type(value) is not int:
            raise Refused(-1100, 'Send {"now": ms} or {"advance": ms}.')
        moment = value if name == "now" else clock.now() + value
        if moment > LAST_MOMENT:
            raise Refused(-1130, "That is after the end of the calendar.")
        if moment < clock.now():
            raise Refused(-1130, "The clock never goes back.")
        clock.advance(moment)


class App(Starlette):
    """Looks paths up; only those with a pattern go through Starlette's router. `nowhere` answers all others."""

    def __init__(self, routes: Sequence[Route], nowhere: ASGIApp) -> None:
        super().__init__(routes=list(routes))
        self.router.redirect_slashes, self.router.default = False, nowhere
        self._exact = {route.path: route.app for route in routes if "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self._exact.get(scope["path"]) if scope["type"] == "http" else None
        await (super().__call__ if found is None else found)(scope, receive, send)


def _happened(exchange: Exchange) -> list[dict[str, Any]]:
    return [replies.happened(*each) for each in exchange.executed()]


def create_app(
    exchange: Exchange, *, latency_ms: float = 0.0, credentials: Mapping[str, str] | None = None,
    weight_limit: int = weights.LIMIT, accounts: Mapping[str, Exchange] | None = None,
    futures: Futures | None = None,
) -> Starlette:  # fmt: skip
    """The app. `credentials` are HMAC secrets or Ed25519 public keys (PEM) by API key (default: the paper pair).

    `latency_ms` delays every reply. `accounts` gives some of the keys an exchange, and so an account, of
    their own, at the same prices and clock. `futures` are the exchange's contracts (default: made when asked for).

    At `FaultyPrices` their plan holds for the exchange's clock too, and can be seen and replaced at
    `/sim/faults`. Only loopback may replace it, move the clock (`/sim/clock`) and read the truth (`/sim/log`).
    What happens to requests is for `fault_transport` or `sockets` to enact.
    """
    secrets = {PAPER_KEY: PAPER_SECRET} if credentials is None else credentials
    crowd, way = Crowd(), Way(latency_ms) if latency_ms else None
    gate = Gate(exchange, secrets, weights.Weights(weight_limit), crowd, way)
    paths = market_calls(Public(exchange, weight_limit), Deals(exchange)) | account_calls(Signed(exchange, accounts))
    nowhere = Path(gate, {})
    routes: list[Route] = [Route(path, Path(gate, calls)) for path, calls in paths.items()]

    def contract_api() -> ASGIApp:  # which most sessions never ask for
        from tradebot.sim.futures.engine import Futures
        from tradebot.sim.futures.routes import futures_api

        def counted(limit: int) -> Gate:
            return Gate(exchange, secrets, weights.Weights(limit), crowd, way)

        return futures_api(futures or Futures(exchange), accounts or {}, counted, nowhere)

    contracts = Later(contract_api)
    routes += [Route(path, contracts) for path in ("/fapi/{rest:path}", "/sim/log/usdm")]
    if (plan := exchange.prices.plan) is not None:
        # What is said about faults takes 50 ms to import, which honest exchanges need not wait for.
        from tradebot.sim.control import FaultControl

        faults = FaultControl(plan, gate.send)
        routes.append(Route("/sim/faults", Guard(faults, gate.send, {"GET", "POST"}, own={"POST"})))
    told = {key: partial(_happened, each) for key, each in (accounts or {}).items()}
    log, clock = Truth(partial(_happened, exchange), told, gate.send), ClockControl(gate)
    routes.append(Route("/sim/log", Guard(log, gate.send, {"GET"}, own={"GET"})))
    routes.append(Route("/sim/clock", Guard(clock, gate.send, {"GET", "POST"}, own={"POST"})))
    return App(routes, nowhere)
