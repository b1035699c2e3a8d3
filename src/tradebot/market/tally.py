"""Where the usage of a venue's limits is kept: in memory, or in a file that processes share.

The file is one line of JSON, changed under a lock that the kernel releases when its holder dies.
Whatever is wrong with it is told once, and the process then counts by itself: a venue's own counter
still keeps it within the limits.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from tradebot.market.usage import LONGEST_SILENCE, Silence, Traffic, Usage, Window

log = logging.getLogger(__name__)
Change: TypeAlias = Callable[[Usage], Usage]
VERSION = 1
SIZE = 1_024  # of the file, whatever it holds: one write replaces it all
LATEST = 10**14
TRIES, PAUSE_S = 100, 0.0002  # others hold the lock for microseconds


class Tally:
    """Usage in memory; `usage` is what is known of it."""

    def __init__(self) -> None:
        self.usage = Usage()

    def update(self, change: Change) -> Usage:
        """Replace the usage by `change` of it; the new one."""
        self.usage = change(self.usage)
        return self.usage

    def stands(self) -> bool:
        """Whether `usage` is still all that is known: nobody else has changed it since the last `update`."""
        return True

    def close(self) -> None:
        """Close what is open."""


def encode(usage: Usage) -> bytes:
    """The content of a file."""
    document = {
        "version": VERSION,
        "ahead": usage.ahead,
        "own_time": usage.own_time,
        "silences": [list(each) for each in usage.silences],
        "windows": [list(each) for each in usage.windows],
    }
    return orjson.dumps(document).ljust(SIZE - 1) + b"\n"


def decode(raw: bytes) -> Usage:
    """The inverse of `encode`; `ValueError` for anything else."""
    document = orjson.loads(raw)
    try:
        if document["version"] != VERSION:
            raise ValueError(f"of version {document['version']}")
        silences = tuple([Silence(*map(_time, each)) for each in document["silences"]])
        windows = tuple([_window(*each) for each in document["windows"]])
        usage = Usage(
            windows, silences, _time(abs(document["ahead"])) and document["ahead"], bool(document["own_time"])
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not written by this program ({type(error).__name__})") from None
    if len(silences) != len(Traffic) or any(each.length > LONGEST_SILENCE for each in silences):
        raise ValueError("silences that cannot be")
    return usage


def _time(value: Any) -> int:
    if type(value) is not int or not 0 <= value < LATEST:
        raise ValueError(f"{value!r} is no time")
    return value


def _window(what: Any, *numbers: Any) -> Window:
    length, most, begin, used = map(_time, numbers)
    if not isinstance(what, str) or not length:
        raise ValueError("a limit that cannot be")
    return Window(what, length, most, begin, used)


_told: dict[str, str] = {}  # why a file cannot be used, so that a process with several clients says it once


class FileTally(Tally):
    """Usage in the file `path`, shared with other processes; its folder is made if need be. Raises nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._name = path, str(path)
        self._fd = -1
        self._inode = 0
        self._raw = b""
        self._tries = TRIES
        self.update(lambda usage: usage)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def update(self, change: Change) -> Usage:
        locked = self._lock()
        try:
            if locked:
                self._read()
            before = self.usage
            super().update(change)
            if locked and self.usage is not before:
                self._write()
        finally:
            if locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        return self.usage

    def stands(self) -> bool:
        try:  # without the lock: what is being written is not what was read either
            return self._fd >= 0 and os.pread(self._fd, SIZE + 1, 0) == self._raw
        except OSError:
            return False

    def _alone(self, reason: object) -> None:
        """Tell, once for each reason, that others are not counted."""
        if _told.get(self._name) != str(reason):
            _told[self._name] = str(reason)
            log.warning("%s: %s; requests of other processes are not counted", self._path, reason)

    def _lock(self) -> bool:
        """Whether the lock could be had; it is tried for 20 ms, and then no longer than an instant."""
        try:
            self._open()
        except OSError as error:
            self._alone(error.strerror)
            return False
        for _ in range(self._tries):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                select.select((), (), (), PAUSE_S)
            except OSError as error:
                self._alone(error.strerror)
                return False
            else:
                self._tries = TRIES
                return True
        self._tries = 1
        self._alone("locked by a process that does not go on")
        return False

    def _open(self) -> None:
        """Open the file, anew if somebody has removed or replaced it."""
        if self._fd >= 0:
            try:
                if os.stat(self._name).st_ino == self._inode:  # noqa: PTH116 (half the time of Path's)
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._inode, self._raw = os.fstat(self._fd).st_ino, b""

    def _read(self) -> None:
        """Take in what the file holds; of what cannot be read a copy is kept, and it is written anew."""
        try:
            raw = os.pread(self._fd, SIZE + 1, 0)
            if raw and raw != self._raw:
                self.usage, self._raw = decode(raw), raw
        except OSError as error:
            self._alone(error.strerror)
        except ValueError as error:
            kept = self._path.with_name(f"{self._path.name}.damaged")
            self._raw = b""
            log.warning("%s: %s; begun anew, the old content is in %s", self._path, error, kept.name)
            try:
                kept.write_bytes(raw)
            except OSError as failure:
                log.warning("%s: %s", kept, failure.strerror)
            self._write()

    def _write(self) -> None:
        raw = encode(self.usage)
        try:
            os.pwrite(self._fd, raw, 0)
            if not self._raw:  # somebody else's may be longer
                os.ftruncate(self._fd, SIZE)
            self._raw = raw
        except OSError as error:
            self._alone(error.strerror)
