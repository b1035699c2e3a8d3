"""The account: what needs a key and a signature."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tradebot.clock import DAY
from tradebot.sim import forms, replies
from tradebot.sim.books import ALONE, Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.forms import LEGS, Reply, which
from tradebot.sim.params import CLIENT_ID, Params
from tradebot.sim.refusals import Refused

_MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
_ORDER_IDS = ("orderId", "origClientOrderId")
_LIST_IDS = ("orderListId", "listClientOrderId")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with headers of its own."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Signed:
    """The handlers of the signed endpoints; each takes the parameters and returns the body (or an `Answer`).

    `accounts` are exchanges by API key; other keys trade on `exchange`.
    """

    def __init__(self, exchange: Exchange, accounts: Mapping[str, Exchange] | None = None) -> None:
        self._exchange = exchange
        self._accounts = dict(accounts or {})

    def of(self, params: Params) -> Exchange:
        """The account of whoever signed."""
        return self._accounts.get(params.key, self._exchange)

    # -- orders

    def place(self, params: Params) -> Any:
        """Carry out a new order."""
        exchange = self.of(params)
        order = forms.read_order(params, _fresh(exchange, "orders"))
        kind, tag = forms.read_reply(params, forms.usual_reply(order.type)), forms.read_tag(params)
        return _counted(exchange, 1, lambda: replies.placed(*exchange.place(order, tag), kind))

    def test(self, params: Params) -> Any:
        """Check an order and do nothing."""
        exchange = self.of(params)
        forms.read_reply(params, Reply.FULL)
        forms.read_tag(params)
        exchange.test(forms.read_order(params, "test"))
        return replies.tested(exchange.fees) if params.flag("computeCommissionRates") else {}

    def cancel(self, params: Params) -> Any:
        """Take an order off the market."""
        only = forms.read_restriction(params)
        entry = self.of(params).cancel(params.symbol(), *which(params, *_ORDER_IDS), only)
        return replies.canceled(entry, _cancel_id(params, "newClientOrderId", entry.order_id))

    def cancel_all(self, params: Params) -> Any:
        """Take all orders of a symbol off the market; those of a list are told as a list."""
        exchange = self.of(params)
        told = []
        for group in exchange.cancel_all(params.symbol()):
            reports = [replies.canceled(entry, _hash("cancel", entry.order_id)) for entry in group]
            if group[0].list_id == ALONE:
                told += reports
            else:
                told.append(replies.listed(*exchange.order_list(group[0].list_id, None)) | {"orderReports": reports})
        return told

    def replace(self, params: Params) -> Any:
        """Cancel an order and place another one; how each went is told, also when one of them failed."""
        exchange, mode = self.of(params), params.get("cancelReplaceMode")
        params.must("cancelReplaceMode")
        if mode not in _MODES:
            raise Refused(-1100, "Invalid cancelReplaceMode.")
        order = forms.read_order(params, _fresh(exchange, "orders"))
        kind, tag = forms.read_reply(params, forms.usual_reply(order.type)), forms.read_tag(params)
        only, ids = forms.read_restriction(params), which(params, "cancelOrderId", "cancelOrigClientOrderId")
        exchange.test(order)  # an order that is malformed or breaks a filter cancels nothing

        def gone() -> Any:
            entry = exchange.cancel(order.symbol, *ids, only)
            return replies.canceled(entry, _cancel_id(params, "cancelNewClientOrderId", entry.order_id))

        canceled, first = _tried(gone)
        if not canceled and mode == "STOP_ON_FAILURE":
            exchange.count(1)  # what is not attempted counts all the same
            raise _half(-2022, 400, ("FAILURE", first), ("NOT_ATTEMPTED", None))
        before = exchange.counts.used(exchange.clock.now())
        done, second = _tried(lambda: replies.placed(*exchange.place(order, tag), kind))
        told = _result(canceled, first), _result(done, second)
        if canceled and done:
            return Answer(_both(*told), _count_headers(before, 1))
        raise _half(-2021, 409, *told) if canceled or done else _half(-2022, 400, *told)

    def order(self, params: Params) -> Any:
        """An order as it is now."""
        return replies.queried(self.of(params).order(params.symbol(), *which(params, *_ORDER_IDS)))

    def open_orders(self, params: Params) -> Any:
        """Orders that can still be filled, of one symbol or of all."""
        symbol = params.symbol() if "symbol" in params else None
        return [replies.queried(entry) for entry in self.of(params).open_orders(symbol)]

    def orders(self, params: Params) -> Any:
        """Orders of a symbol, whatever became of them."""
        return [replies.queried(entry) for entry in self.of(params).orders(_slice(params, "orderId", params.symbol()))]

    # -- lists

    def place_oco(self, params: Params) -> Any:
        """Place two orders of which one cancels the other."""
        exchange = self.of(params)
        first = exchange.next_id("orders")
        above, below = (
            forms.read_leg(params, leg, _hash(params.key, "orders", first + place)) for place, leg in enumerate(LEGS)
        )
        tags = forms.read_tag(params, LEGS[0]), forms.read_tag(params, LEGS[1])
        kind = forms.read_reply(params, Reply.RESULT)
        client_id = params.text("listClientOrderId", CLIENT_ID) or _fresh(exchange, "lists")

        def place() -> Any:
            made, legs = exchange.place_list(above, below, client_id, tags)
            return replies.listed(made, legs) | {"orderReports": [replies.placed(leg, (), kind) for leg in legs]}

        return _counted(exchange, 2, place)

    def order_list(self, params: Params) -> Any:
        """A list as it is now."""
        return replies.listed(*self.of(params).order_list(*which(params, "orderListId", "origClientOrderId")))

    def order_lists(self, params: Params) -> Any:
        """Lists of all symbols, whatever became of them."""
        return [replies.listed(*each) for each in self.of(params).order_lists(_slice(params, "fromId", ""))]

    def open_lists(self, params: Params) -> Any:
        """Lists with an order that can still be filled."""
        return [replies.listed(*each) for each in self.of(params).open_lists()]

    def cancel_list(self, params: Params) -> Any:
        """Take the orders of a list off the market."""
        made, legs = self.of(params).cancel_list(params.symbol(), *which(params, *_LIST_IDS))
        reports = [replies.canceled(leg, _cancel_id(params, "newClientOrderId", leg.order_id)) for leg in legs]
        return replies.listed(made, legs) | {"orderReports": reports}

    # -- the account

    def trades(self, params: Params) -> Any:
        """The account's trades of a symbol."""
        given = params.keys() & {"orderId", "startTime", "endTime", "fromId"}
        if given not in ({*()}, {"orderId"}, {"startTime"}, {"endTime"}, {"fromId"}, {"startTime", "endTime"},
                         {"orderId", "fromId"}):  # fmt: skip
            raise Refused(-1128, "Combination of optional parameters invalid.")
        exchange, symbol = self.of(params), params.symbol()
        fills = exchange.trades(_slice(params, "fromId", symbol), params.integer("orderId"))
        lists = {number: exchange.order(symbol, number, None).list_id for number in {fill.order_id for fill in fills}}
        return [replies.trade(fill, lists[fill.order_id]) for fill in fills]

    def account(self, params: Params) -> Any:
        """Rates, and balances of all coins that are traded or were ever held."""
        exchange = self.of(params)
        balances, zeros = exchange.balances(), set[str]()
        if not params.flag("omitZeroBalances"):
            zeros = {coin for each in exchange.instruments().values() for coin in (each.base, each.quote)}
            zeros |= balances.keys()
        return replies.account(balances, exchange.fees, exchange.clock.now(), zeros)

    def commission(self, params: Params) -> Any:
        """The fees of a symbol."""
        exchange = self.of(params)
        return replies.commission(exchange.instrument(params.symbol()).symbol, exchange.fees)

    def order_limits(self, params: Params) -> Any:
        """How many orders count against the limits."""
        exchange = self.of(params)
        exchange.open_orders()  # what was filled meanwhile no longer counts
        return replies.rate_limits(exchange.counts.used(exchange.clock.now()))

    def no_margin(self, params: Params) -> Any:
        """The symbols that are traded on margin: none."""
        return []

    def restrictions(self, params: Params) -> Any:
        """What a key may do."""
        return replies.RESTRICTIONS


