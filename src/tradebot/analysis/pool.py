"""The worker pool: processes that are made once, primed at once, and end with their parent.

The executor behind it is any `concurrent.futures.Executor`; by default local processes, forked
from a server that has loaded what they need, so that one starts in milliseconds. What may cross
to them is a function by its name and arrays.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar

from tradebot.clock import monotonic_ms
from tradebot.errors import PoolError, TradebotError

T = TypeVar("T")
A = TypeVar("A")
Use: TypeAlias = Literal["auto", "always", "never"]
Preload: TypeAlias = tuple[tuple[str, str], tuple[Any, ...]]

log = logging.getLogger(__name__)
INLINE_MS = 20.0
GRACE_S = 1.0  # for work that runs when the pool is closed
_SERVER_LOADS = ("tradebot.analysis.threads", "tradebot.analysis.analyze")


def chunks(count: int, parts: int) -> list[slice]:
    """`range(count)` cut into at most `parts` neighbouring slices of nearly equal size; at least one slice."""
    parts = max(min(parts, count), 1)
    ends = [count * part // parts for part in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _end_with_parent() -> None:
    """Workers wait for tasks in a pipe that all of them hold open: a parent that is killed does not wake them."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _begin(preload: Preload | None) -> None:
    """What a worker does first. Ctrl-C is the parent's business, which then closes the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if preload is not None:
        (module, function), arguments = preload
        # What cannot be loaded is reported by the task that needs it, with its own error.
        with suppress(TradebotError):
            getattr(importlib.import_module(module), function)(*arguments)


def _introduce(pause_s: float) -> int:
    """A task that keeps its worker busy until the others are started too; its process id."""
    time.sleep(pause_s)
    return os.getpid()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started in here never see Ctrl-C, not even before they can say that they ignore it."""
    resource_tracker.ensure_running()  # it would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerPool:
    """Runs functions in worker processes, or inline where that is quicker.

    `workers`: how many, 0 for one a CPU. `use`: "always" a worker, "never" one (none is started),
    or "auto": inline below `INLINE_MS` of expected work. The way to an idle worker and back takes
    0.3 ms, and 2 to 4 ms for each MB of arrays; what is gained is at most the work less its
    longest chunk. Under 20 ms that is little, and the event loop can bear so long a wait.
    `preload`: a function, as module and name, with its arguments, that every worker calls before
    its first task. `engine` makes another executor than local processes; such a one is not primed
    and has no `pids`.
    """

    def __init__(
        self, workers: int, use: Use, preload: Preload | None = None, *, engine: Callable[[], Executor] | None = None
    ) -> None:
        self.workers = workers or os.cpu_count() or 1
        self.use = use
        self.pids: tuple[int, ...] = ()
        self.preload = preload
        self._engine = engine or self._processes
        self._executor: Executor | None = None
        self._told: dict[str, bool] = {}
        self._closed = False
        self._changing = threading.Lock()

    def start(self) -> float:
        """Make and prime all workers, if that has not been done; how long it took, in ms. Raises `PoolError`."""
        begun = monotonic_ms()
        if self.use != "never":
            self._ready(None)
        return monotonic_ms() - begun

    def _ready(self, broken: Executor | None) -> Executor:
        """The executor, made if there is none yet or if it is the `broken` one."""
        with self._changing:
            if self._closed:
                raise PoolError("the worker pool is closed")
            if self._executor is not None and self._executor is not broken:
                return self._executor
            if broken is not None:
                broken.shutdown(wait=True, cancel_futures=True)
            self._executor = None
            try:
                self._executor = fresh = self._engine()
            except BrokenExecutor as error:
                raise PoolError(f"worker processes cannot be started: {error}") from None
            return fresh

    def _processes(self) -> Executor:
        # onnxruntime stays out: importing it starts a thread, and only a process without threads is safe to fork.
        models = [self.preload[0][0]] if self.preload else []
        multiprocessing.set_forkserver_preload([*_SERVER_LOADS, *models])
        context = multiprocessing.get_context("forkserver")
        executor = ProcessPoolExecutor(self.workers, context, _begin, (self.preload,))
        with _without_interrupts():
            forkserver.ensure_running()
        begun = monotonic_ms()
        self.pids = self._introduced(executor)
        log.info("%d workers made and primed in %.0f ms", self.workers, monotonic_ms() - begun)
        return executor

    def _introduced(self, executor: Executor) -> tuple[int, ...]:
        """The executor starts a process when a task finds none idle, so keep all busy until all are there."""
        found: set[int] = set()
        while len(found) < self.workers:
            tasks: list[Future[int]] = [executor.submit(_introduce, 0.01) for _ in range(self.workers)]
            found |= {task.result() for task in tasks}
        return tuple(sorted(found))

    def inline(self, cost_ms: float) -> bool:
        """Whether work that takes `cost_ms` on one core would run in this process."""
        return self.use == "never" or (self.use == "auto" and cost_ms < INLINE_MS)

    def _tell(self, function: Callable[..., Any], cost_ms: float) -> None:
        """Log where a kind of work runs, and why, when that is new."""
        name, here = _name(function), self.inline(cost_ms)
        if self._told.get(name) == here:
            return
        self._told[name] = here
        why = (
            f"pool.use = {self.use}" if self.use != "auto" else f"workers are worth their way from {INLINE_MS:g} ms on"
        )
        place = "in this process" if here else f"in {self.workers} workers"
        log.info("%s runs %s: expected to take %.1f ms, %s", name, place, cost_ms, why)

    def parts(self, cost_ms: float) -> int:
        """Into how many chunks such work is best cut."""
        return 1 if self.inline(cost_ms) else self.workers

    async def call(self, function: Callable[..., T], *args: Any, cost_ms: float = 0.0) -> T:
        """`function(*args)`, which must be pure: if its worker dies it is run once more, then `PoolError`."""
        self._tell(function, cost_ms)
        if self.inline(cost_ms):
            return function(*args)
        executor = await self._executor_now()
        try:
            return await _run(executor, function, *args)
        except BrokenExecutor:
            return await self._again(executor, function, *args)

    async def map(self, function: Callable[[A], T], chunks: Iterable[A], cost_ms: float = 0.0) -> list[T]:
        """`function` of each chunk, in order, all at once; `cost_ms` is that of all of them.

        Workers that die take all chunks with them that were under way. Those are run once more,
        one after another, so that only the guilty one fails again: with `PoolError`.
        """
        results = await self._tried(function, list(chunks), cost_ms)
        for result in results:
            if isinstance(result, PoolError):
                raise result
        return [result for result in results if not isinstance(result, PoolError)]

    async def spread(
        self, function: Callable[[A], T], count: int, take: Callable[[slice], A], cost_ms: float = 0.0
    ) -> tuple[list[tuple[slice, T]], list[int]]:
        """`function(take(cut))` for cuts that make up `range(count)`, in order; and the rows that kill workers.

        A cut whose worker dies twice is halved until the guilty row stands alone, and left out.
        """
        done: dict[int, tuple[slice, T]] = {}
        deadly: list[int] = []
        cuts = chunks(count, self.parts(cost_ms))
        while cuts:
            results = await self._tried(function, [take(cut) for cut in cuts], cost_ms)
            narrower: list[slice] = []
            for cut, result in zip(cuts, results, strict=True):
                if not isinstance(result, PoolError):
                    done[cut.start] = (cut, result)
                elif cut.stop - cut.start <= 1:
                    deadly.append(cut.start)
                else:
                    middle = (cut.start + cut.stop) // 2
                    narrower += [slice(cut.start, middle), slice(middle, cut.stop)]
            cuts = narrower
        return [done[start] for start in sorted(done)], sorted(deadly)

    async def _tried(self, function: Callable[[A], T], work: Sequence[A], cost_ms: float) -> list[T | PoolError]:
        """The result of each chunk, or the error that its worker dies of it."""
        self._tell(function, cost_ms)
        if self.inline(cost_ms):
            return [function(chunk) for chunk in work]
        executor = await self._executor_now()
        tries = await asyncio.gather(*(_run(executor, function, chunk) for chunk in work), return_exceptions=True)
        results: list[T | PoolError] = []
        for chunk, result in zip(work, tries, strict=True):
            if isinstance(result, BrokenExecutor):
                try:
                    results.append(await self._again(executor, function, chunk))
                except PoolError as error:
                    results.append(error)
            elif isinstance(result, BaseException):
                raise result
            else:
                results.append(result)
        return results

    async def _executor_now(self) -> Executor:
        executor = self._executor
        return await asyncio.to_thread(self._ready, None) if executor is None else executor

    async def _again(self, broken: Executor, function: Callable[..., T], *args: Any) -> T:
        executor = await asyncio.to_thread(self._ready, broken)
        try:
            return await _run(executor, function, *args)
        except BrokenExecutor as error:
            await asyncio.to_thread(self._ready, executor)
            raise PoolError(f"worker processes die of {_name(function)}: {error}") from None

    def close(self) -> None:
        """End all processes; work that has not begun is dropped, work that runs has `GRACE_S` seconds."""
        with self._changing:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is None:
            return
        impatience = threading.Timer(GRACE_S, self._kill)
        impatience.start()
        executor.shutdown(wait=True, cancel_futures=True)
        impatience.cancel()
        if not multiprocessing.active_children():
            # The server would end with this process; a closed pool leaves nothing behind even before.
            forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001

    def _kill(self) -> None:
        for child in multiprocessing.active_children():
            if child.pid in self.pids:
                child.kill()

    def __enter__(self) -> Self:
        # With "auto" the first large work starts the workers: one small cycle from cron never needs them.
        if self.use == "always":
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(getattr(function, "func", function), "__name__", function))


async def _run(executor: Executor, function: Callable[..., T], *args: Any) -> T:
    return await asyncio.wrap_future(executor.submit(function, *args))
