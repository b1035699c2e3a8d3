"""How the futures API writes orders, trades, positions and accounts as JSON."""

from __future__ import annotations

from typing import Any

from tradebot.market.venue import ZERO, Side
from tradebot.sim.futures.contracts import LARGEST_POSITION
from tradebot.sim.futures.ledger import Algo, Entry, Placed, Trade
from tradebot.sim.futures.positions import Account, PositionSide, Stake, Terms
from tradebot.sim.matching import EXACT, to_unit
from tradebot.sim.replies import amount

SUCCESS = {"code": 200, "msg": "success"}
ALL_CANCELED = {"code": 200, "msg": "The operation of cancel all open order is done."}


def order(each: Placed) -> dict[str, Any]:
    """An order as placing and cancelling answer it: without average price and amount paid."""
    return {
        "orderId": each.order_id, "symbol": each.symbol, "status": each.status, "clientOrderId": each.client_id,
        "price": amount(each.price), "origQty": amount(each.quantity), "executedQty": amount(each.executed),
        "timeInForce": each.time_in_force, "type": each.type, "reduceOnly": each.reduce_only,
        "closePosition": False, "side": each.side, "positionSide": each.position_side,
        "stopPrice": amount(ZERO), "workingType": "CONTRACT_PRICE", "priceProtect": False,
        "origType": each.original_type or each.type, "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER", "goodTillDate": each.good_till, "updateTime": each.updated,
    }  # fmt: skip


def placed(each: Placed, kind: str) -> dict[str, Any]:
    """The answer to a new order: RESULT tells what became of it, ACK that it has come in."""
    told = order(each)
    return told if kind == "RESULT" else told | {"status": "NEW", "executedQty": amount(ZERO)}


def queried(each: Placed) -> dict[str, Any]:
    """An order as queries answer it."""
    average = EXACT.divide(each.quote_executed, each.executed) if each.executed else ZERO
    return order(each) | {
        "avgPrice": amount(to_unit(average)), "cumQuote": amount(each.quote_executed), "time": each.created
    }  # fmt: skip


def algo(each: Algo) -> dict[str, Any]:
    """A conditional order."""
    told: dict[str, Any] = {
        "algoId": each.algo_id, "clientAlgoId": each.client_id, "algoType": "CONDITIONAL", "orderType": each.type,
        "symbol": each.symbol, "side": each.side, "positionSide": each.position_side,
        "timeInForce": each.time_in_force, "quantity": amount(each.quantity), "algoStatus": each.status,
        "triggerPrice": amount(each.trigger), "price": amount(each.price), "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": each.working_type, "priceMatch": "NONE",
        "closePosition": each.close_position, "priceProtect": each.price_protect, "reduceOnly": each.reduce_only,
        "createTime": each.created, "updateTime": each.updated, "triggerTime": each.triggered,
        "goodTillDate": each.good_till, "actualOrderId": str(each.order_id) if each.order_id else "",
    }  # fmt: skip
    if each.callback:
        told |= {"activatePrice": amount(each.activation), "callbackRate": format(each.callback, "f")}
    return told


def algo_canceled(each: Algo) -> dict[str, Any]:
    """The answer to a cancel of a conditional order; its code is a string."""
    return {"algoId": each.algo_id, "clientAlgoId": each.client_id, "code": "200", "msg": "success"}


def trade(each: Trade, coin: str) -> dict[str, Any]:
    """A trade of the account; `coin` is what fees are paid in."""
    return {
        "symbol": each.symbol, "id": each.trade_id, "orderId": each.order_id, "side": each.side,
        "price": amount(each.price), "qty": amount(each.quantity), "realizedPnl": amount(each.realized),
        "quoteQty": amount(each.quote), "commission": amount(each.fee), "commissionAsset": coin, "time": each.time,
        "positionSide": each.position_side, "buyer": each.side is Side.BUY, "maker": each.maker,
    }  # fmt: skip


def income(each: Entry, coin: str) -> dict[str, Any]:
    """A change of the wallet."""
    return {
        "symbol": each.symbol, "incomeType": each.kind, "income": amount(each.amount), "asset": coin,
        "info": each.kind, "time": each.time, "tranId": each.tran_id,
        "tradeId": str(each.trade_id) if each.trade_id else "",
    }  # fmt: skip


def _held(stake: Stake) -> dict[str, Any]:
    """What account and position lists have in common."""
    position = stake.position
    isolated = position.margin + stake.unrealized if stake.terms.isolated else ZERO
    return {
        "symbol": position.symbol, "positionSide": position.side, "positionAmt": amount(position.amount),
        "isolatedMargin": amount(isolated), "notional": amount(stake.notional),
        "isolatedWallet": amount(position.margin), "initialMargin": amount(stake.initial + stake.ordered),
        "maintMargin": amount(stake.maintenance), "updateTime": position.updated,
    }  # fmt: skip


def risk(account: Account, key: tuple[str, PositionSide], coin: str) -> dict[str, Any]:
    """A position with its risk; leverage and margin type are told by symbolConfig."""
    stake = account.stakes[key]
    return _held(stake) | {
        "entryPrice": amount(stake.position.entry), "breakEvenPrice": amount(stake.position.entry),
        "markPrice": amount(stake.mark), "unRealizedProfit": amount(stake.unrealized),
        "liquidationPrice": amount(account.liquidation(key)), "marginAsset": coin,
        "positionInitialMargin": amount(stake.initial), "openOrderInitialMargin": amount(stake.ordered), "adl": 0,
        "bidNotional": amount(stake.bids), "askNotional": amount(stake.asks),
    }  # fmt: skip


def balance(account: Account, coin: str, now: int) -> dict[str, Any]:
    """The one balance of the account."""
    available = amount(max(account.available, ZERO))
    return {
        "accountAlias": "SimFutures", "asset": coin, "balance": amount(account.wallet),
        "crossWalletBalance": amount(account.cross_wallet), "crossUnPnl": amount(account.cross_unrealized),
        "availableBalance": available, "maxWithdrawAmount": available, "marginAvailable": True, "updateTime": now,
    }  # fmt: skip


def account(told: Account, coin: str, now: int) -> dict[str, Any]:
    """The account with its only asset and what is at stake."""
    available = amount(max(told.available, ZERO))
    shared = {
        "MaintMargin": told.maintenance, "WalletBalance": told.wallet, "UnrealizedProfit": told.unrealized,
        "MarginBalance": told.wallet + told.unrealized, "InitialMargin": told.initial + told.ordered,
        "PositionInitialMargin": told.initial, "OpenOrderInitialMargin": told.ordered,
        "CrossWalletBalance": told.cross_wallet, "CrossUnPnl": told.cross_unrealized,
    }  # fmt: skip
    limits = {"availableBalance": available, "maxWithdrawAmount": available}
    asset = {name[0].lower() + name[1:]: amount(value) for name, value in shared.items()}
    return {
        **{f"total{name}": amount(value) for name, value in shared.items()}, **limits,
        "assets": [{"asset": coin, **asset, **limits, "marginAvailable": True, "updateTime": now}],
        "positions": [_held(stake) | {"unrealizedProfit": amount(stake.unrealized)} for stake in told.stakes.values()],
    }  # fmt: skip


def config(terms: Terms) -> dict[str, Any]:
    """Leverage and margin type of a contract."""
    return {
        "symbol": terms.symbol, "marginType": "ISOLATED" if terms.isolated else "CROSSED",
        "isAutoAddMargin": False, "leverage": terms.leverage, "maxNotionalValue": amount(LARGEST_POSITION),
    }  # fmt: skip
