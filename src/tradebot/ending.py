"""How the program ends when a signal asks it to: in order, within seconds, with the signal's exit code."""

import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
STUCK_S = 3.0
SHOW_CURSOR = b"\x1b[?25h"


class Ended(BaseException):
    """A signal asked the program to end; carries its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def _leave(number: int) -> NoReturn:
    """End at once. Who drew a progress bar cannot bring the terminal's cursor back any more."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(128 + number)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end; on Ctrl-C or SIGTERM cancel it, let it clean up and raise `Ended`.

    Work that is stuck in a function, and so cannot be cancelled, is ended after `STUCK_S`.
    """
    import asyncio

    received: list[int] = []

    async def guarded() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def stop(number: int, _: object) -> None:
            if received:  # asked twice: whoever asks no longer wants to wait
                _leave(number)
            received.append(number)
            stuck = threading.Timer(STUCK_S, _leave, (number,))
            stuck.daemon = True
            stuck.start()
            loop.call_soon_threadsafe(heard, stuck)

        def heard(stuck: threading.Timer) -> None:
            stuck.cancel()
            task.cancel()

        # Not the loop's own handlers: those wait for a strategy that never returns.
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return await task
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    try:
        import uvloop

        return uvloop.run(guarded())
    except asyncio.CancelledError:
        if not received:
            raise
        raise Ended(128 + received[0]) from None


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Work that is not asynchronous is left, so that it can clean up, on Ctrl-C or SIGTERM: `Ended` comes out.

    Whatever the work makes of it: an import that is left half-way raises errors of its own, and where nobody can
    raise anything, as in a callback, an exception is lost. So one follows every `STUCK_S`.
    """
    received: list[int] = []
    left, told = threading.Event(), sys.unraisablehook

    def insist(number: int) -> None:
        while not left.wait(STUCK_S):
            os.kill(os.getpid(), number)

    def stop(number: int, _: object) -> NoReturn:
        if not received:
            threading.Thread(target=insist, args=(number,), daemon=True).start()
            sys.unraisablehook = lambda _: None  # there is nothing to be told of what is lost
        received.append(number)
        raise Ended(128 + received[0])

    # Ctrl-C too: where a KeyboardInterrupt leaves code made at run time, Python ends by the signal, whoever caught it.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception:
        if received:
            raise Ended(128 + received[0]) from None
        raise
    finally:
        left.set()
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)
