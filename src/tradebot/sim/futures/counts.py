"""How many orders an account has sent: limits in fixed windows of the venue's time, told by its own books."""

from __future__ import annotations

from collections.abc import Mapping

from tradebot.clock import MINUTE, SECOND
from tradebot.sim.counts import Window
from tradebot.sim.futures.ledger import Ledger
from tradebot.sim.refusals import Refused

WINDOWS = (Window("SECOND", 10, 10 * SECOND, 300, "10S"), Window("MINUTE", 1, MINUTE, 1_200, "1M"))


def used(ledger: Ledger, now: int) -> Mapping[Window, int]:
    """What counts in the windows that hold `now`: orders and algo orders as they came in, filled or not."""
    return {each: ledger.sent(now - now % each.length) for each in WINDOWS}


def check(ledger: Ledger, now: int) -> None:
    """`Refused` -1015 with 429 and Retry-After, if one more would be too many."""
    for each, count in used(ledger, now).items():
        if count >= each.limit:
            wait = -(-(each.length - now % each.length) // SECOND)
            text = f"Too many new orders; current limit is {each.limit} orders per {each.number} {each.interval}."
            raise Refused(-1015, text, 429, {"Retry-After": str(wait)})


def headers(ledger: Ledger, now: int) -> dict[str, str]:
    """The counts as replies to orders carry them."""
    return {f"X-MBX-ORDER-COUNT-{each.suffix}": str(count) for each, count in used(ledger, now).items()}
