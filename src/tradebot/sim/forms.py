"""Orders as requests write them: parameters read into what the engine takes."""

from __future__ import annotations

from enum import StrEnum

from tradebot.market.venue import Order, OrderType, Side
from tradebot.sim.engine import Tag
from tradebot.sim.params import CLIENT_ID, Params
from tradebot.sim.refusals import Refused, invalid, neither, rejected

LEGS = ("above", "below")
_LEAST_STRATEGY = 1_000_000
_NOT_OFFERED = {
    "icebergQty": "Iceberg orders are not supported for this symbol.",
    "trailingDelta": "Trailing stop orders are not supported for this symbol.",
}


class Reply(StrEnum):
    """How much the answer to a new order says."""

    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


class TimeInForce(StrEnum):
    """How long an order rests."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Restriction(StrEnum):
    """In which status alone an order is to be canceled."""

    ONLY_NEW = "ONLY_NEW"
    ONLY_PARTIALLY_FILLED = "ONLY_PARTIALLY_FILLED"


# Types whose reply carries the fills unless another one is asked for.
_TOLD_IN_FULL = (OrderType.MARKET, OrderType.LIMIT)


def leg_name(prefix: str, name: str) -> str:
    """What a request calls a parameter of a leg; an order that is in no list has no prefix."""
    return prefix + name[0].upper() + name[1:] if prefix else name


def _type(params: Params, name: str) -> OrderType:
    return params.one_of(name, OrderType, Refused(-1116, "Invalid orderType."))


def _time_in_force(params: Params, name: str) -> str | None:
    return params.one_of(name, TimeInForce, Refused(-1115, "Invalid timeInForce.")) if name in params else None


def _offered(params: Params, prefix: str) -> None:
    for name, text in _NOT_OFFERED.items():
        if leg_name(prefix, name) in params:
            raise rejected(text)
    if params.get("selfTradePreventionMode", "NONE") != "NONE":
        raise invalid("selfTradePreventionMode")


def read_order(params: Params, fresh_id: str) -> Order:
    """The parameters of a new order; `fresh_id` names it where the client does not."""
    _offered(params, "")
    return Order(
        symbol=params.symbol(),
        side=params.one_of("side", Side, Refused(-1117, "Invalid side.")),
        type=_type(params, "type"),
        client_id=params.text("newClientOrderId", CLIENT_ID) or fresh_id,
        quantity=params.amount("quantity"),
        quote_quantity=params.amount("quoteOrderQty"),
        price=params.amount("price"),
        stop_price=params.amount("stopPrice"),
        time_in_force=_time_in_force(params, "timeInForce"),
    )


def read_leg(params: Params, prefix: str, fresh_id: str) -> Order:
    """One leg of an OCO; both share symbol, side and quantity."""
    _offered(params, prefix)
    params.must("quantity")
    return Order(
        symbol=params.symbol(),
        side=params.one_of("side", Side, Refused(-1117, "Invalid side.")),
        type=_type(params, leg_name(prefix, "type")),
        client_id=params.text(leg_name(prefix, "clientOrderId"), CLIENT_ID) or fresh_id,
        quantity=params.amount("quantity"),
        price=params.amount(leg_name(prefix, "price")),
        stop_price=params.amount(leg_name(prefix, "stopPrice")),
        time_in_force=_time_in_force(params, leg_name(prefix, "timeInForce")),
    )


def read_tag(params: Params, prefix: str = "") -> Tag:
    """The client's numbers for an order or a leg."""
    number, kind = (params.integer(leg_name(prefix, name)) for name in ("strategyId", "strategyType"))
    if kind is not None and kind < _LEAST_STRATEGY:
        raise Refused(-1134, f"{leg_name(prefix, 'strategyType')} was less than {_LEAST_STRATEGY}.")
    return Tag(number, kind)


def read_reply(params: Params, usual: Reply) -> Reply:
    """How much the answer is to say."""
    if "newOrderRespType" not in params:
        return usual
    return params.one_of("newOrderRespType", Reply, Refused(-1100, "Invalid newOrderRespType."))


def usual_reply(kind: OrderType) -> Reply:
    """What is said of a type when nobody asks for more or less."""
    return Reply.FULL if kind in _TOLD_IN_FULL else Reply.ACK


def read_restriction(params: Params) -> str | None:
    """The one status in which to cancel; None for any."""
    if "cancelRestrictions" not in params:
        return None
    problem = Refused(-1145, "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.")
    return params.one_of("cancelRestrictions", Restriction, problem).removeprefix("ONLY_")


def which(params: Params, *names: str) -> tuple[int | None, str | None]:
    """The number and the client's id by which a request names an order or a list, at least one of them."""
    number, client_id = names
    ids = params.integer(number), params.text(client_id, CLIENT_ID)
    if ids == (None, None):
        raise neither(client_id, number)
    return ids
