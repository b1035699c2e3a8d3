"""What went wrong, in our words."""

from __future__ import annotations

import inspect
import ssl
from typing import Any

import httpx
import pytest

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
from tradebot.market import failures

NOW = 1_516_406_400_000
WHERE = "binance at api.example"
TRANSPORT_ERRORS = [
    kind
    for _, kind in inspect.getmembers(httpx, inspect.isclass)
    if issubclass(kind, httpx.RequestError) and kind is not httpx.TooManyRedirects
]
NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}


@pytest.mark.parametrize("kind", TRANSPORT_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_httpx_says_whether_the_request_may_have_arrived(kind: type[httpx.RequestError]) -> None:
    error = failures.unreachable(kind("https://api.example/order?signature=5ec2e7"), WHERE)
    assert error.sent == (kind.__name__ not in NEVER_SENT)
    assert str(error).startswith(f"{WHERE}: ")
    assert "5ec2e7" not in str(error)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused; is the venue up? see --base-url"),
        (ssl.SSLError("bad certificate"), "the encrypted connection failed"),
        (None, "no connection"),
    ],
)
def test_the_cause_of_a_failed_connection_is_told(cause: Exception | None, reason: str) -> None:
    error = httpx.ConnectError("boom")
    error.__cause__ = cause
    assert reason in str(failures.unreachable(error, WHERE))


def refused(status: int, reply: Any = None, **headers: str) -> MarketError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failures.refused(status, httpx.Headers(named), reply, WHERE, NOW)


@pytest.mark.parametrize(
    ("status", "reply", "headers", "wait_ms"),
    [
        (429, {"code": -1003, "msg": "Too many requests."}, {"retry_after": "7"}, 7_000),
        (418, {"code": -1003, "msg": f"IP banned until {NOW + 90_000}."}, {}, 90_000),
        (418, {"code": -1003, "msg": f"IP banned until {NOW - 1}."}, {}, 1_000),
        (418, None, {"retry_after": "soon"}, 120_000),
        (429, None, {}, 60_000),
        (403, None, {}, 300_000),
        (400, {"code": -1015, "msg": "Too many new orders."}, {}, 10_000),
    ],
)
def test_a_venue_that_wants_silence_says_for_how_long(
    status: int, reply: Any, headers: dict[str, str], wait_ms: int
) -> None:
    error = refused(status, reply, **headers)
    assert isinstance(error, VenueBusy)
    assert (error.wait_ms, error.status) == (wait_ms, status)


@pytest.mark.parametrize(
    ("status", "reply", "kind"),
    [
        (500, None, VenueUnreachable),
        (503, {"code": -1000, "msg": "?"}, VenueUnreachable),
        (400, {"code": -1001, "msg": "DISCONNECTED"}, VenueUnreachable),
        (400, {"code": -1007, "msg": "Timeout"}, VenueUnreachable),
        (400, {"code": -1121, "msg": "Invalid symbol."}, VenueRejected),
        (401, None, VenueRejected),
        (404, None, VenueRejected),
        (451, {"code": 0, "msg": "restricted location"}, VenueRejected),
        (400, None, BadReply),
        (302, None, BadReply),
    ],
)
def test_each_status_and_code_has_its_class(status: int, reply: Any, kind: type[TradebotError]) -> None:
    assert type(refused(status, reply)) is kind


@pytest.mark.parametrize(("status", "remedy"), [(401, "API key"), (404, "--base-url"), (451, "location")])
def test_a_refusal_that_the_user_can_mend_says_how(status: int, remedy: str) -> None:
    assert remedy in str(refused(status))


def test_a_refusal_carries_the_venues_code_and_words() -> None:
    error = refused(400, {"code": -1013, "msg": "Filter failure: LOT_SIZE"})
    assert isinstance(error, VenueRejected)
    assert error.code == -1013
    assert str(error) == f"{WHERE}: HTTP 400, code -1013: Filter failure: LOT_SIZE"


@pytest.mark.parametrize("secret", ["k" * 64, "a1" * 32, "Ab%2B" * 18 + "%3D%3D", "Ab+/" * 22 + "=="])
def test_keys_and_signatures_that_come_back_are_not_told(secret: str) -> None:
    text = f"{secret} of ?x=1&signature={secret}&newClientOrderId=tb-1000SATSUSDT-5cveolgciu6fqgj3b4uw"
    said = str(refused(400, {"code": -1022, "msg": text}))
    assert said.endswith("… of ?x=1&signature=…&newClientOrderId=tb-1000SATSUSDT-5cveolgciu6fqgj3b4uw")


# The table of the facts, "executed?": no → rejected, unknown → unknown.
NO = (-1002, -1013, -1014, -1016, -1020, -1021, -1022, -1100, -1104, -1108, -1111, -1112, -1114, -1118, -1121, -1128)
NO_TOO = (-1130, -1131, -1145, -2010, -2011, -2014, -2015, -2016, -2019, -2038, -2039, -4164, -5021, -5028)
UNKNOWN = (-1000, -1001, -1006, -1007, -1008, -2013, -2021, -2022, -2026, -4116, -9999)


@pytest.mark.parametrize("code", NO + NO_TOO)
def test_an_order_refused_for_certain_is_rejected_with_its_code(code: int) -> None:
    error = failures.order_failure(refused(400, {"code": code, "msg": "no"}), "tb-1")
    assert isinstance(error, OrderRejected)
    assert error.code == code


def test_a_venue_may_have_refusals_of_its_own() -> None:
    error = refused(400, {"code": -2022, "msg": "ReduceOnly Order is rejected."})
    assert isinstance(failures.order_failure(error, "one"), OrderUnknown)
    assert isinstance(failures.order_failure(error, "one", {-2022}), OrderRejected)


@pytest.mark.parametrize("code", UNKNOWN)
def test_an_order_in_doubt_is_unknown(code: int) -> None:
    error = failures.order_failure(refused(400, {"code": code, "msg": "?"}), "tb-1")
    assert isinstance(error, OrderUnknown)
    assert "tb-1" in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        VenueUnreachable("cut off", sent=True),
        BadReply("html"),
        refused(502),
        refused(400),
        refused(400, {"code": -2010, "msg": "Duplicate order sent."}),
    ],
    ids=str,
)
def test_what_may_have_reached_the_matching_engine_is_unknown(fault: MarketError) -> None:
    assert isinstance(failures.order_failure(fault, "tb-1"), OrderUnknown)


@pytest.mark.parametrize("fault", [VenueUnreachable("refused", sent=False), refused(429), refused(418), refused(403)])
def test_what_never_reached_it_stays_what_it_is(fault: MarketError) -> None:
    assert failures.order_failure(fault, "tb-1") is fault


@pytest.mark.parametrize("status", [401, 404, 451])
def test_a_door_that_is_shut_lets_no_order_in(status: int) -> None:
    assert isinstance(failures.order_failure(refused(status), "tb-1"), OrderRejected)
