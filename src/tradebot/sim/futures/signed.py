"""The signed endpoints of the futures API: parameters in, replies out."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

from tradebot.clock import DAY, SECOND
from tradebot.market.venue import ZERO, Side
from tradebot.sim.futures import counts, replies
from tradebot.sim.futures.algo import Algos
from tradebot.sim.futures.conditional import LIMITS, TRAILING
from tradebot.sim.futures.contracts import CONDITIONAL, REGULAR, TIMES_IN_FORCE
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import ALGOS, ORDERS, Algo, Placed, Range
from tradebot.sim.futures.positions import PositionSide
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused, invalid, missing, unneeded
from tradebot.sim.signed import Answer

CLIENT_ID = r"^[.A-Z\:/a-z0-9_-]{1,36}$"
_NEWEST = 7 * DAY
# What some parameters may say. (Orders of the account never meet each other, so that nothing is prevented.)
_OFFERED = {
    "algoType": {"CONDITIONAL"}, "priceMatch": {"NONE"},
    "selfTradePreventionMode": {"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"},
}  # fmt: skip
_SOONEST, _LATEST = 600 * SECOND, 253_402_300_799_000


class Reply(StrEnum):
    """How much the answer to a new order says."""

    ACK = "ACK"
    RESULT = "RESULT"


class Trading:
    """The handlers of orders and algo orders; each takes the parameters and returns the body."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures
        self.algos = Algos(futures)

    def place(self, params: Params) -> Any:
        """Carry out a new order; conditional ones belong to the algo service."""
        kind = Reply.ACK
        if "newOrderRespType" in params:
            kind = params.one_of("newOrderRespType", Reply, Refused(-1100, "Invalid newOrderRespType."))
        order = _order(params, self.futures.ledger.fresh(ORDERS), self.futures.now)
        return self._counted(replies.placed(self.futures.place(order), kind))

    def _counted(self, body: Any) -> Answer:
        return Answer(body, counts.headers(self.futures.ledger, self.futures.now))

    def order(self, params: Params) -> Any:
        """An order as it is now."""
        return replies.queried(self.futures.order(params.symbol(), *_ids(params)))

    def cancel(self, params: Params) -> Any:
        """Take an order off the market."""
        return replies.order(self.futures.cancel(params.symbol(), *_ids(params)))

    def cancel_all(self, params: Params) -> Any:
        """Take all orders of a contract off the market."""
        self.futures.cancel_all(params.symbol())
        return replies.ALL_CANCELED

    def open_orders(self, params: Params) -> Any:
        """Orders that can still be filled; algo orders are not among them."""
        return [replies.queried(each) for each in self.futures.open_orders(symbol_of(params))]

    def orders(self, params: Params) -> Any:
        """Orders of a contract, whatever became of them."""
        self.futures.contracts.instrument(params.symbol())
        return [replies.queried(each) for each in self.futures.orders(range_of(params, "orderId", 500))]

    def trades(self, params: Params) -> Any:
        """The account's trades of a contract."""
        self.futures.contracts.instrument(params.symbol())
        found = self.futures.trades(range_of(params, "fromId", 500), params.integer("orderId"))
        return [replies.trade(each, self.futures.contracts.coin) for each in found]

    def countdown(self, params: Params) -> Any:
        """Arm or disarm the cancelling of all orders of a contract."""
        params.must("countdownTime")
        wait = params.integer("countdownTime") or 0
        self.futures.countdown(params.symbol(), wait)
        return {"symbol": params.symbol(), "countdownTime": str(wait)}

    def place_algo(self, params: Params) -> Any:
        """Let an order wait for its price."""
        algo = _algo(params, self.futures.ledger.fresh(ALGOS), self.futures.now)
        return self._counted(replies.algo(self.algos.place(algo)))

    def algo(self, params: Params) -> Any:
        """An algo order, whatever became of it."""
        return replies.algo(self.algos.find(symbol_of(params), *_algo_ids(params)))

    def cancel_algo(self, params: Params) -> Any:
        """Stop an algo order from waiting."""
        return replies.algo_canceled(self.algos.cancel(symbol_of(params), *_algo_ids(params)))

    def cancel_algos(self, params: Params) -> Any:
        """Stop all algo orders of a contract."""
        self.algos.cancel_all(params.symbol())
        return replies.ALL_CANCELED

    def open_algos(self, params: Params) -> Any:
        """Algo orders that wait."""
        number = params.integer("algoId")
        found = self.algos.open(symbol_of(params))
        return [replies.algo(each) for each in found if number in {None, each.algo_id}]

    def all_algos(self, params: Params) -> Any:
        """Algo orders of a contract, whatever became of them."""
        self.futures.contracts.instrument(params.symbol())
        return [replies.algo(each) for each in self.algos.listed(range_of(params, "algoId", 500))]


