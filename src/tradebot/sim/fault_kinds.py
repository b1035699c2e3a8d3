"""Faults of requests: what a client meets on its way to the exchange and back."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import orjson
from pydantic import Field, model_validator

from tradebot.clock import DAY, MINUTE, SECOND
from tradebot.sim.faults import Headers, Outcome, Reply, RequestFault, Strike, Wire, fault

JSON: Headers = (("content-type", "application/json;charset=UTF-8"),)
HTML: Headers = (("content-type", "text/html; charset=utf-8"),)
LONGEST_MS = 10 * MINUTE  # of what keeps real connections and tasks waiting
LONGEST_BAN_S = 3 * DAY // SECOND  # as at the venue
# Code and text of HTTP 503: what became of the request is not known after the first, nothing after the others.
UNAVAILABLE = {
    "unknown": (-1000, "Unknown error, please check your request or try again later."),
    "unavailable": (0, "Service Unavailable."),
    "internal": (-1001, "Internal error; unable to process your request. Please try again."),
    "throttled": (-1008, "Request throttled by system-level protection. Please try again."),
}

LIMITS = {
    "weight": (-1003, "Too much request weight used; please use WebSocket Streams for live updates."),
    "orders": (-1015, "Too many new orders; current limit is 100 orders per 10 SECOND."),
}


def refusal(status: int, code: int, text: str, headers: Headers = ()) -> Reply:
    """A refusal in the protocol's words."""
    return Reply(status, JSON + headers, orjson.dumps({"code": code, "msg": text}))


def page(status: int, title: str) -> Reply:
    """What a firewall or a proxy in front of the exchange answers."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Reply(status, HTML, body.encode())


@fault("latency")
class Latency(RequestFault):
    """The reply comes late, after the request was carried out."""

    decides: ClassVar[bool] = False
    ms: float = Field(0.0, ge=0, le=LONGEST_MS, description="Delay, real ms.")
    jitter_ms: float = Field(0.0, ge=0, le=LONGEST_MS, description="Up to so much more, at random.")

    def outcome(self, strike: Strike) -> Outcome:
        """A delay, by luck longer."""
        return Outcome(delay_ms=self.ms + self.jitter_ms * strike.luck)


@fault("refused")
class Refused(RequestFault):
    """Nobody listens: connecting is refused. Over a network only `since` and `until` can foresee a connection;
    a request that is met by other keys finds its connection reset, and who connects within `ms` is refused.
    """

    real: ClassVar[bool] = True
    ms: float = Field(
        0.0, ge=0, le=LONGEST_MS, description="So many real ms from the first such moment on; 0: only while it applies."
    )

    @property
    def lasts_ms(self) -> float:
        """How long the door stays closed, real ms."""
        return self.ms

    @property
    def most(self) -> int:
        """With `ms` it happens once."""
        return self.times or (1 if self.nth or self.ms else 0)

    @property
    def foreseen(self) -> bool:
        """Whether it follows from the time alone, whatever is asked."""
        return self == type(self)(since=self.since, until=self.until, ms=self.ms)

    def outcome(self, strike: Strike) -> Outcome:
        """No connection, and so no request."""
        return Outcome(executed=False, wire=Wire.REFUSED)


@fault("dropped")
class Dropped(RequestFault):
    """The connection is lost before the request is taken: nothing was executed."""

    how: Literal["close", "reset"] = Field("close", description="An orderly end without a reply, or a reset.")

    def outcome(self, strike: Strike) -> Outcome:
        """No reply to a request that was never taken."""
        return Outcome(executed=False, wire=_lost(self.how))


@fault("executed-dropped")
class ExecutedDropped(RequestFault):
    """The request is carried out, then the connection is lost: the reply never comes."""

    how: Literal["close", "reset"] = Field("close", description="An orderly end without a reply, or a reset.")
    later_ms: float = Field(0.0, ge=0, le=LONGEST_MS, description="Carried out only so many real ms after the loss.")

    def outcome(self, strike: Strike) -> Outcome:
        """The deed without the reply."""
        return Outcome(wire=_lost(self.how), later_ms=self.later_ms)


def _lost(how: str) -> Wire:
    return Wire.CLOSED if how == "close" else Wire.RESET


@fault("limited")
class Limited(RequestFault):
    """HTTP 429 with Retry-After; nothing was executed."""

    seconds: int = Field(10, ge=1, le=LONGEST_BAN_S, description="Retry-After, venue seconds.")
    what: Literal["weight", "orders"] = Field("weight", description="Too much of what: code -1003 or -1015.")

    def outcome(self, strike: Strike) -> Outcome:
        """The refusal alone."""
        code, text = LIMITS[self.what]
        reply = refusal(429, code, text, (("retry-after", str(self.seconds)),))
        return Outcome(executed=False, reply=reply)


@fault("banned")
class Banned(RequestFault):
    """HTTP 418, code -1003 and 'IP banned until …': from the first request that meets it until the end of the ban
    in venue time every request is refused.
    """

    seconds: int = Field(120, ge=1, le=LONGEST_BAN_S, description="Length of the ban, venue seconds.")
    header: bool = Field(True, description="Whether Retry-After is sent too; without it only the text tells the end.")

    @property
    def lasts_ms(self) -> float:
        """The length of the ban, venue ms."""
        return float(self.seconds * SECOND)

    def outcome(self, strike: Strike) -> Outcome:
        """The refusal; Retry-After counts down to the end of the ban."""
        text = (
            f"Way too much request weight used; IP banned until {strike.now + strike.left_ms:.0f}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        seconds = str(math.ceil(strike.left_ms / SECOND))
        return Outcome(executed=False, reply=refusal(418, -1003, text, (("retry-after", seconds),) * self.header))


@fault("backend-timeout")
class BackendTimeout(RequestFault):
    """HTTP 503 with code -1007: the exchange does not know what became of the request."""

    executed: bool = Field(False, description="Whether the request was carried out.")

    def outcome(self, strike: Strike) -> Outcome:
        """A reply that leaves it open what was done."""
        text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        return Outcome(executed=self.executed, reply=refusal(503, -1007, text))


@fault("server-error")
class ServerError(RequestFault):
    """Another HTTP 5XX, as JSON with a code or, for code 0, as a proxy's HTML."""

    status: int = Field(500, ge=500, le=599, description="HTTP status.")
    code: int = Field(-1000, le=0, description="-1000, -1001, -1006 …; 0: HTML without a code.")
    executed: bool = Field(False, description="Whether the request was carried out.")

    def outcome(self, strike: Strike) -> Outcome:
        """A reply that leaves it open what was done."""
        text = {
            -1001: "Internal error; unable to process your request. Please try again.",
            -1006: "An unexpected response was received from the message bus. Execution status unknown.",
        }
        said = text.get(self.code, "An unknown error occurred while processing the request.")
        reply = refusal(self.status, self.code, said) if self.code else page(self.status, "Bad Gateway")
        return Outcome(executed=self.executed, reply=reply)


