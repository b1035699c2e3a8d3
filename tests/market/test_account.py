"""What the venue says of the account and of the key."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradebot.errors import BadReply
from tradebot.market.account import Holder, KeyRights, read_holder, read_rights
from tradebot.market.venue import Balance

ACCOUNT: dict[str, Any] = {
    "uid": 354937868, "canTrade": True, "canWithdraw": True,
    "balances": [{"asset": "BTC", "free": "1.50", "locked": "0.25"}, {"asset": "ETH", "free": "0", "locked": "0.00"}],
}  # fmt: skip


def test_an_account_is_told_by_its_number_of_which_people_see_the_end() -> None:
    holder = read_holder(ACCOUNT)
    assert holder == Holder("354937868", True, {"BTC": Balance(Decimal("1.50"), Decimal("0.25"))})
    assert holder.masked == "…868"


@pytest.mark.parametrize("lacking", ["uid", "canTrade", "balances"])
def test_an_account_that_lacks_something_is_a_bad_reply(lacking: str) -> None:
    with pytest.raises(BadReply, match="account"):
        read_holder({name: value for name, value in ACCOUNT.items() if name != lacking})


@pytest.mark.parametrize(
    ("reply", "rights"),
    [
        ({"enableSpotAndMarginTrading": True, "enableWithdrawals": False, "ipRestrict": True}, (True, False, True)),
        ({"enableSpotAndMarginTrading": False, "enableWithdrawals": True, "ipRestrict": False}, (False, True, False)),
        ({"enableSpotAndMarginTrading": True}, (True, True, False)),
    ],
    ids=["a good key", "a bad key", "what is not told counts as bad"],
)
def test_rights_are_as_the_venue_tells_them(reply: dict[str, Any], rights: tuple[bool, bool, bool]) -> None:
    assert read_rights(reply) == KeyRights(*rights)


def test_rights_that_are_no_rights_are_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="key restrictions"):
        read_rights([])
