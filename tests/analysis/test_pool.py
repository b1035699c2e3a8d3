"""The worker pool: made once, primed at once, rebuilt when it breaks, gone with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import work
from hypothesis import given
from hypothesis import strategies as st

from tradebot.analysis.pool import INLINE_MS, WorkerPool, chunks
from tradebot.errors import ConfigError, PoolError

HERE = os.getpid()


def running(process: int) -> bool:
    """Whether the process is there and more than an entry that waits to be read."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(processes: list[int], within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while any(map(running, processes)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(running, processes))


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, "always", (("work", "load"), ("model",))) as pool:
        yield pool


@given(st.integers(0, 500), st.integers(1, 40))
def test_chunks_are_neighbours_of_nearly_equal_size_and_leave_nothing_out(count: int, parts: int) -> None:
    cut = chunks(count, parts)
    sizes = [len(range(count)[part]) for part in cut]
    assert [index for part in cut for index in range(count)[part]] == list(range(count))
    assert 1 <= len(cut) <= parts
    assert max(sizes) - min(sizes) <= 1
    assert count == 0 or min(sizes) > 0


async def test_all_workers_are_there_before_the_first_task(pool: WorkerPool) -> None:
    assert len(pool.pids) == 2
    assert HERE not in pool.pids
    assert all(map(running, pool.pids))


async def test_workers_are_made_once(pool: WorkerPool) -> None:
    before = pool.pids
    assert pool.start() < 5
    used = {await pool.call(work.pid) for _ in range(5)} | set(await pool.map(work.pid, [0.01] * 8))
    assert used <= set(before)
    assert pool.pids == before


async def test_every_worker_has_loaded_before_its_first_task(pool: WorkerPool) -> None:
    told = await pool.map(work.is_loaded, range(6))
    assert {tuple(each) for each in told} <= {(f"model in {worker}",) for worker in pool.pids}


async def test_chunks_come_back_in_order(pool: WorkerPool) -> None:
    assert await pool.map(work.double, range(20)) == [2 * value for value in range(20)]


async def test_an_error_of_the_work_is_the_callers(pool: WorkerPool) -> None:
    with pytest.raises(ConfigError, match="7 is refused"):
        await pool.call(work.refuse, 7)
    with pytest.raises(ConfigError, match="is refused"):
        await pool.map(work.refuse, [1, 2])
    assert await pool.call(work.double, 4) == 8


async def test_a_worker_uses_one_thread_for_arithmetic(pool: WorkerPool) -> None:
    assert await pool.call(work.environment, "OPENBLAS_NUM_THREADS") == "1"
    assert await pool.call(work.environment, "OMP_NUM_THREADS") == "1"
    assert os.environ.get("OMP_NUM_THREADS") is None  # training has all of them


async def test_the_event_loop_goes_on_while_a_worker_works(pool: WorkerPool) -> None:
    ticks = 0
    task = asyncio.ensure_future(pool.call(work.pid, 0.1))
    while not task.done():
        ticks += 1
        await asyncio.sleep(0.01)
    assert ticks >= 4


async def test_a_pool_that_breaks_is_rebuilt_and_its_work_tried_once_more(pool: WorkerPool, tmp_path: Path) -> None:
    before = pool.pids
    answered = await pool.call(work.die_once, str(tmp_path / "mark"))
    assert answered in pool.pids
    assert not set(before) & set(pool.pids)
    assert gone(list(before))


async def test_only_the_chunk_that_kills_its_worker_fails(pool: WorkerPool) -> None:
    with pytest.raises(PoolError, match="worker processes die of die_of_13"):
        await pool.map(work.die_of_13, [1, 13, 2])
    assert await pool.map(work.die_of_13, [1, 2, 3]) == [1, 2, 3]
    assert len(pool.pids) == 2


async def test_work_is_spread_over_the_workers_and_put_together_in_order(pool: WorkerPool) -> None:
    done, deadly = await pool.spread(work.total, 7, lambda cut: list(range(cut.start, cut.stop)), 1e9)
    assert [(cut.start, cut.stop) for cut, _ in done] == [(0, 3), (3, 7)]
    assert [result for _, result in done] == [3, 18]
    assert deadly == []


async def test_a_chunk_that_kills_its_workers_is_narrowed_to_the_guilty_rows(pool: WorkerPool) -> None:
    done, deadly = await pool.spread(work.die_of_any_13, 20, lambda cut: list(range(cut.start, cut.stop)), 1e9)
    assert deadly == [13]
    assert sorted(value for _, values in done for value in values) == [row for row in range(20) if row != 13]


async def test_every_chunk_beside_one_that_dies_once_has_its_result(pool: WorkerPool, tmp_path: Path) -> None:
    marks = [str(tmp_path / "mark"), str(tmp_path), str(tmp_path)]
    answers = await pool.map(work.die_once, marks)
    assert len(answers) == 3
    assert answers[0] in pool.pids


