"""The kill switch: a file in the data folder. While it is there nothing is entered.

It outlives processes and is asked before every entry. Whatever the file holds, it counts: `touch` is enough
to stop the trading, words in it are the reason, and one that is damaged or cannot be read stops it too.
Only its removal (`tradebot stop --release`) lets entries out again.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tradebot.clock import format_time, wall_ms
from tradebot.errors import TradingError

NAME = "stop"
"""The file's name in the data folder."""

RELEASE = "`tradebot stop --release`"
LONGEST = 500
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Halt:
    """Why nothing is entered, who wants it so, and since when (the machine's UTC ms; 0: not known).

    With `flatten` everything that is held is to be left as well.
    """

    reason: str
    who: str
    since: int
    flatten: bool = False

    def __str__(self) -> str:
        since = f" since {format_time(self.since)}" if self.since else ""
        return f"stopped{since} by {self.who}: {self.reason}"

    def document(self) -> dict[str, object]:
        """For `halt`."""
        return asdict(self)


class Switch:
    """The switch of a data folder, which is at `folder / NAME`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def state(self) -> Halt | None:
        """The halt in force; None while the switch is off."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(10 * LONGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Halt(f"{self.path} cannot be read ({error.strerror})", "unknown", 0)
        return _read(raw) or self._by_hand(raw)

    def _by_hand(self, raw: bytes) -> Halt:
        """What a file says that we have not written."""
        words = _words(raw.decode(errors="replace"))
        damaged = not words.isprintable() or words.startswith("{") or "\N{REPLACEMENT CHARACTER}" in words
        reason = f"{self.path} is damaged" if damaged else words or f"{self.path} is there"
        return Halt(reason, "unknown", 0)

    def pull(self, halt: Halt) -> Halt:
        """Stop the trading, for good until `release`; the halt in force. `TradingError` if it cannot be written.

        What was to be left stays so, whatever the new reason.
        """
        before = self.state()
        halt = Halt(_words(halt.reason), halt.who, halt.since, halt.flatten or bool(before and before.flatten))
        try:
            _replace(self.path, json.dumps({"schema": 1, **asdict(halt)}, ensure_ascii=False).encode())
        except OSError as error:
            raise TradingError(f"{self.path}: {error.strerror}; the trading is not stopped") from None
        return halt

    def release(self) -> Halt | None:
        """Let entries out again; what was in force. `TradingError` if the file cannot be removed."""
        before = self.state()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise TradingError(f"{self.path}: {error.strerror}; remove it by hand") from None
        return before


def halt(reason: str, who: str, *, flatten: bool = False) -> Halt:
    """A halt as of now."""
    return Halt(reason, who, wall_ms(), flatten)


def _words(text: str) -> str:
    """A reason on one line, not too long."""
    return " ".join(text.split())[:LONGEST]


def _read(raw: bytes) -> Halt | None:
    """What we have written; None for anything else."""
    try:
        found = json.loads(raw)
        told = Halt(found["reason"], found["who"], found["since"], found["flatten"])
        since = format_time(told.since)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
    known = isinstance(told.reason, str) and isinstance(told.who, str) and isinstance(told.flatten, bool)
    return told if known and since else None


def _replace(path: Path, content: bytes) -> None:
    """The file as a whole or as it was, whatever happens meanwhile."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