@fault("unavailable")
class Unavailable(RequestFault):
    """HTTP 503 in one of the venue's texts, told apart by nothing but the text."""

    says: Literal["unknown", "unavailable", "internal", "throttled"] = Field(
        "unavailable", description="unknown: may have been executed; the others: certainly not."
    )
    executed: bool = Field(False, description="Whether the request was carried out; only with `unknown`.")

    @model_validator(mode="after")
    def _honest(self) -> Unavailable:
        if self.executed and self.says != "unknown":
            raise ValueError(f"a request that is answered '{self.says}' was certainly not executed")
        return self

    def outcome(self, strike: Strike) -> Outcome:
        """The text, and what it stands for."""
        return Outcome(executed=self.executed, reply=refusal(503, *UNAVAILABLE[self.says]))


@fault("forbidden")
class Forbidden(RequestFault):
    """HTTP 403 with HTML, as a firewall in front of the exchange answers."""

    def outcome(self, strike: Strike) -> Outcome:
        """The page alone."""
        return Outcome(executed=False, reply=page(403, "ERROR: The request could not be satisfied"))


@fault("restricted")
class Restricted(RequestFault):
    """HTTP 451: the venue does not serve this location."""

    def outcome(self, strike: Strike) -> Outcome:
        """The refusal alone."""
        text = "Service unavailable from a restricted location according to 'b. Eligibility' in the terms."
        return Outcome(executed=False, reply=refusal(451, 0, text))


@fault("html")
class Html(RequestFault):
    """An HTML page with HTTP 200 in place of the reply."""

    executed: bool = Field(False, description="Whether the request was carried out.")

    def outcome(self, strike: Strike) -> Outcome:
        """The page, after the deed if there is one."""
        return Outcome(executed=self.executed, reply=page(200, "Checking your browser"))


@fault("truncated")
class Truncated(RequestFault):
    """The request is carried out, but the reply's body ends too early."""

    share: float = Field(0.5, ge=0, lt=1, description="How much of the body comes.")
    clean: bool = Field(False, description="The headers agree with the short body; else the connection is lost in it.")

    def outcome(self, strike: Strike) -> Outcome:
        """The beginning of the true reply."""
        return Outcome(wire=Wire.WHOLE if self.clean else Wire.CUT, share=self.share)


@fault("slow-body")
class SlowBody(RequestFault):
    """The reply's body comes in pieces with pauses."""

    decides: ClassVar[bool] = False
    pieces: int = Field(4, ge=2, le=1000, description="How many.")
    pause_ms: float = Field(20.0, ge=0, le=LONGEST_MS, description="Before each piece, real ms.")

    @model_validator(mode="after")
    def _ends(self) -> SlowBody:
        if self.pieces * self.pause_ms > LONGEST_MS:
            raise ValueError("all pauses together last longer than 10 minutes")
        return self

    def outcome(self, strike: Strike) -> Outcome:
        """The true reply in pieces."""
        return Outcome(pieces=self.pieces, pause_ms=self.pause_ms)
