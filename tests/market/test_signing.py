"""Keys and signatures."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest
import yarl

from tradebot.market.signing import Credentials, query

OFFICIAL = Credentials("public-key", "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")


def test_the_official_example_is_signed_as_the_venue_signs_it() -> None:
    parameters = [
        ("symbol", "LTCBTC"), ("side", "BUY"), ("type", "LIMIT"), ("timeInForce", "GTC"), ("quantity", "1"),
        ("price", "0.1"), ("recvWindow", 5000), ("timestamp", 1499827319559),
    ]  # fmt: skip
    expected = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert OFFICIAL.sign(query(parameters)) == expected
    wide = [("symbol", "\uff11\uff12\uff13\uff14\uff15\uff16"), *parameters[1:]]
    assert OFFICIAL.sign(query(wide)) == "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "１２３", "a.b:c/d-e_f", "a b&c=d%e+f"])
def test_a_query_passes_through_the_libraries_unchanged(symbol: str) -> None:
    sent = query([("symbol", symbol)])
    url = str(yarl.URL(str(httpx.URL(f"http://venue.test/x?{sent}"))))
    assert url.partition("?")[2] == sent
    assert parse_qsl(sent) == [("symbol", symbol)]


def test_a_key_is_never_shown() -> None:
    assert OFFICIAL.secret not in f"{OFFICIAL!r} {OFFICIAL}"
    assert "public-key" not in f"{OFFICIAL!r} {OFFICIAL}"
