from __future__ import annotations

import pytest

from tradebot.sim import refusals
from tradebot.sim.refusals import Refused


@pytest.mark.parametrize(
    ("refused", "code", "text"),
    [
        (refusals.missing("symbol"), -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        (refusals.illegal("quantity", "^x$"), -1100, "legal range is '^x$'."),
        (refusals.invalid("limit"), -1130, "'limit'"),
        (refusals.unneeded("price"), -1106, "Parameter 'price' sent when not required."),
        (refusals.unknown_symbol(), -1121, "Invalid symbol."),
        (refusals.filtered("LOT_SIZE"), -1013, "Filter failure: LOT_SIZE"),
        (refusals.rejected(refusals.INSUFFICIENT), -2010, "insufficient balance"),
    ],
)
def test_refusals_have_the_venues_codes_and_texts(refused: Refused, code: int, text: str) -> None:
    assert (refused.code, refused.status, refused.headers) == (code, 400, {})
    assert text in refused.text
    assert str(refused) == f"{code}: {refused.text}"


def test_a_path_that_is_not_there_is_named_with_the_method() -> None:
    no = refusals.no_such("/nowhere", "PUT", 405)
    assert (no.code, no.status, no.text) == (-5000, 405, "Path /nowhere, Method PUT is invalid")


def test_a_refusal_may_carry_more_than_code_and_text() -> None:
    assert Refused(-1, "no").body() == {"code": -1, "msg": "no"}
    assert Refused(-1, "no", data=[1]).body() == {"code": -1, "msg": "no", "data": [1]}
