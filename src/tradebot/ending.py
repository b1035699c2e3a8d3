"""How the program ends when a signal asks it to: in order, within seconds, with the signal's exit code."""

import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Ended(BaseException):
    """A signal asked the program to end; carries its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end; on Ctrl-C or SIGTERM cancel it, let it clean up and raise `Ended`."""
    import asyncio

    received: list[int] = []

    async def guarded() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if received:  # asked twice: whoever asks no longer wants to wait
                os._exit(128 + number)
            received.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        import uvloop

        return uvloop.run(guarded())
    except asyncio.CancelledError:
        if not received:
            raise
        raise Ended(128 + received[0]) from None


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Work that is not asynchronous ends on SIGTERM as on Ctrl-C: it cleans up, then `Ended` or 130."""

    def stop(number: int, _: object) -> NoReturn:
        raise Ended(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
