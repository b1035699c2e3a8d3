from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from exchanging import NOW, exchange, marked

from futures.test_ledger import ORDER
from futures.trading import Trader
from tradebot.clock import SECOND
from tradebot.sim.futures import counts
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import ORDERS
from tradebot.sim.refusals import Refused

Connect = Callable[..., Trader]


async def test_replies_to_orders_tell_how_many_were_sent(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for count in (1, 2):
        reply = await trader.order("BUY", "0.01")
        assert reply.headers["X-MBX-ORDER-COUNT-10S"] == reply.headers["X-MBX-ORDER-COUNT-1M"] == str(count)
    reply = await trader.algo("SELL", "STOP_MARKET", triggerPrice="30000", quantity="0.01")
    assert reply.headers["X-MBX-ORDER-COUNT-10S"] == "3"
    trader.wait(10 * SECOND)
    reply = await trader.order("BUY", "0.01")
    assert (reply.headers["X-MBX-ORDER-COUNT-10S"], reply.headers["X-MBX-ORDER-COUNT-1M"]) == ("1", "4")
    assert (await trader.call("GET", "v1/openOrders")).headers["X-MBX-USED-WEIGHT-1M"] == "40"


def test_the_301st_order_in_ten_seconds_is_told_when_to_come_back() -> None:
    futures = Futures(exchange(marked()))
    for place in range(300):
        counts.check(futures.ledger, NOW)
        ORDERS.enter(futures.ledger.db, replace(ORDER, client_id=f"{place}", status="CANCELED"))
    with pytest.raises(Refused) as no:
        counts.check(futures.ledger, NOW)
    assert (no.value.code, no.value.status, no.value.headers) == (-1015, 429, {"Retry-After": "7"})
    counts.check(futures.ledger, NOW + 10 * SECOND)


def test_what_the_exchange_does_itself_does_not_count() -> None:
    futures = Futures(exchange(marked()))
    for changes in ({"client_id": "autoclose-1"}, {"original_type": "STOP"}):
        ORDERS.enter(futures.ledger.db, replace(ORDER, **changes))  # type: ignore[arg-type]
    assert set(counts.used(futures.ledger, NOW).values()) == {0}
