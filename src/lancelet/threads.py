"""Worker threads: one small pool a process, made when the first task comes and gone when nobody uses it any more.

Tasks spend their time in kernels that have let go of the interpreter's lock. Results come out in the order in which the tasks went
in, so that what is done with them does not depend on the number of threads.

A forked child has none of its parent's threads. It gets a pool of its own, and does the tasks that it inherited by itself.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OrderedTasks", "num_threads"]

T = TypeVar("T")

_NAME = "lancelet-worker"


def num_threads() -> int:
    """Return how many threads work at once: ``LANCELET_THREADS``, or as many as this process may use processors.

    Raises
    ------
    OptionError
        The variable is not a whole number of at least 1.
    """
    wanted = os.environ.get("LANCELET_THREADS")
    if not wanted:
        return _num_processors()
    if not wanted.isdecimal() or int(wanted) < 1:
        raise OptionError(f"LANCELET_THREADS is {wanted!r}; it must be a whole number of at least 1")
    return int(wanted)


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_worker() -> bool:
    """Tell whether this is a worker: one that collects the garbage of unfinished work cannot wait for itself."""
    return threading.current_thread().name.startswith(_NAME)


class _Pool:
    """The threads of this process and how many lists of tasks use them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.num_users = 0

    def enter(self, threads: int) -> ThreadPoolExecutor:
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(threads, thread_name_prefix=_NAME)
            self.num_users += 1
            return self.executor

    def leave(self) -> None:
        with self.lock:
            self.num_users -= 1
            if self.num_users:
                return
            executor, self.executor = self.executor, None
        if executor is not None:
            executor.shutdown(wait=not _is_worker())


_pool = _Pool()


def _forget_pool() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


class OrderedTasks(Generic[T]):
    """Tasks whose results come out in the order in which they went in. Belongs to one thread.

    The pool is held from the first task on until :meth:`close`. With one thread there is none: tasks run when their result is asked
    for. A task must not wait for other tasks.

    Parameters
    ----------
    most_waiting
        Tasks that may run, or be done and wait, at a time; by default twice as many as there are threads.
    """

    def __init__(self, most_waiting: int | None = None) -> None:
        self._threads = num_threads()
        self.most_waiting = 2 * self._threads if most_waiting is None else most_waiting
        self._waiting: deque[tuple[Callable[[], T], Future[T] | None]] = deque()
        self._pool: _Pool | None = None
        self._executor: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether a result should be taken before the next task is put."""
        return len(self._waiting) >= self.most_waiting

    @property
    def is_ready(self) -> bool:
        """Whether the result of the oldest task can be taken without waiting for another thread. There must be one."""
        future = self._waiting[0][1]
        return future is None or self._pool is not _pool or future.done()

    def put(self, task: Callable[[], T], *, inline: bool = False) -> None:
        """Start `task`, which comes after all others; an `inline` task is not worth a thread, and runs when it is taken."""
        self._waiting.append((task, None if inline else self._submit(task)))

    def take(self) -> T:
        """Return the result of the oldest task, when it is there, or raise its error. There must be one."""
        task, future = self._waiting.popleft()
        if future is None or self._pool is not _pool:  # the second: a forked child, where nobody works on it
            return task()
        return future.result()

    def drain(self) -> Iterator[T]:
        """Take all results that are left."""
        while self._waiting:
            yield self.take()

    def close(self) -> None:
        """Drop the tasks that have not begun, wait for those that have, and let go of the pool."""
        self.abandon()

    def abandon(self) -> list[BaseException]:
        """Do as :meth:`close`; returns the errors of the tasks that had begun and that nobody will take, in their order."""
        pool, self._pool, self._executor = self._pool, None, None
        futures = [future for _, future in self._waiting if future is not None]
        self._waiting.clear()
        if pool is None or pool is not _pool:
            return []
        begun = [future for future in futures if not future.cancel()]
        try:
            if not _is_worker():
                wait(begun)
        finally:
            pool.leave()
        errors = (future.exception() for future in begun if future.done())
        return [error for error in errors if error is not None]

    def _submit(self, task: Callable[[], T]) -> Future[T] | None:
        if self._threads == 1:
            return None
        if self._pool is None:
            self._pool, self._executor = _pool, _pool.enter(self._threads)
        if self._executor is None or self._pool is not _pool:
            return None
        try:
            return self._executor.submit(task)
        except RuntimeError:  # the interpreter is ending, or the system has no thread left
            return None

    def __enter__(self) -> OrderedTasks[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
