from __future__ import annotations

from decimal import Decimal
from urllib.parse import quote

import pytest

from tradebot.market.venue import Side
from tradebot.sim.params import CLIENT_ID, Params
from tradebot.sim.refusals import Refused


def code(caught: pytest.ExceptionInfo[Refused]) -> int:
    return caught.value.code


def test_the_query_string_wins_over_the_body() -> None:
    params = Params(b"symbol=A&x=1", b"symbol=B&y=2")
    assert dict(params) == {"symbol": "A", "x": "1", "y": "2"}
    assert len(params) == 3


def test_percent_encoding_is_undone() -> None:
    assert Params(b"symbols=%5B%22ETHBTC%22%5D").symbols() == ["ETHBTC"]


@pytest.mark.parametrize(
    ("query", "read", "refused"),
    [
        (b"a=1&a=2", lambda p: p, -1101),
        (b"", lambda p: p.symbol(), -1102),
        (b"symbol=", lambda p: p.symbol(), -1102),
        (b"symbol=eth-usdt", lambda p: p.symbol(), -1100),
        (b"symbol=ETH%20", lambda p: p.symbol(), -1100),
        (b"yes=maybe", lambda p: p.flag("yes"), -1100),
        (b"limit=", lambda p: p.limit(5, 9), -1105),
        (b"limit=10%0A", lambda p: p.limit(5, 9), -1100),
        (b"quantity=0.01%0A", lambda p: p.amount("quantity"), -1100),
        (b"id=a%0A", lambda p: p.text("id", CLIENT_ID), -1100),
        (b"orderId=9223372036854775808", lambda p: p.integer("orderId"), -1108),
        (b"quantity=92233720368.54775808", lambda p: p.amount("quantity"), -1108),
        (b'symbols=["A","B","A"]', lambda p: p.symbols(), -1151),
        (b"limit=-1", lambda p: p.limit(5, 9), -1100),
        (b"limit=1.5", lambda p: p.limit(5, 9), -1100),
        (b"limit=0", lambda p: p.limit(5, 9), -1130),
        (b"quantity=1e3", lambda p: p.amount("quantity"), -1100),
        (b"quantity=-1", lambda p: p.amount("quantity"), -1100),
        (b"quantity=0.123456789", lambda p: p.amount("quantity"), -1111),
        (b"side=buy", lambda p: p.one_of("side", Side, Refused(-1117, "Invalid side.")), -1117),
        (b"", lambda p: p.one_of("side", Side, Refused(-1117, "Invalid side.")), -1102),
        (b"symbol=A&symbols=[]", lambda p: p.symbols(), -1128),
        (b"symbols=[]", lambda p: p.symbols(), -1100),
        (b"symbols=[1]", lambda p: p.symbols(), -1100),
        (b"symbols=ETHBTC", lambda p: p.symbols(), -1100),
        (b"a=1&b=2", lambda p: p.only({"a"}), -1104),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_venues_code(query: bytes, read: object, refused: int) -> None:
    with pytest.raises(Refused) as caught:
        read(Params(query))  # type: ignore[operator]
    assert code(caught) == refused


def test_what_is_sent_well_is_read() -> None:
    params = Params(
        b"symbol=ETHBTC&limit=5000&startTime=1700000000000&endTime=1700000000000000&quantity=0.10&side=SELL"
    )
    assert params.symbol() == "ETHBTC"
    assert params.symbols() == ["ETHBTC"]
    assert params.limit(500, 1000) == 1000, "a larger limit is cut"
    assert params.time("startTime") == params.time("endTime") == 1_700_000_000_000, "microseconds are taken too"
    assert params.amount("quantity") == Decimal("0.10")
    assert params.one_of("side", Side, Refused(-1117, "")) is Side.SELL


@pytest.mark.parametrize("name", ["ETHUSDT", "1000SATSUSDT", "A-B_C.D", "\uff11\uff12\uff13", "\u5e01\u5b89USDT"])
def test_symbols_may_hold_letters_and_digits_of_any_script(name: str) -> None:
    assert Params(f"symbol={quote(name)}".encode()).symbol() == name


def test_yes_and_no_are_words_in_any_case() -> None:
    params = Params(b"a=true&b=FALSE&c=True")
    assert [params.flag(name) for name in "abcd"] == [True, False, True, False]


def test_what_is_not_sent_is_none() -> None:
    params = Params(b"")
    found = (params.symbols(), params.integer("orderId"), params.time("startTime"), params.amount("price"))
    assert found == (None, None, None, None)
    assert params.limit(500, 1000) == 500
