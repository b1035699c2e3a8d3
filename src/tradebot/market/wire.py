"""JSON ↔ types, in the words of the Binance protocol.

Readers take parsed JSON and raise `BadReply`, naming what is missing; fields and words that are
not known here are let through, because venues add some every few months. Lists of symbols leave
out what cannot be read, with a warning, so that one odd entry does not stop a cycle.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from tradebot.clock import DAY, HOUR, MINUTE, SECOND
from tradebot.errors import BadKlines, BadReply
from tradebot.market.bars import Klines
from tradebot.market.usage import KINDS, ORDERS, WEIGHT, Limit, Window
from tradebot.market.venue import (
    ZERO,
    Balance,
    Fill,
    Instrument,
    Order,
    OrderPair,
    OrderReport,
    OrderType,
    Side,
    Ticker,
)

T = TypeVar("T")
log = logging.getLogger(__name__)
PERPETUAL = "PERPETUAL"  # other contracts are delivered on a day
WIDTH, MARKS = 12, 20  # of a row of klines: numbers, and the brackets and quotation marks around them
MS = range(10**12, 10**14)  # what is a time in ms; seconds and microseconds are not
MALFORMED = (TypeError, ValueError, AttributeError, IndexError, InvalidOperation)
_UNITS = {"DAY": DAY, "HOUR": HOUR, "MINUTE": MINUTE, "SECOND": SECOND}
_LETTERS = {name[0].lower(): ms for name, ms in _UNITS.items()}
_COUNTED = {"used-weight": WEIGHT, "order-count": ORDERS}
_COUNTER = re.compile(rf"x-mbx-({'|'.join(_COUNTED)})-([0-9]{{1,4}})([{''.join(_LETTERS)}])")
_EXACT = Context(prec=60)
_NOTHING = "0.00000000"  # as the venue writes it
_PLACES = Decimal("1e-8")
ALONE = -1  # the list of an order that is in none
LEG = {
    "type": "Type", "timeInForce": "TimeInForce", "price": "Price", "stopPrice": "StopPrice",
    "newClientOrderId": "ClientOrderId",
}  # fmt: skip
RESTING = {OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}


class reading:  # noqa: N801 (a word after `with`, as contextlib has them)
    """A block that turns what a malformed reply provokes into a `BadReply` about `what`."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError):
            raise BadReply(f"{self._what}: field {error} is missing") from None
        if isinstance(error, BadKlines):
            raise BadReply(f"{self._what}: {error}") from None
        if isinstance(error, MALFORMED):
            raise BadReply(f"{self._what}: not as the protocol says ({type(error).__name__})") from None


def number(text: object) -> Decimal:
    """A finite `Decimal` of the venue's string; `ValueError` for anything else."""
    value = Decimal(text) if isinstance(text, str | int) else Decimal("NaN")
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a number")
    return value


def _each(what: str, reply: Any, entry: Callable[[Any], T]) -> dict[str, T]:
    """`entry` of each element of a list, by symbol; unreadable elements are left out."""
    if not isinstance(reply, list):
        raise BadReply(f"{what}: not a list")
    found: dict[str, T] = {}
    for row in reply:
        try:
            with reading(what):
                found[row["symbol"]] = entry(row)
        except BadReply as error:
            log.warning("left out one entry: %s", error)
    if reply and not found:
        raise BadReply(f"{what}: none of {len(reply)} entries can be read")
    return found


def server_time(reply: Any) -> int:
    """The venue's clock, UTC ms."""
    with reading("time"):
        value = int(reply["serverTime"])
        if value not in MS:
            raise ValueError(f"{value} is not in milliseconds")
        return value


def limits(reply: Any) -> list[Window]:
    """The limits that `exchangeInfo` names; those of kinds or units that are not known here are left out."""
    with reading("exchangeInfo rateLimits"):
        found = [
            Window(
                each["rateLimitType"], int(each.get("intervalNum", 1)) * _UNITS[each["interval"]], int(each["limit"])
            )
            for each in reply.get("rateLimits", ())
            if each["rateLimitType"] in KINDS and each["interval"] in _UNITS
        ]
        return [each for each in found if each.length > 0 and each.most > 0]


@lru_cache(maxsize=256)  # a venue's headers have the same names in each reply
def counted(header: str) -> Limit | None:
    """The limit of which a header, its name in small letters, tells what is used; None for all others."""
    if (found := _COUNTER.fullmatch(header)) is None:
        return None
    return _COUNTED[found[1]], int(found[2]) * _LETTERS[found[3]]


def instruments(reply: Any) -> dict[str, Instrument]:
    """All symbols of an `exchangeInfo` reply; of contracts those without an end."""
    with reading("exchangeInfo"):
        rows = [row for row in reply["symbols"] if not isinstance(row, dict) or _endless(row)]
    return _each("exchangeInfo", rows, _instrument)


