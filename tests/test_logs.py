"""What is hidden in logs, and what is not."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tradebot.logs import redacted
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET

KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SIGNATURE = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"GET /api/v3/account?timestamp=1&signature={SIGNATURE} HTTP/1.1", SIGNATURE),
        ("'/x?signature=a%2Fb%3D%3D', status=200", "a%2Fb%3D%3D"),
        (f"headers {{'X-MBX-APIKEY': '{PAPER_KEY}'}}", PAPER_KEY),
        (f"secret={PAPER_SECRET}", PAPER_SECRET),
        ("venue.base_url = 'https://me:pass@venue.test/x': no", "me:pass"),
        (f"could not read {PEM} from the file", PEM.splitlines()[1]),
        (f"could not read {PEM[:60]}", PEM.splitlines()[1][:20]),
    ],
    # Not by their text: a key made anew in every process would give every process other tests.
    ids=["signature", "encoded signature", "key", "secret", "address", "whole key file", "cut key file"],
)
def test_what_a_stranger_could_use_is_hidden(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert "…" in redacted(text)
    assert redacted(text)[:3] == text[:3]


@pytest.mark.parametrize(
    "text",
    [
        "BTCUSDT: no price",
        "binance@127.0.0.1:8080 of http://127.0.0.1:8080/a@b",
        f"model sha256 {SIGNATURE}",
        "tb-BTCUSDT-5cveolgciu6fqgj3b4uw",
        "z" * 63,
        "z" * 65,
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redacted(text) == text


def test_logs_and_their_exceptions_are_redacted() -> None:
    script = (
        "import logging\nfrom tradebot.logs import log_to_stderr\nlog_to_stderr('debug')\n"
        f"try:\n    raise ValueError('key {PAPER_KEY}')\n"
        f"except ValueError:\n    logging.getLogger('x').exception('secret %s', '{PAPER_SECRET}')\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True).stderr
    assert "Traceback" in told
    assert "ERROR x: secret …" in told
    assert "ValueError: key …" in told
    assert PAPER_SECRET not in told


def test_libraries_that_log_addresses_are_quiet() -> None:
    import tradebot.market.binance  # noqa: F401

    assert logging.getLogger("httpx").getEffectiveLevel() >= logging.WARNING
