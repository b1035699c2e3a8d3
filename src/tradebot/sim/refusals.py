"""What the simulated exchange says no with: the venue's codes, texts and HTTP statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tradebot.errors import TradebotError


class Refused(TradebotError):
    """A request that is refused: `code`, `text` and, where there is some, `data` are the body.

    `status` and `headers` are HTTP's.
    """

    def __init__(
        self, code: int, text: str, status: int = 400, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.headers = dict(headers or {})
        self.data = data

    def body(self) -> dict[str, Any]:
        """The body of the reply."""
        return {"code": self.code, "msg": self.text} | ({} if self.data is None else {"data": self.data})


def neither(first: str, second: str) -> Refused:
    """Of two parameters one has to be sent."""
    return Refused(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def missing(name: str) -> Refused:
    """A mandatory parameter is not there."""
    return Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> Refused:
    """A parameter holds characters that it may not hold."""
    return Refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str) -> Refused:
    """A parameter is well formed but out of range."""
    return Refused(-1130, f"Data sent for parameter '{name}' is not valid.")


def overflowed(name: str) -> Refused:
    """A number that is larger than the venue can count."""
    return Refused(-1108, f"Parameter '{name}' overflowed.")


def unneeded(name: str) -> Refused:
    """A parameter that this request does not use."""
    return Refused(-1106, f"Parameter '{name}' sent when not required.")


def unknown_symbol() -> Refused:
    """No such symbol."""
    return Refused(-1121, "Invalid symbol.")


def no_such(path: str, method: str, status: int) -> Refused:
    """A path (404) or a method of one (405) that the exchange does not have."""
    return Refused(-5000, f"Path {path}, Method {method} is invalid", status)


def filtered(name: str) -> Refused:
    """An order that breaks a rule of its symbol; `name` is the filter's."""
    return Refused(-1013, f"Filter failure: {name}")


def rejected(reason: str) -> Refused:
    """An order that the matching engine turns away."""
    return Refused(-2010, reason)


INSUFFICIENT = "Account has insufficient balance for requested action."
CLOSED = "Market is closed."
DUPLICATE = "Duplicate order sent."