def _endless(row: Mapping[str, Any]) -> bool:
    return bool(row.get("contractType", PERPETUAL) == PERPETUAL)


def _instrument(row: Mapping[str, Any]) -> Instrument:
    # By type, never by index: all filters are optional and their order is not promised.
    filters: dict[str, Mapping[str, Any]] = {rule["filterType"]: rule for rule in row.get("filters", ())}

    def bound(name: str, *fields: str) -> Decimal:
        rule = filters.get(name, {})
        return next((number(rule[field]) for field in fields if field in rule), ZERO)

    return Instrument(
        symbol=row["symbol"],
        base=row["baseAsset"],
        quote=row["quoteAsset"],
        status=row.get("status", ""),
        spot=bool(row.get("isSpotTradingAllowed", True)),
        contract="contractType" in row,
        tick=bound("PRICE_FILTER", "tickSize"),
        step=bound("LOT_SIZE", "stepSize"),
        min_quantity=bound("LOT_SIZE", "minQty"),
        max_quantity=bound("LOT_SIZE", "maxQty"),
        max_market_quantity=bound("MARKET_LOT_SIZE", "maxQty"),
        min_notional=max(bound("MIN_NOTIONAL", "minNotional", "notional"), bound("NOTIONAL", "minNotional")),
        max_notional=bound("NOTIONAL", "maxNotional"),
        min_price=bound("PRICE_FILTER", "minPrice"),
        max_price=bound("PRICE_FILTER", "maxPrice"),
        **{
            f"{side}_{way}": bound("PERCENT_PRICE_BY_SIDE", f"{name}Multiplier{way.title()}")
            or bound("PERCENT_PRICE", f"multiplier{way.title()}")
            for side, name in (("buy", "bid"), ("sell", "ask"))
            for way in ("up", "down")
        },
    )


def tickers(reply: Any) -> dict[str, Ticker]:
    """24 h statistics by symbol. Where a venue does not quote bid and ask they are the last price."""

    def ticker(row: Mapping[str, Any]) -> Ticker:
        last = row["lastPrice"]
        bid, ask = row.get("bidPrice", last), row.get("askPrice", last)
        return Ticker(row["symbol"], number(last), number(bid), number(ask), float(number(row["quoteVolume"])))

    return _each("24 h tickers", reply, ticker)


def prices(reply: Any) -> dict[str, Decimal]:
    """Last prices by symbol."""
    return _each("prices", reply, lambda row: number(row["price"]))


