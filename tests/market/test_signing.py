"""Keys and signatures."""

from __future__ import annotations

import base64
import pickle
from urllib.parse import parse_qsl

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tradebot.errors import ConfigError
from tradebot.market.signing import Credentials, KeyKind, query

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


@pytest.mark.parametrize("symbol", ["BTCUSDT", "１２３", "a.b:c/d-e_f", "a b&c=d%e+f", '["A",1]~*'])
def test_a_query_is_sent_as_it_was_signed(symbol: str) -> None:
    sent = query([("symbol", symbol)])
    assert httpx.URL(f"http://venue.test/x?{sent}").raw_path == f"/x?{sent}".encode()
    assert parse_qsl(sent) == [("symbol", symbol)]


def test_a_key_is_never_shown() -> None:
    assert OFFICIAL.secret not in f"{OFFICIAL!r} {OFFICIAL}"
    assert OFFICIAL.key not in f"{OFFICIAL!r} {OFFICIAL}"


PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_an_ed25519_signature_is_base64_that_arrives_whole() -> None:
    signature = Credentials("public-key", PEM, KeyKind.ED25519).sign("symbol=BTCUSDT&timestamp=1")
    ((_, received),) = parse_qsl(httpx.URL(f"http://venue.test/x?signature={signature}").query.decode())
    PRIVATE.public_key().verify(base64.b64decode(received, validate=True), b"symbol=BTCUSDT&timestamp=1")


@pytest.mark.parametrize(
    ("secret", "kind"),
    [(PEM, KeyKind.HMAC), (OFFICIAL.secret, KeyKind.ED25519), (PEM.replace("M", "N"), KeyKind.ED25519)],
    ids=["a PEM for HMAC", "an HMAC secret for Ed25519", "a damaged PEM"],
)
def test_a_secret_of_another_kind_is_refused_without_being_shown(secret: str, kind: KeyKind) -> None:
    with pytest.raises(ConfigError, match=r"keys\.kind") as refused:
        Credentials("public-key", secret, kind)
    assert not any(line in str(refused.value) for line in secret.splitlines())


def test_a_key_stays_in_its_process() -> None:
    with pytest.raises(TypeError, match="do not leave"):
        pickle.dumps(OFFICIAL)
