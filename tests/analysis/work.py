"""Tasks for workers, in a module that they can import, and a program that owns a pool."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from tradebot.errors import ConfigError, ModelError

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


def main() -> None:
    """Own a pool, tell the ids of its processes, and wait to be ended; Ctrl-C closes the pool."""
    from tradebot.analysis.pool import WorkerPool

    with WorkerPool(2, "always") as pool:
        server = asyncio.run(pool.call(parent_of))
        try:
            print(*pool.pids, server, flush=True)
            asyncio.run(pool.call(pid, float(sys.argv[1])))
            time.sleep(30)
        except KeyboardInterrupt:
            print("interrupted", len(multiprocessing.active_children()), flush=True)


if __name__ == "__main__":
    main()
