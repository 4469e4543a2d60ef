"""Files that came out larger than they may be: how much less must go into each of them.

What rows take is only known when they are written. So they are written, looked at, and written again in smaller files if need be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lancelet.compact.source import open_data_file
from lancelet.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile, FragmentMetadata

__all__ = ["MOST_ATTEMPTS", "Progress", "fitting_part", "fitting_rows"]

#: How often rows are written before it is an error.
MOST_ATTEMPTS = 8
#: Files are made so much smaller than their sizes demand, as a part of the whole: not all rows take the same.
_MARGIN = 0.85
#: Once a file has so few rows, what describes it takes no less with fewer.
_FEW_ROWS = 1000


class Progress:
    """Numbers of rows that add up to those there are, however often they are written.

    Parameters
    ----------
    told
        Called with numbers of rows; ``None``: nobody wants to know.
    """

    def __init__(self, told: Callable[[int], None] | None) -> None:
        self._told = told
        self._most = self._done = 0

    def restart(self) -> None:
        """Begin anew: what was told is not told again."""
        self._done = 0

    def __call__(self, num_rows: int) -> None:
        """Tell of rows that are done, as far as they were not told of before."""
        self._done += num_rows
        if self._told is not None and self._done > self._most:
            self._told(self._done - self._most)
        self._most = max(self._most, self._done)


def fitting_part(fragments: Sequence[FragmentMetadata], max_bytes: int) -> float | None:
    """Return what part of its bytes may go into each file; ``None``: as many as now, all files keep to `max_bytes`.

    Files of one row may be of any size: it cannot be parted.
    """
    sizes = [file.file_size_bytes or 0 for _, file in _too_large(fragments, max_bytes)]
    return max_bytes / max(sizes) * _MARGIN if sizes else None


def fitting_rows(store: Store, fragments: Sequence[FragmentMetadata], max_bytes: int) -> int | None:
    """Return how many rows should go into a file; ``None``: as many as now, all files keep to `max_bytes`.

    Parameters
    ----------
    store
        The dataset.
    fragments
        What was written.
    max_bytes
        Most bytes of a file of more than one row.

    Raises
    ------
    OptionError
        Already what describes a file takes more.
    FormatError
        A file is damaged.
    """
    wanted = [_rows_that_fit(store, *found, max_bytes) for found in _too_large(fragments, max_bytes)]
    return min(wanted, default=None)


def _too_large(fragments: Sequence[FragmentMetadata], max_bytes: int) -> list[tuple[int, DataFile]]:
    """Return rows and description of files that are too large."""
    files = [(fragment.physical_rows or 0, file) for fragment in fragments for file in fragment.files]
    return [(rows, file) for rows, file in files if rows > 1 and (file.file_size_bytes or 0) > max_bytes]


def _rows_that_fit(store: Store, num_rows: int, file: DataFile, max_bytes: int) -> int:
    """Return how many of its rows a file may have; what describes it, behind the data, takes about the same with fewer."""
    container = open_data_file(store, file)
    with container.source as source:
        num_bytes, data_bytes = source.size(), container.data_stop
    room = max_bytes - (num_bytes - data_bytes)
    if room > 0:
        return max(min(int(num_rows * room / data_bytes * _MARGIN), num_rows - 1), 1)
    if num_rows <= _FEW_ROWS:
        raise OptionError(
            f"a file may have {max_bytes} bytes (max_bytes_per_file), and what describes one takes {num_bytes - data_bytes}"
        )
    return max(num_rows // 8, 1)
