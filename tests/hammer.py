"""A process that asks a venue for klines as fast as its budget lets it: `hammer.py URL FOLDER SHARE`.

It prints a JSON line for each minute of the venue's clock: how many replies it got before something
held it up, and what that was (`code` 0: its own budget, else the venue's refusal).
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tradebot.clock import MINUTE
from tradebot.config import load
from tradebot.errors import VenueBusy
from tradebot.session import Session, open_session

AT_ONCE = 10


async def burst(session: Session) -> dict[str, Any]:
    """Ask until the first refusal."""
    symbol, now, asked = next(iter(session.instruments)), session.clock.now(), 0
    while True:
        asking = [session.feed.klines(symbol, "5m", None, 1) for _ in range(AT_ONCE)]
        replies = await asyncio.gather(*asking, return_exceptions=True)
        held_up = [each for each in replies if isinstance(each, BaseException)]
        asked += len(replies) - len(held_up)
        if held_up:
            codes = [each.code for each in held_up if isinstance(each, VenueBusy)]
            assert len(codes) == len(held_up), held_up
            return {"minute": now // MINUTE, "asked": asked, "code": min(codes)}


async def main(url: str, folder: str, share: str) -> None:
    keys = {
        "venue.name": "binance", "venue.base_url": url, "venue.retries": 0, "venue.weight_share": share,
        "data_dir": folder,
    }  # fmt: skip
    settings = load(None, {key: ("hammer", value) for key, value in keys.items()}, {})
    async with open_session(settings) as session:
        while True:
            found = await burst(session)
            print(json.dumps(found), flush=True)
            await session.clock.sleep_until((session.clock.now() // MINUTE + 1) * MINUTE)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