async def test_what_cannot_be_loaded_is_told_by_the_task_that_needs_it() -> None:
    with WorkerPool(1, "always", (("work", "load"), ("missing",))) as pool:
        assert await pool.call(work.double, 2) == 4


async def test_never_means_that_no_process_is_made() -> None:
    with WorkerPool(2, "never") as pool:
        assert pool.pids == ()
        assert await pool.call(work.pid, cost_ms=1e6) == HERE
        assert await pool.map(work.double, [1, 2], cost_ms=1e6) == [2, 4]
        assert pool.parts(1e6) == 1


class Threads(ThreadPoolExecutor):
    """Another engine: tells how often it was used."""

    tasks = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks += 1
        return super().submit(fn, *args, **kwargs)


async def test_auto_runs_inline_what_is_too_small_to_be_worth_the_way() -> None:
    engine = Threads(2)
    with WorkerPool(2, "auto", engine=lambda: engine) as pool:
        assert await pool.call(work.double, 1, cost_ms=INLINE_MS - 1) == 2
        assert (engine.tasks, pool.parts(INLINE_MS - 1)) == (0, 1)
        assert await pool.call(work.double, 1, cost_ms=INLINE_MS) == 2
        assert await pool.map(work.double, [1, 2], cost_ms=INLINE_MS) == [2, 4]
        assert (engine.tasks, pool.parts(INLINE_MS)) == (3, 2)


class Breaking(Executor):
    """An engine that cannot even be started, or breaks at each task."""

    def __init__(self, made: list[Breaking]) -> None:
        made.append(self)
        self.closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise BrokenExecutor("out of luck")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.closed = True


async def test_where_work_runs_and_why_is_told_once_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tradebot.analysis.pool"), WorkerPool(1, "auto") as pool:
        for _ in range(3):
            await pool.map(work.double, [1, 2], 0.5)
        await pool.map(work.double, [1, 2], 100.0)
    here, there, made = caplog.messages
    assert here == ("double runs in this process: expected to take 0.5 ms, workers are worth their way from 20 ms on")
    assert there.startswith("double runs in 1 workers: expected to take 100.0 ms")
    assert made.startswith("1 workers made and primed in")


async def test_another_engine_is_made_anew_too_and_closed_when_it_breaks() -> None:
    made: list[Breaking] = []
    pool = WorkerPool(1, "always", engine=lambda: Breaking(made))
    with pytest.raises(PoolError, match="worker processes die of double: out of luck"):
        await pool.call(work.double, 1)
    pool.close()
    assert len(made) >= 2
    assert all(engine.closed for engine in made)


def test_a_pool_that_cannot_be_started_says_so() -> None:
    def engine() -> Executor:
        raise BrokenExecutor("no memory")

    with pytest.raises(PoolError, match="cannot be started: no memory"):
        WorkerPool(1, "always", engine=engine).start()


async def test_a_closed_pool_stays_closed_and_leaves_nothing_behind() -> None:
    pool = WorkerPool(2, "always")
    pool.start()
    server = await pool.call(work.parent_of)
    processes = list(pool.pids)
    pool.close()
    pool.close()
    assert gone(processes, 0.5)
    with pytest.raises(PoolError, match="closed"):
        await pool.call(work.double, 1)
    assert server not in {HERE, *processes}


async def test_closing_waits_for_nobody_for_long() -> None:
    pool = WorkerPool(1, "always")
    pool.start()
    task = asyncio.ensure_future(pool.call(work.pid, 60.0))
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    await asyncio.to_thread(pool.close)
    assert time.monotonic() - begun < 30, "the work would have taken a minute"
    with pytest.raises((PoolError, BrokenExecutor)):
        await task


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """A process with a pool of two workers that are busy for a while."""
    code = str(Path(work.__file__))
    process = subprocess.Popen(
        [sys.executable, code, "20"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    process.kill()
    process.communicate()


def processes_of(owner: subprocess.Popen[str]) -> list[int]:
    assert owner.stdout is not None
    found = [int(word) for word in owner.stdout.readline().split()]
    assert len(found) == 3
    assert all(map(running, found))
    return found


def test_workers_end_with_a_parent_that_is_killed(owner: subprocess.Popen[str]) -> None:
    processes = processes_of(owner)
    owner.send_signal(signal.SIGKILL)
    assert gone(processes)


def test_ctrl_c_is_the_parents_business_and_leaves_nothing_behind(owner: subprocess.Popen[str]) -> None:
    processes = processes_of(owner)
    os.killpg(owner.pid, signal.SIGINT)
    out, errors = owner.communicate(timeout=10)
    assert out == "interrupted 2\n"
    assert "Traceback" not in errors
    assert gone(processes, 0.5)
