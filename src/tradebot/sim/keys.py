"""Signed requests: key, timestamp, recvWindow and signature (HMAC or Ed25519) are really checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from tradebot.errors import ConfigError
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused, missing

# Known to everybody and good for nothing but the simulated exchange: not a secret.
PAPER_KEY = "PaperKeyOfTheSimulatedExchangeKnownToEverybodyAndWorthNothing000"
PAPER_SECRET = "PaperSecretOfTheSimulatedExchangeKnownToAllAndSoNotASecretAtAll0"  # noqa: S105

SIGNING = frozenset({"timestamp", "recvWindow", "signature"})
_KEY = re.compile(r"[A-Za-z0-9]{64}")
_PEM = "-----BEGIN PUBLIC KEY-----"
_WINDOW = 5_000
_LONGEST = 60_000
_AHEAD = 1_000


def payload(query: bytes, body: bytes) -> bytes:
    """What was signed: query string and body as sent, one after the other, without the signature."""
    parts = [b"&".join(p for p in part.split(b"&") if not p.startswith(b"signature=")) for part in (query, body)]
    return b"".join(parts)


def sign(secret: str, message: bytes) -> str:
    """HMAC-SHA256 of a payload, as lower-case hex."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def check_time(params: Params, now: int) -> None:
    """Timestamp and recvWindow against the venue's clock: at most 1 s ahead, at most the window behind."""
    params.must("timestamp")
    stamp = params.time("timestamp") or 0
    window = float(params.text("recvWindow", r"^[0-9]{1,20}(\.[0-9]{1,3})?$") or _WINDOW)
    if window > _LONGEST:
        raise Refused(-1131, f"'recvWindow' must be less than {_LONGEST}.")
    if stamp >= now + _AHEAD:
        raise Refused(-1021, f"Timestamp for this request was {_AHEAD}ms ahead of the server's time.")
    if now - stamp > window:
        raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(credentials: Mapping[str, str], key: str | None, params: Params, signed: bytes) -> None:
    """Key and signature of the payload `signed`.

    `credentials` hold for each API key its HMAC secret, or an Ed25519 public key as PEM: what begins
    with a PEM's first line is one, anything else is a secret, however long. `ConfigError` for a PEM of
    another kind.
    """
    if key is None or not _KEY.fullmatch(key):
        raise Refused(-2014, "API-key format invalid.", 401)
    if key not in credentials:
        raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    given = params.get("signature")
    if not given:
        raise missing("signature")
    credential = credentials[key]
    verified = _verified if credential.lstrip().startswith(_PEM) else _matches
    if not verified(credential, signed, given):
        raise Refused(-1022, "Signature for this request is not valid.")
    params.key = key


def _matches(secret: str, signed: bytes, given: str) -> bool:
    """An HMAC is hex in any case."""
    return hmac.compare_digest(sign(secret, signed).encode(), given.lower().encode())


def _verified(pem: str, signed: bytes, given: str) -> bool:
    """An Ed25519 signature is base64."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(pem.strip().encode())
    except ValueError:
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigError("a public key of the simulated exchange is no Ed25519 key in PEM")
    try:
        public.verify(base64.b64decode(given, validate=True), signed)
    except (InvalidSignature, ValueError):  # the latter for what is no base64
        return False
    return True
