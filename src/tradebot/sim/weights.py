"""Request weight per client address and calendar minute of the venue's time."""

from __future__ import annotations

from tradebot.clock import MINUTE, SECOND
from tradebot.sim.refusals import Refused

LIMIT = 6_000


class Weights:
    """Counts weight; a client that passes the limit waits for the next minute."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._minute = 0
        self._used: dict[str, int] = {}

    def add(self, client: str, weight: int, now: int) -> int:
        """Count `weight` for a client and return what it has used in this minute."""
        minute = now // MINUTE
        if minute != self._minute:
            self._minute, self._used = minute, {}
        self._used[client] = used = self._used.get(client, 0) + weight
        return used

    def check(self, used: int, now: int) -> None:
        """`Refused` 429 with Retry-After (venue seconds) once more than the limit is used."""
        if used > self.limit:
            wait = -(-(MINUTE - now % MINUTE) // SECOND)
            text = (
                f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API."
            )
            raise Refused(-1003, text, 429, {"Retry-After": str(wait)})
