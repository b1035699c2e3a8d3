"""Keys, and the query string that is signed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

Parameters: TypeAlias = Iterable[tuple[str, str | int]]
# Characters that aiohttp sends bare however they are written; what is signed must be what is sent.
BARE = "!$()*,/:?@"


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An API key and its HMAC secret; never shown."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(key=…, secret=…)"

    def sign(self, payload: str) -> str:
        """HMAC-SHA256 of the query string, in hexadecimal."""
        return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def query(parameters: Parameters) -> str:
    """The query string, percent-encoded in the one way that no library on the way writes anew."""
    return "&".join(f"{name}={quote(str(value), safe=BARE)}" for name, value in parameters)
