"""What other processes ask of the one that trades: small files in the data folder, each answered beside it.

An errand is `NAME.asked`, `NAME.taken` from the moment at which the trading process has begun with it,
and then `NAME.done`, which the one who asked reads and removes. One that nobody takes in time, or whose
asker has given up, is never carried out later.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tradebot.clock import wall_ms
from tradebot.documents import Document
from tradebot.errors import TradingError

FOLDER = "errands"


@dataclass(frozen=True)
class Errand:
    """What is to be done with which symbols; none means all. `until` is the machine's UTC ms."""

    kind: str
    symbols: tuple[str, ...]
    until: int


class Asked:
    """An errand as the one who asked follows it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def answer(self) -> Document | None:
        """What came of it, once; None while nothing has."""
        done = self._path.with_suffix(".done")
        try:
            found: Document = json.loads(done.read_bytes())
        except FileNotFoundError:
            return None
        done.unlink(missing_ok=True)
        return found

    @property
    def waits(self) -> bool:
        """Whether nobody has begun with it."""
        return self._path.exists()

    def withdraw(self) -> bool:
        """Take it back; False if it is taken already, and so may still be carried out."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


class Errands:
    """The errands of a data folder. Trouble with the disk is a `TradingError`."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def ask(self, errand: Errand) -> Asked:
        """Leave an errand for the process that trades."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft = self._write({"kind": errand.kind, "symbols": errand.symbols, "until": errand.until})
            path = draft.with_suffix(".asked")
            draft.rename(path)
        except OSError as error:
            raise TradingError(f"{self._folder}: {error.strerror}; the running loop could not be asked") from None
        return Asked(path)

    def take(self) -> Iterator[tuple[Errand, Path]]:
        """Errands that wait, oldest first, each with the place of its answer; those out of time are removed."""
        with suppress(OSError):
            for path in sorted(self._folder.glob("*.asked"), key=lambda each: each.stat().st_mtime_ns):
                taken = path.with_suffix(".taken")
                try:
                    path.rename(taken)
                except FileNotFoundError:
                    continue  # withdrawn meanwhile
                errand = _read(taken)
                if errand is None or errand.until < wall_ms():
                    taken.unlink()
                    continue
                yield errand, taken

    def answer(self, taken: Path, answer: Document) -> None:
        """Tell what came of an errand. Where that cannot be written, the orders stand all the same."""
        with suppress(OSError):
            self._write(answer).rename(taken.with_suffix(".done"))
            taken.unlink(missing_ok=True)

    def _write(self, content: Document) -> Path:
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".draft")
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
        return Path(name)


def _read(path: Path) -> Errand | None:
    try:
        found = json.loads(path.read_bytes())
        return Errand(str(found["kind"]), tuple(map(str, found["symbols"])), int(found["until"]))
    except (ValueError, KeyError, TypeError):
        return None
