from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import D, exchange, marked, refusal

from futures.trading import Trader
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.routes import futures_calls, rows_weight
from tradebot.sim.params import Params

Connect = Callable[..., Trader]


def weight(method: str, path: str, query: str = "") -> int:
    return futures_calls(Futures(exchange(marked())))[f"/fapi/{path}"][method].weight(Params(query.encode()))


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "v1/exchangeInfo", "", 1), ("GET", "v1/premiumIndex", "", 10),
        ("GET", "v1/premiumIndex", "symbol=A", 1),
        ("GET", "v1/ticker/24hr", "", 40), ("GET", "v2/ticker/price", "", 2), ("GET", "v1/ticker/bookTicker", "", 5),
        ("GET", "v1/depth", "limit=50", 2), ("GET", "v1/depth", "", 10), ("GET", "v1/depth", "limit=1000", 20),
        ("POST", "v1/order", "", 0), ("DELETE", "v1/order", "", 1), ("GET", "v1/openOrders", "", 40),
        ("GET", "v1/openOrders", "symbol=A", 1), ("GET", "v1/allOrders", "", 5), ("GET", "v1/userTrades", "", 5),
        ("GET", "v3/positionRisk", "", 5), ("GET", "v3/balance", "", 5), ("GET", "v1/positionSide/dual", "", 30),
        ("POST", "v1/positionSide/dual", "", 1), ("GET", "v1/income", "", 30), ("POST", "v1/leverage", "", 1),
        ("POST", "v1/countdownCancelAll", "", 10), ("GET", "v1/commissionRate", "", 20),
    ],
)  # fmt: skip
def test_every_path_weighs_what_it_does_at_the_venue(method: str, path: str, query: str, expected: int) -> None:
    assert weight(method, path, query) == expected


def test_a_malformed_limit_is_weighed_as_the_usual_one() -> None:
    assert rows_weight(Params(b"limit=many")) == rows_weight(Params(b"")) == 5
    assert rows_weight(Params(b"limit=" + b"9" * 5000)) == 5


async def test_market_data_need_no_key_and_the_account_does(connect: Connect) -> None:
    trader = connect()
    assert (await trader.get("/fapi/v1/time")).status_code == 200
    assert refusal(await trader.get("/fapi/v3/balance")) == (401, -2014)
    assert refusal(await trader.call("GET", "v3/balance", timestamp=1)) == (400, -1021)
    assert refusal(await trader.call("GET", "v3/balance", asset="USDT")) == (400, -1104)
    assert refusal(await trader.call("PUT", "v1/order")) == (405, -5000)


async def test_keys_with_an_account_of_their_own_trade_on_that(connect: Connect) -> None:
    calls = futures_calls(Futures(exchange(start={"USDT": D(1)})), {"other": Futures(exchange(start={"USDT": D(2)}))})
    asked = Params(b"")
    balance = calls["/fapi/v3/balance"]["GET"].handler
    assert balance(asked)[0]["balance"] == "1.00000000"
    asked.key = "other"
    assert balance(asked)[0]["balance"] == "2.00000000"


async def test_futures_and_spot_are_accounts_apart(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.order("BUY", "0.1")
    spot = (await trader.signed("GET", "account", key=PAPER_KEY, secret=PAPER_SECRET)).json()
    assert {each["asset"]: each["free"] for each in spot["balances"]}["USDT"] == "10000.00000000"
    assert await trader.wallet() < 10_000
