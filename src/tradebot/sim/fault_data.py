"""Faults of what replies say: words and fields that nobody has heard of, trades told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import orjson
from pydantic import Field

from tradebot.sim.faults import Call, Outcome, Reply, RequestFault, Strike, fault

_ORDERS = {"order", "openOrders", "allOrders", "oco", "orderList", "algoOrder", "openAlgoOrders", "allAlgoOrders"}


class ReplyFault(RequestFault):
    """A fault of a reply's JSON; only replies that succeed, and in them only what is about `symbol`, are changed."""

    decides: ClassVar[bool] = False
    where: ClassVar[frozenset[str]] = frozenset()  # last part of the paths that it is about

    def meets(self, call: Call, now: int) -> bool:
        """A request without a symbol is about all of them."""
        whole = self if call.symbol else self.model_copy(update={"symbol": ()})
        return call.path.rpartition("/")[2] in self.where and super(ReplyFault, whole).meets(call, now)

    def outcome(self, strike: Strike) -> Outcome:
        """The true reply, changed."""
        return Outcome(edits=(self._edit,))

    def _edit(self, call: Call, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        try:
            body = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return reply
        return replace(reply, body=orjson.dumps(self.changed(body)))

    def changed(self, body: Any) -> Any:
        """The body as it goes out; it may be changed in place."""
        raise NotImplementedError

    def _rows(self, body: Any, like: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
        """All objects in the body, at any depth, that are `like` this and about the fault's symbols."""
        if isinstance(body, dict):
            if like(body) and self.concerns(body.get("symbol", "")):
                yield body
            body = list(body.values())
        if isinstance(body, list):
            for part in body:
                yield from self._rows(part, like)


def _is_order(row: dict[str, Any]) -> bool:
    return "clientOrderId" in row or "clientAlgoId" in row


def _is_symbol(row: dict[str, Any]) -> bool:
    return "baseAsset" in row and "filters" in row


@fault("unknown-status")
class UnknownStatus(ReplyFault):
    """Orders, and symbols in exchangeInfo, have a status that nobody has heard of."""

    where: ClassVar[frozenset[str]] = frozenset({*_ORDERS, "exchangeInfo"})
    status: str = Field("UNDER_REVIEW", description="The word.")

    def changed(self, body: Any) -> Any:
        """Another status in each order and symbol."""
        for row in self._rows(body, lambda row: _is_order(row) or _is_symbol(row)):
            for name in row.keys() & {"status", "algoStatus"}:
                row[name] = self.status
        return body


@fault("unknown-fields")
class UnknownFields(ReplyFault):
    """Orders, and symbols in exchangeInfo, have a field that nobody has heard of, symbols also a filter."""

    where: ClassVar[frozenset[str]] = frozenset({*_ORDERS, "exchangeInfo"})
    name: str = Field("unheardOf", description="Name of the field; the filter is called UNHEARD_OF.")

    def changed(self, body: Any) -> Any:
        """One field more in each order and symbol."""
        for row in self._rows(body, lambda row: _is_order(row) or _is_symbol(row)):
            row[self.name] = {"of": ["any", 1, None]}
            if _is_symbol(row):
                row["filters"].append({"filterType": "UNHEARD_OF", "limit": 1})
        return body


@fault("duplicated-trades")
class DuplicatedTrades(ReplyFault):
    """Every trade of the account is told twice."""

    where: ClassVar[frozenset[str]] = frozenset({"myTrades", "userTrades"})

    def changed(self, body: Any) -> Any:
        """Each trade and the same once more."""
        if not isinstance(body, list):
            return body
        return [row for row in body for _ in range(2 if self.concerns(row.get("symbol", "")) else 1)]
