"""The signed endpoints of the futures account: balances, positions, income and settings."""

from __future__ import annotations

from typing import Any

from tradebot.sim.futures import replies
from tradebot.sim.futures.contracts import brackets
from tradebot.sim.futures.desk import MAKER, TAKER
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import Income
from tradebot.sim.futures.settings import Settings
from tradebot.sim.futures.signed import range_of, symbol_of
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused, invalid
from tradebot.sim.replies import amount
from tradebot.sim.slices import listing


class Holdings:
    """The handlers of the account: balances, positions, income and settings."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures
        self.settings = Settings(futures)

    @property
    def _coin(self) -> str:
        return self.futures.contracts.coin

    def balance(self, params: Params) -> Any:
        """The wallet."""
        return [replies.balance(self.futures.account(), self._coin, self.futures.now)]

    def account(self, params: Params) -> Any:
        """Wallet, margins, and what is at stake."""
        return replies.account(self.futures.account(), self._coin, self.futures.now)

    def positions(self, params: Params) -> Any:
        """Contracts with a position or an open order; none of the others."""
        account = self.futures.account()
        wanted = symbol_of(params) and self.futures.contracts.instrument(params.symbol()).symbol
        return [replies.risk(account, key, self._coin) for key in account.stakes if wanted in {None, key[0]}]

    def income(self, params: Params) -> Any:
        """Changes of the wallet: profit, fees and funding."""
        kind = params.one_of("incomeType", Income, invalid("incomeType")) if "incomeType" in params else None
        found = self.futures.income(range_of(params, "fromId", 100), kind)
        return [replies.income(each, self._coin) for each in found]

    def symbol_config(self, params: Params) -> Any:
        """Leverage and margin type of one contract or of all."""
        asked = [params.symbol()] if "symbol" in params else list(self.futures.contracts.instruments())
        return listing(asked, lambda symbol: replies.config(self.settings.terms(symbol)))

    def account_config(self, params: Params) -> Any:
        """What the account may do and how it holds positions."""
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": False, "canWithdraw": False,
            "dualSidePosition": self.settings.dual, "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1,
        }  # fmt: skip

    def commission(self, params: Params) -> Any:
        """What trades cost."""
        symbol = self.settings.terms(params.symbol()).symbol
        return {"symbol": symbol, "makerCommissionRate": amount(MAKER), "takerCommissionRate": amount(TAKER)}

    def set_leverage(self, params: Params) -> Any:
        """Change the leverage of a contract."""
        params.must("leverage")
        terms = self.settings.leverage(params.symbol(), params.integer("leverage") or 0)
        told = replies.config(terms)
        return {name: told[name] for name in ("symbol", "leverage", "maxNotionalValue")}

    def set_margin_type(self, params: Params) -> Any:
        """Change the margin type of a contract."""
        params.must("marginType")
        if (kind := params["marginType"]) not in {"ISOLATED", "CROSSED"}:
            raise Refused(-1130, "Invalid marginType.")
        self.settings.isolate(params.symbol(), isolated=kind == "ISOLATED")
        return replies.SUCCESS

    def dual(self, params: Params) -> Any:
        """Whether longs and shorts are held side by side."""
        return {"dualSidePosition": self.settings.dual}

    def set_dual(self, params: Params) -> Any:
        """Change the position mode."""
        params.must("dualSidePosition")
        self.settings.set_dual(dual=params.flag("dualSidePosition"))
        return replies.SUCCESS

    def brackets(self, params: Params) -> Any:
        """Leverage brackets of one contract or of all, as an array."""
        known = self.futures.contracts
        asked = [known.instrument(params.symbol()).symbol] if "symbol" in params else list(known.instruments())
        return listing(asked, brackets)
