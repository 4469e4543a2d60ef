"""Worker threads: one small pool a process, made when the first task comes and gone when nobody uses it any more.

Tasks spend their time in kernels that have let go of the interpreter's lock. Results come out in the order in which the tasks went
in, so that what is done with them does not depend on the number of threads.

A forked child has none of its parent's threads. It gets a pool of its own, and does the tasks that it inherited by itself.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OrderedTasks", "num_threads"]

T = TypeVar("T")

_NAME = "lancelet-worker"
#: Python makes no number of thousands of digits, and no machine has so many threads.
_MOST_DIGITS = 18


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
    if not wanted.isdecimal() or len(wanted) > _MOST_DIGITS or int(wanted) < 1:
        raise OptionError(f"LANCELET_THREADS is {wanted[:99]!r}; it must be a whole number of at least 1")
    return int(wanted)


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_worker() -> bool:
    """Tell whether this is a worker: one that collects the garbage of unfinished work cannot wait for itself."""
    return threading.current_thread().name.startswith(_NAME)


class _Pool:
    """The threads of this process and the lists of tasks that use them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.prefix = _NAME
        #: What they gave to :meth:`enter`; no count, which an interrupt could leave wrong.
        self.users: set[object] = set()

    def enter(self, user: object, threads: int) -> ThreadPoolExecutor:
        with self.lock:
            self.users.add(user)
            if self.executor is None:
                self.prefix = f"{_NAME}-{next(_numbers)}"
                self.executor = ThreadPoolExecutor(threads, thread_name_prefix=self.prefix)
            return self.executor

    def leave(self, user: object) -> None:
        with self.lock:
            self.users.discard(user)
            if self.users:
                return
            executor, self.executor, prefix = self.executor, None, self.prefix
        if executor is not None:
            executor.shutdown(wait=not _is_worker())
            if not _is_worker():
                _join_strays(prefix)


def _join_strays(prefix: str) -> None:
    """Wait for threads that an executor has lost: an interrupt while one is started leaves it running and unknown."""
    for thread in threading.enumerate():
        if thread.name.startswith(f"{prefix}_"):
            with suppress(RuntimeError):  # one that never began
                thread.join()


def _run(job: list[tuple[Callable[[], T], Future[T]]]) -> None:
    """Do the task of `job` on a worker thread, unless it was cancelled.

    The job is emptied: an error knows the frames that it went through, and would keep itself alive where they know the future.
    """
    task, future = job.pop()
    if future.set_running_or_notify_cancel():
        try:
            result = task()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
    del task, future


_numbers = itertools.count()
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
        self._user = object()

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
        executor = None if inline else self._enter()
        if executor is None:
            self._waiting.append((task, None))
            return
        future: Future[T] = Future()
        self._waiting.append((task, future))  # first, so that an interrupt does not lose what runs
        try:
            executor.submit(_run, [(task, future)])
        except RuntimeError:  # the interpreter is ending, or the system has no thread left
            future.cancel()  # it may be in the queue all the same, and must not be done twice

    def take(self) -> T:
        """Return the result of the oldest task, when it is there, or raise its error. There must be one."""
        task, future = self._waiting.popleft()
        # The second: a forked child, where nobody works on it.
        if future is None or self._pool is not _pool or future.cancelled():
            return task()
        try:
            return future.result()
        finally:
            del task, future  # as in _run

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
            pool.leave(self._user)
        errors = (future.exception() for future in begun if future.done())
        return [error for error in errors if error is not None]

    def _enter(self) -> ThreadPoolExecutor | None:
        """Hold the pool from now on; ``None``: tasks have no threads."""
        if self._threads == 1:
            return None
        if self._pool is None:
            self._pool = _pool
            self._executor = _pool.enter(self._user, self._threads)
        return self._executor if self._pool is _pool else None

    def __enter__(self) -> OrderedTasks[T]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
