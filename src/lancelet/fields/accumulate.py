"""A queue of arrays that is full when its logical bytes pass a budget (structural.md 2.2).

Logical bytes are those that a slice refers to, not the buffers behind it, so that slices of one large array do not fill the queue
before their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lancelet.fields.joining import Scale, join, logical_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["Accumulator", "Waiting", "cut_rows", "joined"]

#: Arrays are joined up to this size: 32-bit offsets end at 2 GiB.
_MAX_JOINED_BYTES = 1 << 30


class Waiting(NamedTuple):
    """What waited in a queue.

    Attributes
    ----------
    arrays
        The arrays with the file row of the first value of each.
    num_bytes
        Their logical bytes.
    """

    arrays: list[tuple[pa.Array, int]]
    num_bytes: int


class Accumulator:
    """Arrays of one column that wait for their page.

    Parameters
    ----------
    budget
        Bytes that may wait; a queue that holds more is full.
    keep_original
        Queue arrays as they are. Otherwise what waits is copied, so that a few values do not keep a large buffer alive; an array
        that fills the queue at once is never copied.
    """

    def __init__(self, budget: int, keep_original: bool) -> None:
        self._budget = budget
        self._keep_original = keep_original
        self._arrays: list[tuple[pa.Array, int]] = []
        self._num_bytes = 0
        self._scale = Scale()

    def add(self, array: pa.Array, first_row: int) -> Waiting:
        """Queue `array`; gives all that waited, as :meth:`take` does, when the queue is full."""
        self._num_bytes += self._scale.add(array)
        full = self._num_bytes > self._budget
        if not full and not self._keep_original:
            array = join([array, array.slice(0, 0)]) or array  # a single array would not be copied
        self._arrays.append((array, first_row))
        return self.take() if full else Waiting([], 0)

    def take(self) -> Waiting:
        """Empty the queue. :func:`joined` makes as few arrays of what waited as can hold it."""
        waiting = Waiting(self._arrays, self._num_bytes)
        self._arrays, self._num_bytes, self._scale = [], 0, Scale()
        return waiting


def joined(waiting: Waiting) -> list[tuple[pa.Array, int]]:
    """Join arrays with their file rows: to one, to several when one could not hold them, to none when nothing waits.

    `waiting` is emptied, so that nothing is held twice.
    """
    arrays, num_bytes = list(waiting.arrays), waiting.num_bytes
    waiting.arrays.clear()
    return arrays if num_bytes > _MAX_JOINED_BYTES else _joined(arrays)


def _joined(waiting: list[tuple[pa.Array, int]]) -> list[tuple[pa.Array, int]]:
    """Join as many arrays as one can hold."""
    if len(waiting) < 2:
        return waiting
    whole = join([array for array, _ in waiting])
    if whole is not None:
        return [(whole, waiting[0][1])]
    half = len(waiting) // 2
    return _joined(waiting[:half]) + _joined(waiting[half:])


def cut_rows(array: pa.Array, max_bytes: int) -> Iterator[tuple[pa.Array, int]]:
    """Cut `array` at row boundaries into slices of at most `max_bytes` logical bytes; one row is never cut.

    Yields
    ------
    tuple[pyarrow.Array, int]
        A slice and its logical bytes.
    """
    num_rows, start = len(array), 0
    while start < num_rows:
        rest = array.slice(start) if start else array
        num_bytes = logical_bytes(rest)
        if num_bytes > max_bytes:
            low, high = 1, num_rows - start
            while low < high:
                middle = (low + high + 1) // 2
                if logical_bytes(array.slice(start, middle)) <= max_bytes:
                    low = middle
                else:
                    high = middle - 1
            rest = array.slice(start, low)
            num_bytes = logical_bytes(rest)
        yield rest, num_bytes
        start += len(rest)
