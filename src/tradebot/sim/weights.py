"""Request weight per client address and calendar minute of the venue's time, and bans of those who do not stop."""

from __future__ import annotations

from tradebot.clock import DAY, MINUTE, SECOND
from tradebot.sim.refusals import Refused

LIMIT = 6_000
PATIENCE = 100  # refused requests in a minute, which may have been under way already; one more is a ban
_SHORTEST, _LONGEST = 2 * MINUTE, 3 * DAY


class Weights:
    """Counts weight; a client that passes the limit waits for the next minute.

    One that goes on asking nevertheless is banned: for two minutes, and twice as long each further time.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._minute = 0
        self._used: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._bans: dict[str, tuple[int, int]] = {}  # how many, and when the last one ends

    def add(self, client: str, weight: int, now: int) -> int:
        """Count `weight` for a client and return what it has used in this minute."""
        minute = now // MINUTE
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, {}, {}
        self._used[client] = used = self._used.get(client, 0) + weight
        return used

    def check(self, client: str, now: int) -> None:
        """`Refused` 429 once more than the limit is used, 418 while banned; Retry-After is in venue seconds."""
        bans, until = self._bans.get(client, (0, 0))
        if now >= until and self._used.get(client, 0) <= self.limit:
            return
        self._refused[client] = refused = self._refused.get(client, 0) + 1
        if now >= until and refused > PATIENCE:
            bans, until = bans + 1, now + min(_SHORTEST << bans, _LONGEST)
            self._bans[client] = bans, until
        if now < until:
            text = f"Way too much request weight used; IP banned until {until}. {_ADVICE} bans."
            raise Refused(-1003, text, 418, _after(until - now))
        limit = f"current limit is {self.limit} request weight per 1 MINUTE"
        text = f"Too much request weight used; {limit}. {_ADVICE} polling the API."
        raise Refused(-1003, text, 429, _after(MINUTE - now % MINUTE))


_ADVICE = "Please use WebSocket Streams for live updates to avoid"


def _after(wait: int) -> dict[str, str]:
    return {"Retry-After": str(-(-wait // SECOND))}
