"""What went wrong, in our words: transport errors, refusals and odd replies of a Binance-like venue.

Pure functions. No message holds a URL, a key or a signature, so none holds text of the libraries.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Container, Mapping
from typing import Any

import httpx

from tradebot.clock import MINUTE, SECOND, format_time
from tradebot.errors import (
    BadReply,
    MarketError,
    OrderRejected,
    OrderUnknown,
    TradebotError,
    VenueBusy,
    VenueRejected,
    VenueUnreachable,
)
from tradebot.market import wire
from tradebot.market.usage import Traffic

CLOCK_CODES = {-1021, -5028}  # outside recvWindow: at the door, and in futures at the matching engine too
UNKNOWN_ORDER = -2013
CANCEL_REJECTED = -2011
NEW_ORDER_REJECTED = -2010
# The venue failed, or does not know itself what became of the request.
THROTTLED = -1008
AMBIGUOUS = {-1000, -1001, -1006, -1007, THROTTLED}
TOO_MANY_ORDERS = -1015
TOO_MANY = {-1003, TOO_MANY_ORDERS}
# Refused before the matching engine or by it: certainly not executed. Every other code is in doubt.
DEFINITE = {
    -1002, -1013, -1014, -1016, -1020, -1021, -1022, *range(-1108, -1099), -1111, -1112, *range(-1118, -1113),
    -1121, -1128, -1130, -1131, -1145, -2010, -2011, -2014, -2015, -2016, -2019, -2038, -2039,
    -4003, -4004, -4005, -4014, -4023, -4131, -4164, -4192, -5021, -5022, -5028,
}  # fmt: skip
DEFINITE_STATUS = {401, 404, 405, 451}
BUSY_STATUS = {403, 418, 429}
DEFAULT_WAIT_MS = {403: 5 * MINUTE, 418: 2 * MINUTE, 429: MINUTE}
THROTTLED_WAIT_MS = MINUTE
BACKEND_TIMEOUT = 408  # as futures say it
REMEDY = {
    401: "check the API key and its permissions",
    404: "is this the address of such a venue? see --base-url",
    451: "the venue does not serve this location; use another venue or address",
}
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_KEYS = re.compile(r"[A-Za-z0-9+/%]{40,}=*")  # keys and signatures, should they come back; client ids are shorter
_REASON: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "the encrypted connection failed"),
    (ConnectionRefusedError, "connection refused"),
    (socket.gaierror, "no such host"),
    (httpx.PoolTimeout, "no connection free in time"),
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.ConnectError, "no connection"),
    (httpx.TimeoutException, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (httpx.TransportError, "connection cut off"),
    (httpx.DecodingError, "an answer that cannot be unpacked"),
)


def unreachable(error: Exception, where: str) -> VenueUnreachable:
    """The failure of a transport. `sent` is False only where the request certainly never left."""
    sent = not isinstance(error, NOT_SENT)
    causes = (error.__cause__, error)
    reason = next((text for cause in causes for kind, text in _REASON if isinstance(cause, kind)), type(error).__name__)
    hint = "" if sent else "; is the venue up? see --base-url"
    return VenueUnreachable(f"{where}: {reason}{hint}", sent=sent)


def retry_after_ms(status: int, headers: Mapping[str, str], text: str, now: int) -> int:
    """Venue ms to keep silent: the header's seconds, else the text's `until`, else a cautious guess."""
    header = headers.get("retry-after", "")
    if header.isdigit():
        return int(header) * SECOND
    if banned := re.search(r"until (\d{13})", text):
        return max(SECOND, int(banned[1]) - now)
    return DEFAULT_WAIT_MS.get(status, 10 * SECOND)


def refused(status: int, headers: Mapping[str, str], reply: Any, where: str, now: int) -> MarketError:
    """The error of a reply that is not a success; `reply` is its parsed JSON, None if it is not JSON."""
    code, text = wire.refusal(reply)
    said = f"{where}: HTTP {status}" + (f", code {code}: {_KEYS.sub('…', text)[:200]}" if code else "")
    if status in BUSY_STATUS or code in TOO_MANY:
        wait = retry_after_ms(status, headers, text, now)
        return VenueBusy(f"{said}; asks for silence for {-(-wait // SECOND)} s", wait_ms=wait, status=status, code=code)
    if status >= 500 or status == BACKEND_TIMEOUT or code in AMBIGUOUS:
        return VenueUnreachable(f"{said}; the venue is in trouble", code=code)
    if not code and status not in DEFINITE_STATUS:
        return BadReply(f"{said}; {'redirected' if status < 400 else 'not in the words of the protocol'}")
    remedy = REMEDY.get(status)
    return VenueRejected(said + (f"; {remedy}" if remedy else ""), code=code, status=status)


def not_before(now: int, wait_ms: int, where: str) -> VenueBusy:
    """What is raised instead of asking; its words stay the same until the wait is over, so that they are said once."""
    until = format_time(now + wait_ms + SECOND // 2)
    return VenueBusy(f"{where}: its limit allows no request until {until} UTC", wait_ms=wait_ms, status=429)


def silence(error: MarketError) -> tuple[int, Traffic] | None:
    """For how many venue ms nothing more of which kind may be sent after `error`; None if all may."""
    if isinstance(error, VenueBusy):
        return error.wait_ms, Traffic.ORDER if error.code == TOO_MANY_ORDERS else Traffic.READ
    if isinstance(error, VenueUnreachable) and error.code == THROTTLED:
        return THROTTLED_WAIT_MS, Traffic.BULK
    return None


def order_failure(error: MarketError, client_id: str, refusals: Container[int] = ()) -> TradebotError:
    """What a failed order request means for the order.

    `OrderRejected` only where it certainly was not executed, as also the codes `refusals` say of this venue;
    `VenueBusy` and what was never sent stay as they are, for the same reason; everything else is `OrderUnknown`.
    """
    if isinstance(error, VenueBusy) or (isinstance(error, VenueUnreachable) and not error.sent):
        return error
    if isinstance(error, VenueRejected):
        # "Duplicate order sent.": an order of this id is open, and it may be ours.
        duplicate = error.code == NEW_ORDER_REJECTED and "duplicate" in str(error).lower()
        if not duplicate and (error.code in DEFINITE or error.code in refusals or error.status in DEFINITE_STATUS):
            return OrderRejected(str(error), code=error.code)
    return OrderUnknown(f"order {client_id}: outcome unknown: {error}")
