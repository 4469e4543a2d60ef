"""What makes a dataset smaller and faster to read without changing its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.compact.options import CompactionOptions
from lancelet.compact.plan import plan_compaction
from lancelet.compact.run import compact_files
from lancelet.table.formats.manifest import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from lancelet.compact.plan import CompactionPlan
    from lancelet.compact.run import CompactionMetrics
    from lancelet.datasets.dataset import Dataset

__all__ = ["DatasetOptimizer"]


class DatasetOptimizer:
    """The compaction of a dataset; :attr:`Dataset.optimize` makes it.

    Parameters
    ----------
    dataset
        The dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def compact_files(
        self,
        *,
        executor: Executor | None = None,
        progress: Callable[[int, int | None], None] | None = None,
        **options: Any,
    ) -> CompactionMetrics:
        """Join small fragments and remove deleted rows; the dataset goes on with the new version.

        Rows keep their ids where these are stable. Their order may change: rows that are moved come behind those that are not.

        Parameters
        ----------
        executor
            A ``concurrent.futures`` executor that runs the tasks; by default threads of this process.
        progress
            Called with the rows that are done, and all rows; perhaps from other threads, but never twice at a time. On an executor
            it is told of whole tasks.
        **options
            See :class:`~lancelet.compact.options.CompactionOptions`; the config of the dataset has the defaults
            (``lance.compaction.<option>``).

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
            An index would not be true any more, and `drop_indices` is not given; or the dataset can only be read.

        Examples
        --------
        >>> ds.optimize.compact_files(target_rows_per_fragment=1_000_000)  # doctest: +SKIP
        """
        check_writable(self._dataset.manifest)
        return compact_files(self._dataset, executor=executor, progress=progress, **options)

    def plan(self, **options: Any) -> CompactionPlan:
        """Say what :meth:`compact_files` would do, and why; nothing is written. ``print`` shows a plan as a table.

        Raises
        ------
        OptionError
            An option is unknown or out of range.
        """
        dataset = self._dataset
        return plan_compaction(
            dataset.snapshot, dataset.manifest, CompactionOptions.of(dataset.manifest.config, **options)
        )