def _hash(*parts: object) -> str:
    """An id that looks like the venue's own, and is the same in every run."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=11).hexdigest()


def _fresh(exchange: Exchange, table: str) -> str:
    """An id for what the client did not name."""
    return _hash(table, exchange.next_id(table))


def _cancel_id(params: Params, name: str, order_id: int) -> str:
    return params.text(name, CLIENT_ID) or _hash("cancel", order_id)


def _count_headers(before: Mapping[Any, int], orders: int) -> dict[str, str]:
    """Counts as they were when the orders were let in: what was filled at once is given back after that."""
    return {f"X-MBX-ORDER-COUNT-{each.suffix}": str(used + orders) for each, used in before.items()}


def _counted(exchange: Exchange, orders: int, act: Callable[[], Any]) -> Answer:
    before = exchange.counts.used(exchange.clock.now())
    return Answer(act(), _count_headers(before, orders))


def _tried(act: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether it was done, and the answer or the refusal's body."""
    try:
        return True, act()
    except Refused as no:
        return False, no.body()


def _result(done: bool, answer: Any) -> tuple[str, Any]:
    return "SUCCESS" if done else "FAILURE", answer


def _both(canceled: tuple[str, Any], placed: tuple[str, Any]) -> dict[str, Any]:
    return {
        "cancelResult": canceled[0], "newOrderResult": placed[0], "cancelResponse": canceled[1],
        "newOrderResponse": placed[1],
    }  # fmt: skip


def _half(code: int, status: int, canceled: tuple[str, Any], placed: tuple[str, Any]) -> Refused:
    text = "Order cancel-replace partially failed." if code == -2021 else "Order cancel-replace failed."
    return Refused(code, text, status, data=_both(canceled, placed))


def _slice(params: Params, from_id: str, symbol: str) -> Slice:
    start, end, first = params.time("startTime"), params.time("endTime"), params.integer(from_id)
    if start is not None and end is not None and end - start > DAY:
        raise Refused(-1127, "More than 24 hours between startTime and endTime.")
    newest = start is None and first is None
    bounds = {"start": start or 0, "end": 2**62 if end is None else end, "from_id": first or 0}
    return Slice(symbol, params.limit(500, 1000), newest=newest, **bounds)
