"""Keys, and the query string that is signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NoReturn, TypeAlias
from urllib.parse import quote

from tradebot.errors import ConfigError

Parameters: TypeAlias = Iterable[tuple[str, str | int]]
Sign: TypeAlias = Callable[[bytes], str]
PEM = "-----BEGIN"


class KeyKind(StrEnum):
    """How a key signs. Told, never guessed: an HMAC secret can be as long as the bytes of an Ed25519 key."""

    HMAC = "hmac"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An API key and what signs for it: an HMAC secret, or an Ed25519 private key in PEM. Never shown, never pickled.

    `ConfigError`, which shows nothing of it either, for a secret of another kind than said.
    """

    key: str
    secret: str
    kind: KeyKind = KeyKind.HMAC
    _sign: Sign = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sign", _SIGNERS[self.kind](self.secret))

    def __repr__(self) -> str:
        return "Credentials(key=…, secret=…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials do not leave the process")

    def sign(self, payload: str) -> str:
        """The signature of the query string, percent-encoded: HMAC-SHA256 in hex, or Ed25519 in base64."""
        return self._sign(payload.encode())


def _hmac(secret: str) -> Sign:
    if secret.lstrip().startswith(PEM):
        raise ConfigError('the secret is a PEM file, not an HMAC secret; set keys.kind = "ed25519"')
    return lambda message: hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def _ed25519(secret: str) -> Sign:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(secret.strip().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(
            'keys.kind is "ed25519", but the secret is not an Ed25519 private key in PEM without a password'
        )
    return lambda message: quote(base64.b64encode(private.sign(message)), safe="")


_SIGNERS: dict[KeyKind, Callable[[str], Sign]] = {KeyKind.HMAC: _hmac, KeyKind.ED25519: _ed25519}


def query(parameters: Parameters) -> str:
    """The query string, percent-encoded as it is both signed and sent."""
    return "&".join([f"{name}={_encoded(str(value))}" for name, value in parameters])


@lru_cache(maxsize=4096)  # symbols, intervals and times come again with each of some hundred requests
def _encoded(value: str) -> str:
    return quote(value, safe="")
