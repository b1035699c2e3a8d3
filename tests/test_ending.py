"""How the program ends when a signal asks it to."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys

import pytest

from tradebot.ending import SHOW_CURSOR, Ended, ended_by_signal, finish


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asynchronous_work_is_cancelled_and_cleans_up(number: int) -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(10)
        finally:
            cleaned.append(True)

    with pytest.raises(Ended) as ended:
        finish(work())
    assert (ended.value.code, cleaned) == (128 + number, [True])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_never_returns_is_ended_all_the_same(number: int) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tradebot import ending; ending.STUCK_S = 0.1\n"
        "async def work():\n    print('begun', flush=True)\n    while True: pass\n"
        "ending.finish(work())"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        try:
            assert process.wait(timeout=20) == 128 + number
        finally:
            process.kill()
    assert os.read(ours, 100) == SHOW_CURSOR, "a progress bar has hidden it"
    os.close(ours)
    os.close(theirs)


def test_work_that_ends_by_itself_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert finish(work()) == 7


def test_work_that_cancels_itself_was_not_ended_by_a_signal() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        finish(work())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("turned_into", [None, ImportError])
def test_other_work_ends_by_a_signal_too_and_the_handler_is_put_back(
    number: signal.Signals, turned_into: type[Exception] | None
) -> None:
    before = signal.getsignal(number)

    def work() -> None:
        with ended_by_signal():
            try:
                os.kill(os.getpid(), number)
                signal.pause()
            except Ended:
                if turned_into is None:
                    raise
                raise turned_into from None

    with pytest.raises(Ended) as ended:
        work()
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_that_is_lost_in_a_callback_is_followed_by_another() -> None:
    class Lost:
        """What is raised while it goes is ignored by Python."""

        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    def work() -> None:
        with ended_by_signal():
            thing: Lost | None = Lost()
            thing = None
            assert thing is None
            signal.pause()

    with pytest.raises(Ended) as ended:
        work()
    assert ended.value.code == 143


def test_errors_of_work_that_nobody_asked_to_end_are_its_own() -> None:
    with pytest.raises(ValueError, match="mine"), ended_by_signal():
        raise ValueError("mine")


def test_a_signal_amid_code_made_at_run_time_ends_with_its_code_all_the_same() -> None:
    work = (
        "import os, signal, sys\n"
        "from tradebot.ending import Ended, ended_by_signal\n"
        "try:\n"
        "    with ended_by_signal():\n"
        "        exec('os.kill(os.getpid(), signal.SIGINT); signal.pause()')\n"
        "except Ended as ended:\n"
        "    sys.exit(ended.code)\n"
    )
    assert subprocess.run([sys.executable, "-c", work], check=False, timeout=60).returncode == 130
