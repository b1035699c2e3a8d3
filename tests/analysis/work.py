"""Tasks for workers, in a module that they can import, and a program that owns a pool."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tradebot.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from tradebot.analysis.pool import WorkerPool

_loaded: list[str] = []


def load(text: str) -> str:
    """What a pool loads in advance: remembers in which process, and when."""
    if not _loaded:
        if text == "missing":
            raise ModelError("no model missing")
        _loaded.append(f"{text} in {os.getpid()}")
    return _loaded[0]


def is_loaded(_: object = None) -> list[str]:
    return list(_loaded)


def pid(pause_s: float = 0.0) -> int:
    time.sleep(pause_s)
    return os.getpid()


def double(value: int) -> int:
    return 2 * value


def refuse(value: int) -> int:
    raise ConfigError(f"{value} is refused")


def die_once(mark: str) -> int:
    """Kill this worker the first time; `mark` is a file that remembers."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die_of_13(value: int) -> int:
    if value == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def total(values: list[int]) -> int:
    return sum(values)


def die_of_any_13(values: list[int]) -> list[int]:
    return [die_of_13(value) for value in values]


def environment(name: str) -> str | None:
    return os.environ.get(name)


def parent_of(_: object = None) -> int:
    return os.getppid()


async def busy(pool: WorkerPool) -> None:
    """Tell the ids of the pool's processes when they are at work, so that nobody interrupts what only begins."""
    server = await pool.call(parent_of)
    at_work = asyncio.create_task(pool.call(pid, float(sys.argv[1])))
    await asyncio.sleep(0.1)
    print(*pool.pids, server, flush=True)
    await at_work


def main() -> None:
    """Own a pool and wait to be ended; Ctrl-C closes the pool."""
    from tradebot.analysis.pool import WorkerPool

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells turn off for what they start behind them
    with WorkerPool(2, "always") as pool:
        try:
            asyncio.run(busy(pool))
        except KeyboardInterrupt:
            print("interrupted", len(multiprocessing.active_children()), flush=True)


if __name__ == "__main__":
    main()