def symbol_of(params: Params) -> str | None:
    """The symbol, where one is asked for."""
    return params.symbol() if "symbol" in params else None


def _ids(params: Params) -> tuple[int | None, str | None]:
    ids = params.integer("orderId"), params.text("origClientOrderId", CLIENT_ID)
    if ids == (None, None):
        raise missing("orderId")
    return ids


def _algo_ids(params: Params) -> tuple[int | None, str | None]:
    ids = params.integer("algoId"), params.text("clientAlgoId", CLIENT_ID)
    if ids == (None, None):
        raise missing("algoId")
    return ids


def range_of(params: Params, from_id: str, usual: int) -> Range:
    """The bounds of a listing; without them the newest rows of the last seven days."""
    start, end, first = params.time("startTime"), params.time("endTime"), params.integer(from_id)
    if start is not None and end is not None and end - start > _NEWEST:
        raise Refused(-4166, "Search window is restricted to recent 7 days only.")
    newest = start is None and first is None
    if start is not None and end is None:
        end = start + _NEWEST
    return Range(
        symbol_of(params), params.limit(usual, 1000), first or 0, start or 0, 2**62 if end is None else end, newest
    )  # fmt: skip


def _sides(params: Params) -> tuple[Side, PositionSide]:
    side = params.one_of("side", Side, Refused(-1117, "Invalid side."))
    if "positionSide" not in params:
        return side, PositionSide.BOTH
    return side, params.one_of("positionSide", PositionSide, Refused(-4060, "Invalid position side."))


def _time_in_force(params: Params, now: int) -> tuple[str, int]:
    """How long it rests, and until when if that is said."""
    given = params.get("timeInForce", "GTC")
    if given not in TIMES_IN_FORCE:
        raise Refused(-1115, "Invalid timeInForce.")
    if given != "GTD":
        return given, 0
    params.must("goodTillDate")
    until = (params.time("goodTillDate") or 0) // SECOND * SECOND
    if not now + _SOONEST <= until < _LATEST:
        text = "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than"
        raise Refused(-5040, f"{text} {_LATEST}.")
    return given, until


def _known_type(params: Params, known: tuple[str, ...]) -> str:
    params.must("type")
    if (kind := params["type"]) not in known:
        raise Refused(-1116, "Invalid orderType.")
    return kind


def _offered(params: Params) -> None:
    """`Refused` for what contracts do not have here."""
    for name, words in _OFFERED.items():
        if name in params and params[name] not in words:
            raise invalid(name)


def _order(params: Params, fresh: str, now: int) -> Placed:
    _offered(params)
    symbol = params.symbol()
    side, position_side = _sides(params)
    kind = _known_type(params, (*REGULAR, *CONDITIONAL))
    if kind in CONDITIONAL:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise Refused(-4120, text)
    if params.flag("closePosition"):
        raise Refused(-4136, f"Target strategy invalid for orderType {kind},closePosition true.")
    for name in ("quantity",) if kind == "MARKET" else ("timeInForce", "quantity", "price"):
        params.must(name)
    for name in ("price", "timeInForce") if kind == "MARKET" else ():
        if name in params:
            raise unneeded(name)
    time_in_force, until = _time_in_force(params, now)
    return Placed(
        0, symbol, params.text("newClientOrderId", CLIENT_ID) or fresh, side, position_side, kind,
        time_in_force, _amount(params, "quantity"), _amount(params, "price"), now, now,
        reduce_only=params.flag("reduceOnly"), good_till=until,
    )  # fmt: skip


def _algo(params: Params, fresh: str, now: int) -> Algo:
    params.must("algoType")
    _offered(params)
    symbol = params.symbol()
    side, position_side = _sides(params)
    kind = _known_type(params, CONDITIONAL)
    close = params.flag("closePosition")
    needed = ["callbackRate"] if kind == TRAILING else ["triggerPrice"]
    needed += ["price"] if kind in LIMITS else []
    for name in needed if close else [*needed, "quantity"]:
        params.must(name)
    time_in_force, until = _time_in_force(params, now)
    working = params.get("workingType", "CONTRACT_PRICE")
    if working not in {"CONTRACT_PRICE", "MARK_PRICE"}:
        raise invalid("workingType")
    return Algo(
        0, symbol, params.text("clientAlgoId", CLIENT_ID) or fresh, side, position_side, kind,
        time_in_force, _amount(params, "quantity"), _amount(params, "price"), _amount(params, "triggerPrice"),
        now, now, reduce_only=params.flag("reduceOnly"), close_position=close, working_type=working,
        price_protect=params.flag("priceProtect"), activation=_amount(params, "activatePrice"),
        callback=_amount(params, "callbackRate"), good_till=until,
    )  # fmt: skip


def _amount(params: Params, name: str) -> Decimal:
    return params.amount(name) or ZERO