def parsed(raw: bytes) -> Any:
    """The JSON of a reply's body."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadReply("an answer that is not JSON") from None


def klines(raw: bytes) -> Klines:
    """A series from a reply's body, the last bar possibly open.

    Prices must be positive and times milliseconds. The decimal strings are read as JSON numbers, which
    rounds them as correctly as `float` does and takes a third of the time; rows that follow one
    another without a blank, as the venue sends them, as one list of numbers.
    """
    with reading("klines"):
        bare = raw.translate(None, b'"[]') if raw.startswith(b"[[") and raw.endswith(b"]]") else b""
        numbers = parsed(b"[%b]" % bare)
        if numbers and (len(raw) - len(bare) - len("[]")) * WIDTH == MARKS * len(numbers):
            series = Klines.from_numbers(numbers)
        else:
            reply = parsed(raw.replace(b'"', b""))
            if not isinstance(reply, list):
                raise TypeError("not a list")
            series = Klines.from_rows(reply)
        if len(series):
            if not MS[0] <= series.data[0, 0] <= series.data[0, -1] <= MS[-1]:
                raise BadKlines("open times are not in milliseconds")
            if series.data[1:5].min() <= 0:
                raise BadKlines("a price is not positive")
        return series


def balances(reply: Any) -> dict[str, Balance]:
    """What an account holds, by asset; assets of which there is nothing are left out."""
    with reading("account"):
        # Venues tell of every coin there is: most of thousands need not become numbers.
        rows = [row for row in reply["balances"] if not row["free"] == row["locked"] == _NOTHING]
        held = {row["asset"]: Balance(number(row["free"]), number(row["locked"])) for row in rows}
    return {asset: balance for asset, balance in held.items() if balance.total}


def _quotes(reply: Any, paid: Decimal) -> list[Decimal]:
    """What was paid for each fill of a reply that tells only the sum: to eight places, as venues keep amounts.

    The last one has what is left of `paid`, so that they add up to it however the venue rounds.
    """
    amounts = [(number(row["price"]), number(row["qty"])) for row in reply.get("fills", ())]
    each = [_EXACT.multiply(*amount).quantize(_PLACES, ROUND_DOWN, _EXACT) for amount in amounts]
    whole = paid and sum((quantity for _, quantity in amounts), ZERO) == number(reply["executedQty"])
    return [*each[:-1], paid - sum(each[:-1], ZERO)] if whole else each


def order_report(reply: Any) -> OrderReport:
    """An order as placing (FULL), querying or cancelling it reports it.

    A cancel's own id is not the order's. An amount that the venue says it does not have (negative)
    counts as 0.
    """
    with reading("order"):
        client_id = reply.get("origClientOrderId") or reply["clientOrderId"]
        time = int(reply.get("transactTime") or reply.get("updateTime") or reply["time"])
        side = Side(reply["side"])
        paid = max(number(reply["cummulativeQuoteQty"]), ZERO)
        fills = tuple(
            Fill(
                trade_id=int(row["tradeId"]),
                symbol=reply["symbol"],
                order_id=int(reply["orderId"]),
                side=side,
                price=number(row["price"]),
                quantity=number(row["qty"]),
                fee=number(row["commission"]),
                fee_asset=row["commissionAsset"],
                time=time,
                quote=quote,
            )
            for row, quote in zip(reply.get("fills", ()), _quotes(reply, paid), strict=True)
        )
        return OrderReport(
            symbol=reply["symbol"],
            client_id=client_id,
            order_id=int(reply["orderId"]),
            side=side,
            type=reply["type"],
            status=reply["status"],
            quantity=number(reply["origQty"]),
            executed=number(reply["executedQty"]),
            quote_executed=paid,
            price=number(reply["price"]),
            time=time,
            fills=fills,
            list_id=list_id if (list_id := int(reply.get("orderListId", ALONE))) != ALONE else None,
        )


def pair_reports(reply: Any) -> list[OrderReport]:
    """The orders of a list that was placed, as `order_report` reads each."""
    with reading("order list"):
        return [order_report(row) for row in list(reply["orderReports"])]


def order_reports(reply: Any) -> list[OrderReport]:
    """A list of orders; one that cannot be read makes the whole a `BadReply`: none may be overlooked."""
    with reading("open orders"):
        return [order_report(row) for row in list(reply)]


def fills(reply: Any) -> list[Fill]:
    """Trades of the account, oldest first; one that cannot be read makes the whole a `BadReply`."""
    with reading("trades"):
        return [
            Fill(
                trade_id=int(row["id"]),
                symbol=row["symbol"],
                order_id=int(row["orderId"]),
                side=Side.BUY if row["isBuyer" if "isBuyer" in row else "buyer"] else Side.SELL,
                price=number(row["price"]),
                quantity=number(row["qty"]),
                fee=number(row["commission"]),
                fee_asset=row["commissionAsset"],
                time=int(row["time"]),
                maker=bool(row["isMaker" if "isMaker" in row else "maker"]),
                quote=number(row["quoteQty"]) if "quoteQty" in row else None,
            )
            for row in list(reply)
        ]


def plain(value: Decimal) -> str:
    """A decimal without exponent or needless zeros, as venues want it."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_parameters(order: Order) -> list[tuple[str, str]]:
    """The parameters of an order request. Only those its type knows: others are an error at the venue.

    Asks for the FULL reply, which is the default for some types only.
    """
    time_in_force = order.time_in_force or ("GTC" if order.type in RESTING else None)
    amounts = {
        "quantity": order.quantity,
        "quoteOrderQty": order.quote_quantity,
        "price": order.price,
        "stopPrice": order.stop_price,
    }
    return [
        ("symbol", order.symbol),
        ("side", order.side.value),
        ("type", order.type.value),
        *([("timeInForce", time_in_force)] if time_in_force else []),
        *((name, plain(value)) for name, value in amounts.items() if value is not None),
        ("newClientOrderId", order.client_id),
        ("newOrderRespType", "FULL"),
    ]


def pair_parameters(pair: OrderPair) -> list[tuple[str, str]]:
    """The parameters of a request for two orders of which one cancels the other."""
    first = pair.above
    legs = [
        (place + LEG[name], value)
        for place, leg in (("above", pair.above), ("below", pair.below))
        for name, value in order_parameters(leg)
        if name in LEG
    ]
    return [
        ("symbol", first.symbol),
        ("listClientOrderId", pair.client_id),
        ("side", first.side.value),
        ("quantity", plain(first.quantity or ZERO)),
        *legs,
        ("newOrderRespType", "RESULT"),
    ]


def refusal(reply: Any) -> tuple[int, str]:
    """Code and text of an error body; `(0, "")` for anything that is not one."""
    if isinstance(reply, dict) and isinstance(reply.get("code"), int):
        return reply["code"], str(reply.get("msg", ""))
    return 0, ""
