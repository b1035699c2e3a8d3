"""Whose account it is, and what the key may do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradebot.market import wire
from tradebot.market.venue import Balance


@dataclass(frozen=True, slots=True)
class Holder:
    """An account as the venue knows it. `uid` is its number there, as text; `tradable` is whether it takes orders."""

    uid: str
    tradable: bool
    balances: Mapping[str, Balance]

    @property
    def masked(self) -> str:
        """`masked` of its uid."""
        return masked(self.uid)


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What a key may do, and whether it may do so from some addresses only."""

    trades: bool
    withdraws: bool
    bound: bool


def masked(uid: str) -> str:
    """An account's number for its owner to recognise, and for nobody else: its last three digits."""
    return f"…{uid[-3:]}"


def read_holder(reply: Any) -> Holder:
    """The account's reply."""
    with wire.reading("account"):
        return Holder(str(reply["uid"]), bool(reply["canTrade"]), wire.balances(reply))


def read_rights(reply: Any) -> KeyRights:
    """The reply on the key's restrictions. A venue that does not speak of withdrawals is taken to allow them."""
    with wire.reading("key restrictions"):
        return KeyRights(
            trades=bool(reply["enableSpotAndMarginTrading"]),
            withdraws=bool(reply.get("enableWithdrawals", True)),
            bound=bool(reply.get("ipRestrict", False)),
        )
