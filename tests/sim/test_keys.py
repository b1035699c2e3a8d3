from __future__ import annotations

import base64
import re
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from exchanging import NOW

from tradebot.errors import ConfigError
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET, check_signature, check_time, payload, sign
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused

# The venue's own worked example.
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
QUERY = (
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
SIGNED = QUERY + b"&signature=" + SIGNATURE.encode()


def check(query: bytes, body: bytes = b"", key: str | None = KEY) -> None:
    check_signature({KEY: SECRET}, key, Params(query, body), payload(query, body))


def refused(query: bytes, key: str | None = KEY) -> tuple[int, int]:
    with pytest.raises(Refused) as caught:
        check(query, key=key)
    return caught.value.code, caught.value.status


def test_the_venues_example_is_accepted_wherever_it_is_put() -> None:
    check(SIGNED)
    check(b"", SIGNED)
    check(QUERY + b"&signature=" + SIGNATURE.upper().encode())


def test_query_and_body_are_signed_one_after_the_other_with_nothing_between() -> None:
    query, body = b"symbol=LTCBTC&side=BUY", b"quantity=1"
    check(query, body + b"&signature=" + sign(SECRET, query + body).encode())
    with pytest.raises(Refused):
        check(query, body + b"&signature=" + sign(SECRET, query + b"&" + body).encode())


def test_symbols_beyond_ascii_are_signed_as_they_are_sent() -> None:
    query = QUERY.replace(b"LTCBTC", b"%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96")
    assert sign(SECRET, query) == "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"


def test_one_changed_byte_is_refused() -> None:
    assert refused(SIGNED.replace(b"quantity=1", b"quantity=2")) == (-1022, 400)
    assert refused(SIGNED[:-1] + b"2") == (-1022, 400)
    assert refused(SIGNED + "ä".encode()) == (-1022, 400)


def test_an_ed25519_key_is_told_by_its_pem_and_never_by_its_length() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def check_with(credential: str, signature: bytes) -> None:
        query = QUERY + b"&signature=" + quote(signature, safe="").encode()
        check_signature({KEY: credential}, KEY, Params(query), payload(query, b""))

    signature = base64.b64encode(private.sign(QUERY))
    check_with(pem, signature)
    for wrong in (
        base64.b64encode(private.sign(QUERY + b"1")),
        signature.lower(),
        b"%%%",
        "ä".encode(),
        SIGNATURE.encode(),
    ):
        with pytest.raises(Refused, match="-1022"):
            check_with(pem, wrong)
    with pytest.raises(Refused, match="-1022"):
        check_with("x" * 32, signature)
    with pytest.raises(ConfigError, match="Ed25519"):
        check_with("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", signature)


def test_who_signed_is_known_then() -> None:
    params = Params(SIGNED)
    assert params.key == ""
    check_signature({KEY: SECRET}, KEY, params, payload(SIGNED, b""))
    assert params.key == KEY


def test_keys_are_checked_for_form_and_then_for_being_known() -> None:
    assert refused(SIGNED, None) == (-2014, 401)
    assert refused(SIGNED, "short") == (-2014, 401)
    assert refused(SIGNED, "x" * 64) == (-2015, 401)


def test_a_signature_is_mandatory() -> None:
    assert refused(QUERY) == (-1102, 400)


def test_the_paper_pair_looks_like_a_pair_of_the_venue() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{64}", PAPER_KEY)
    assert re.fullmatch(r"[A-Za-z0-9]{64}", PAPER_SECRET)


@pytest.mark.parametrize(
    ("ahead", "window"),
    [(0, None), (999, None), (-5000, None), (-5001, "6000"), (-60_000, "60000"), (-5, "5.5"), (999, "1")],
)
def test_timestamps_within_the_window_pass(ahead: int, window: str | None) -> None:
    query = f"timestamp={NOW + ahead}" + (f"&recvWindow={window}" if window else "")
    check_time(Params(query.encode()), NOW)
    check_time(Params(query.replace(f"{NOW + ahead}", f"{NOW + ahead}000").encode()), NOW)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"timestamp={NOW + 1000}", -1021),
        (f"timestamp={NOW + 1000}&recvWindow=60000", -1021),
        (f"timestamp={NOW - 5001}", -1021),
        (f"timestamp={NOW - 5}&recvWindow=4", -1021),
        (f"timestamp={NOW // 1000}", -1021),
        ("", -1102),
        ("timestamp=yesterday", -1100),
        (f"timestamp={NOW}&recvWindow=60001", -1131),
        (f"timestamp={NOW}&recvWindow=6000000", -1131),
        (f"timestamp={NOW}&recvWindow=-1", -1100),
    ],
)
def test_others_are_refused(query: str, code: int) -> None:
    with pytest.raises(Refused) as caught:
        check_time(Params(query.encode()), NOW)
    assert caught.value.code == code
