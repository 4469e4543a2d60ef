"""Compaction from plan to commit, in this process or on an executor (dataset.md 7).

::

    plan       which fragments, and how                                      plan.py
    tasks      each writes its files, in threads or wherever the executor runs them     task.py
    commit     all of them at once; whatever fails before leaves the dataset as it was  commit.py
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lancelet.compact.commit import (
    blocking_indices,
    checked_results,
    commit_compaction,
    discard_results,
)
from lancelet.compact.metrics import CompactionMetrics
from lancelet.compact.options import CompactionOptions
from lancelet.compact.plan import CompactionPlan, plan_compaction
from lancelet.compact.task import execute_task
from lancelet.errors import LanceletError, OptionError
from lancelet.threads import num_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

    from lancelet.compact.plan import CompactionTask
    from lancelet.compact.task import RewriteResult
    from lancelet.storage import Store
    from lancelet.table.formats.manifest import Manifest

    Progress = Callable[[int, int | None], None] | None

__all__ = ["Compaction", "CompactionMetrics", "compact_files"]

#: Memory that a task should have at least, before there are several at a time.
_TASK_BYTES = 128 << 20


class Compaction:
    """The steps of a compaction, for programs that run the tasks themselves: on a cluster, for example.

    Plans, tasks and results pickle, and have forms in JSON. Tasks do not depend on each other; any number of their results can be
    committed together. Whoever does not commit a result leaves files behind that no version names, and clean-up finds them.

    Examples
    --------
    >>> plan = Compaction.plan(ds, {"target_rows_per_fragment": 1_000_000})  # doctest: +SKIP
    >>> results = [task.execute() for task in plan.tasks]  # doctest: +SKIP
    >>> Compaction.commit(ds, results)  # doctest: +SKIP
    """

    @staticmethod
    def plan(dataset: Any, options: CompactionOptions | Mapping[str, Any] | None = None) -> CompactionPlan:
        """Say what is to be compacted, and how; nothing is written.

        Raises
        ------
        OptionError
            An option is unknown or out of range.
        """
        return plan_compaction(dataset.snapshot, dataset.manifest, _options(dataset.manifest, options))

    @staticmethod
    def execute(
        dataset: Any, options: CompactionOptions | Mapping[str, Any] | None = None
    ) -> CompactionMetrics:
        """Plan, do all tasks here, and commit; see :func:`compact_files`."""
        return _run(dataset, _options(dataset.manifest, options), None, None)

    @staticmethod
    def commit(
        dataset: Any,
        rewrites: Iterable[RewriteResult],
        options: CompactionOptions | Mapping[str, Any] | None = None,
    ) -> CompactionMetrics:
        """Commit results of tasks; the dataset goes on with the new version. Without results nothing happens.

        If that cannot be, the files of the results stay: others of them may still be committed, or the same another way. Indices
        that do not survive are removed where `drop_indices` is among these options, or was among those of the plan.

        Raises
        ------
        CommitConflict, OptionError, UnsupportedError
            See :func:`~lancelet.compact.commit.commit_compaction`.
        """
        drop_indices = _options(dataset.manifest, options).drop_indices
        results = checked_results(rewrites)
        if results:
            commit_compaction(dataset.store, results, drop_indices=drop_indices, base=dataset.manifest)
            dataset.checkout_latest()
        return CompactionMetrics.of(results, sum(result.seconds for result in results))


def compact_files(
    dataset: Any, *, executor: Executor | None = None, progress: Progress = None, **options: Any
) -> CompactionMetrics:
    """Join small fragments and remove deleted rows; the dataset goes on with the new version.

    Rows keep their ids where these are stable. Their order may change: rows that are moved come behind those that are not.

    Parameters
    ----------
    dataset
        A dataset at the version to compact.
    executor
        Where tasks run; by default in threads of this process. Tasks, results and the store of the dataset pickle.
    progress
        Called with the rows that are done, and all rows; perhaps from other threads, but never twice at a time. On an executor it
        is told of whole tasks.
    **options
        See :class:`~lancelet.compact.options.CompactionOptions`.

    Returns
    -------
    CompactionMetrics
        What was done; zeros if there was nothing to do, and then there is no new version.

    Raises
    ------
    CommitConflict
        Others changed the fragments meanwhile: the dataset has their changes and nothing else, and this may be tried again.
    OptionError
        An option is unknown or out of range.
    UnsupportedError
        An index would not be true any more, and `drop_indices` is not given.
    """
    return _run(dataset, _options(dataset.manifest, options), executor, progress)


def _options(manifest: Manifest, given: CompactionOptions | Mapping[str, Any] | None) -> CompactionOptions:
    if isinstance(given, CompactionOptions):
        return given
    if given is not None and not (
        isinstance(given, Mapping) and all(isinstance(name, str) for name in given)
    ):
        raise OptionError(f"options are {given!r:.100}; they must be CompactionOptions or values by name")
    return CompactionOptions.of(manifest.config, **(given or {}))


def _check_helpers(executor: object, progress: object) -> None:
    if executor is not None and not isinstance(executor, Executor):
        raise OptionError(f"executor is {executor!r:.100}; it must be one of concurrent.futures")
    if progress is not None and not callable(progress):
        raise OptionError(f"progress is {progress!r:.100}; it must be callable")


def _run(
    dataset: Any, options: CompactionOptions, executor: Executor | None, progress: Progress
) -> CompactionMetrics:
    _check_helpers(executor, progress)
    begun = time.perf_counter()
    store, manifest = dataset.store, dataset.manifest
    plan = plan_compaction(dataset.snapshot, manifest, options)
    if not plan.tasks:
        return CompactionMetrics()
    touched = [fragment.id for task in plan.tasks for fragment in task.fragments]
    blocking_indices(manifest, touched, drop_indices=options.drop_indices)
    results = _execute_all(store, manifest, plan.tasks, options, executor, _Progress(plan.tasks, progress))
    try:
        commit_compaction(store, results, drop_indices=options.drop_indices, base=manifest)
    except LanceletError:  # another error does not tell whether the commit has happened
        discard_results(store, results)
        raise
    dataset.checkout_latest()
    return CompactionMetrics.of(results, time.perf_counter() - begun)


class _Progress:
    """Adds up what tasks tell, from whatever thread."""

    def __init__(self, tasks: Iterable[CompactionTask], report: Progress) -> None:
        self._total = sum(task.num_rows for task in tasks)
        self._done = 0
        self._report = report
        self._lock = threading.Lock()
        self.add(0)

    def add(self, num_rows: int) -> None:
        """Note that rows are done."""
        with self._lock:
            self._done += num_rows
            if self._report is not None:
                self._report(self._done, self._total)


def _execute_all(
    store: Store,
    manifest: Manifest,
    tasks: Sequence[CompactionTask],
    options: CompactionOptions,
    executor: Executor | None,
    progress: _Progress,
) -> list[RewriteResult]:
    """Do all tasks; if one fails, what the others wrote is removed."""
    if executor is not None:
        jobs = [partial(execute_task, task) for task in tasks]
        return _on_executor(executor, jobs, store, progress)
    at_once = _tasks_at_once(options, len(tasks))
    share = max(options.memory_limit // at_once, 1)
    tasks = [replace(task, options=replace(task.options, memory_limit=share)) for task in tasks]
    jobs = [partial(execute_task, task, manifest=manifest, progress=progress.add) for task in tasks]
    if at_once == 1:
        return _one_by_one(jobs, store)
    with ThreadPoolExecutor(at_once, thread_name_prefix="lancelet-compact") as threads:
        return _on_executor(threads, jobs, store)


def _tasks_at_once(options: CompactionOptions, num_tasks: int) -> int:
    """Return how many tasks run at a time: never more than there is memory for."""
    wanted = num_threads() if options.num_threads is None else options.num_threads
    return max(min(wanted, options.memory_limit // _TASK_BYTES, num_tasks), 1)


def _one_by_one(jobs: Iterable[Callable[[], RewriteResult]], store: Store) -> list[RewriteResult]:
    results: list[RewriteResult] = []
    try:
        for job in jobs:
            results.append(job())
    except BaseException:
        if results:
            discard_results(store, results)
        raise
    return results


def _on_executor(
    executor: Executor,
    jobs: Iterable[Callable[[], RewriteResult]],
    store: Store,
    progress: _Progress | None = None,
) -> list[RewriteResult]:
    """Have an executor do jobs. If one fails the others are cancelled, and those that run are waited for.

    Progress is told of jobs that cannot tell it themselves, since they run elsewhere.
    """
    futures: list[Future[RewriteResult]] = []
    try:
        futures.extend(executor.submit(job) for job in jobs)
        left = set(futures)
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                if progress is not None:
                    progress.add(result.num_rows)
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)
        made = [found.result() for found in futures if not found.cancelled() and found.exception() is None]
        if made:
            discard_results(store, made)
        raise
    return [future.result() for future in futures]
