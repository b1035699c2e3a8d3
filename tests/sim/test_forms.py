from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from exchanging import D

from tradebot.market.venue import Order, OrderType, Side
from tradebot.sim import forms
from tradebot.sim.engine import Tag
from tradebot.sim.forms import Reply
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused

BASE = b"symbol=ETHUSDT&side=SELL&quantity=2&"


def test_an_order_is_read_as_it_was_written() -> None:
    params = Params(BASE + b"type=STOP_LOSS_LIMIT&price=90.5&stopPrice=91&timeInForce=IOC&newClientOrderId=mine")
    assert forms.read_order(params, "fresh") == Order(
        "ETHUSDT", Side.SELL, "mine", OrderType.STOP_LOSS_LIMIT, D(2), None, D("90.5"), D(91), "IOC"
    )
    assert forms.read_order(Params(BASE + b"type=MARKET"), "fresh").client_id == "fresh"


def test_both_legs_are_read_from_their_own_parameters() -> None:
    params = Params(
        BASE + b"aboveType=LIMIT_MAKER&abovePrice=110&aboveClientOrderId=up&belowType=STOP_LOSS_LIMIT&belowPrice=89"
        b"&belowStopPrice=90&belowTimeInForce=GTC&belowStrategyId=4&belowStrategyType=1000000"
    )
    above, below = (forms.read_leg(params, leg, f"fresh-{leg}") for leg in forms.LEGS)
    assert above == Order("ETHUSDT", Side.SELL, "up", OrderType.LIMIT_MAKER, D(2), None, D(110))
    assert below == Order(
        "ETHUSDT", Side.SELL, "fresh-below", OrderType.STOP_LOSS_LIMIT, D(2), None, D(89), D(90), "GTC"
    )
    assert [forms.read_tag(params, leg) for leg in forms.LEGS] == [Tag(), Tag(4, 1_000_000)]


@pytest.mark.parametrize(
    ("query", "read", "code"),
    [
        (b"type=MARKET&icebergQty=1", lambda p: forms.read_order(p, ""), -2010),
        (b"type=MARKET&trailingDelta=1", lambda p: forms.read_order(p, ""), -2010),
        (b"type=MARKET&selfTradePreventionMode=BOTH", lambda p: forms.read_order(p, ""), -1130),
        (b"type=GIFT", lambda p: forms.read_order(p, ""), -1116),
        (b"", lambda p: forms.read_order(p, ""), -1102),
        (b"aboveType=LIMIT_MAKER&abovePrice=x", lambda p: forms.read_leg(p, "above", ""), -1100),
        (b"aboveIcebergQty=1", lambda p: forms.read_leg(p, "above", ""), -2010),
        (b"strategyType=999999", forms.read_tag, -1134),
        (b"strategyId=one", forms.read_tag, -1100),
        (b"newOrderRespType=LOUD", lambda p: forms.read_reply(p, Reply.ACK), -1100),
        (b"cancelRestrictions=NEW", forms.read_restriction, -1145),
        (b"", lambda p: forms.which(p, "orderId", "origClientOrderId"), -1102),
    ],
)
def test_what_cannot_be_read_is_refused(query: bytes, read: Callable[[Params], Any], code: int) -> None:
    with pytest.raises(Refused) as caught:
        read(Params(BASE + query))
    assert caught.value.code == code


def test_what_was_not_asked_for_is_as_usual() -> None:
    assert [forms.usual_reply(kind) for kind in (OrderType.MARKET, OrderType.LIMIT)] == [Reply.FULL, Reply.FULL]
    assert {forms.usual_reply(kind) for kind in OrderType if "LIMIT" != kind != "MARKET"} == {Reply.ACK}
    assert forms.read_reply(Params(b""), Reply.ACK) is Reply.ACK
    assert forms.read_reply(Params(b"newOrderRespType=FULL"), Reply.ACK) is Reply.FULL
    assert forms.read_restriction(Params(b"")) is None


@pytest.mark.parametrize("status", ["NEW", "PARTIALLY_FILLED"])
def test_a_restriction_names_a_status(status: str) -> None:
    assert forms.read_restriction(Params(f"cancelRestrictions=ONLY_{status}".encode())) == status


def test_either_id_is_enough() -> None:
    assert forms.which(Params(b"orderId=5"), "orderId", "origClientOrderId") == (5, None)
    assert forms.which(Params(b"origClientOrderId=a"), "orderId", "origClientOrderId") == (None, "a")
