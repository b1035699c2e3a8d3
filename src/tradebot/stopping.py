"""The kill switch as a command: entries end at once; with `flatten` all that is held is left too, whoever trades."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence

from tradebot import modes
from tradebot.clock import SECOND, monotonic_ms
from tradebot.config import Settings
from tradebot.documents import SCHEMA, Document
from tradebot.errors import TradebotError, UsageError
from tradebot.holding import act, positions
from tradebot.lock import lock_is_free
from tradebot.market.signing import Credentials
from tradebot.progress import Progress
from tradebot.trading.halt import Switch, halt

PATIENCE_S = 90.0
"""Real seconds after which `flatten` tells what is still held, and ends."""

AGAIN_S = 1.0
"""Real seconds between two tries to leave what is held."""


def stop(settings: Settings, reason: str, *, flatten: bool = False) -> Document:
    """Refuse entries from now on, until `release`; what is held stays under the bot's care.

    Without a `reason` the one that was given before stays.
    """
    switch = Switch(settings.data_path)
    before = switch.state()
    reason = reason or (before.reason if before else "by hand")
    return {"schema": SCHEMA, "halt": switch.pull(halt(reason, _user(), flatten=flatten)).document()}


def release(settings: Settings) -> Document:
    """Let entries out again; `released` is the halt that was in force, null if there was none."""
    before = Switch(settings.data_path).release()
    return {"schema": SCHEMA, "halt": None, "released": before.document() if before else None}


async def flatten(settings: Settings, reason: str, progress: Progress, patience_s: float = PATIENCE_S) -> Document:
    """Refuse entries, and leave all that is held: by the loop that runs, or by ourselves under its lock.

    It is tried again until nothing is held or `patience_s` real seconds have passed; `positions` are what is left then,
    `warnings` why. A loop that runs, or is started later, goes on trying in every cycle until `release`.
    """
    document = stop(settings, reason, flatten=True) | {"orders": [], "warnings": []}
    until = monotonic_ms() + patience_s * SECOND
    held = most = _open(settings)
    while held:
        progress("closing", len(most) - len(held), len(most))
        try:
            answer = await act(settings, "close", (), _key(settings))
            document["orders"] += answer["orders"]
            document["warnings"] = answer["warnings"]
        except TradebotError as error:
            document["warnings"] = [str(error)]
        held = _open(settings)
        if not held or monotonic_ms() > until:
            break
        await asyncio.sleep(AGAIN_S)
    return document | {"positions": positions(settings)["positions"]}


def _open(settings: Settings) -> Sequence[Document]:
    """What is held and can be left, by the journal; dust cannot."""
    return [row for row in positions(settings)["positions"] if row["state"] != "dust"]


def _key(settings: Settings) -> Credentials | None:
    """The key to trade with, which a loop that runs has already. To leave real positions nobody need say --live."""
    try:
        return modes.permit(settings, live=settings.trading.mode == "live")
    except UsageError:
        if lock_is_free(settings):
            raise
        return None


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError, ImportError):  # an account without a name
        return socket.gethostname()
