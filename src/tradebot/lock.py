"""One process at a time trades from a data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tradebot.config import Settings
from tradebot.errors import Locked, TradingError


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the data folder's lock, which the kernel takes back when its holder dies.

    `Locked` if another process holds it; `TradingError` if it cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(settings.data_path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Locked(
            f"another tradebot run holds {lock.lock_file}; wait for its end or use another --data-dir"
        ) from None
    except OSError as error:
        raise TradingError(f"{lock.lock_file}: {error.strerror}; no lock, no orders") from None
    try:
        yield
    finally:
        lock.release()


def lock_is_free(settings: Settings) -> bool:
    """Whether nobody trades from the data folder at this moment."""
    try:
        with alone(settings):
            return True
    except Locked:
        return False
