"""Portable Roaring bitmaps of 32-bit numbers, as deletion files and index metadata hold them (dataset.md 4).

Numbers that share their upper 16 bits, the key, stand in one container, which holds the lower 16 bits. All integers are little
endian:

========================  ============================================================================
part                      meaning
========================  ============================================================================
u32 cookie                12346: no run containers; a u32 follows, the number of containers. In the lower
                          half 12347: the upper half is the number of containers minus 1
run flags                 with 12347 only: a bit for each container, least significant first
u16 key, u16 number - 1   for each container, keys ascending
u32 position              of each container from the first byte on; with 12347 only from 4 containers on
containers                u16 each, ascending (up to 4096 numbers); or 8192 bytes, a bit for each number; or
                          u16 number of runs, then u16 start and u16 length - 1 of each
========================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

import numpy as np

from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lancelet.buffers import Data, Int64Array

__all__ = ["NumberSet", "count_numbers", "decode_bitmap", "encode_bitmap"]

_PLAIN = 12346
_WITH_RUNS = 12347
#: With run containers, the positions stand only from this many containers on.
_POSITIONS_FROM = 4
#: Containers of more numbers are bit sets.
_MOST_IN_ARRAY = 4096
_BITSET_BYTES = 8192
_MOST_CONTAINERS = 1 << 16

#: Bitmaps whose size nobody knows are decoded up to so many numbers: run containers are short for many.
_DEFAULT_LIMIT = 1 << 26


def decode_bitmap(data: Data, *, limit: int = _DEFAULT_LIMIT) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the numbers of a bitmap.

    Parameters
    ----------
    data
        The bitmap, and nothing behind it.
    limit
        Most numbers that it can hold. It bounds the memory: 4 bytes each.

    Returns
    -------
    uint32[num]
        Ascending, each once.

    Raises
    ------
    FormatError
        The bitmap is damaged, or there are more numbers.
    """
    view = memoryview(data).cast("B")
    keys, counts, has_runs, position = _read_header(view)
    total = int(counts.sum())
    if total > limit:
        raise FormatError(f"a bitmap has {total} numbers, more than the {limit} that are possible")
    numbers = np.empty(total, np.uint32)
    start = 0
    for key, count, is_runs in zip(keys.tolist(), counts.tolist(), has_runs.tolist(), strict=True):
        target = numbers[start : start + count]
        position += _read_container(view[position:], is_runs, target)
        target |= np.uint32(key << 16)
        start += count
    _check_end(view, position)
    return numbers


def count_numbers(data: Data) -> int:
    """Return how many numbers a bitmap says that it has; its containers are not looked at.

    Raises
    ------
    FormatError
        What stands before the containers is damaged.
    """
    _, counts, _, _ = _read_header(memoryview(data).cast("B"))
    return int(counts.sum())


class NumberSet(Set[int]):
    """The numbers of a bitmap, as a set that keeps runs and never spells them out: a few bytes may stand for all 2**32.

    What is in it is told by a search; so is what it has in common with a small set. Going through it takes as long as it takes.

    Parameters
    ----------
    data
        The bitmap, and nothing behind it.

    Raises
    ------
    FormatError
        The bitmap is damaged.

    Examples
    --------
    >>> numbers = NumberSet(encode_bitmap(np.array([3, 4, 9])))
    >>> len(numbers), 4 in numbers, {1, 9} & numbers
    (3, True, {9})
    """

    __slots__ = ("_num", "_starts", "_stops")

    def __init__(self, data: Data) -> None:
        view = memoryview(data).cast("B")
        keys, counts, has_runs, position = _read_header(view)
        starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for key, count, is_runs in zip(keys.tolist(), counts.tolist(), has_runs.tolist(), strict=True):
            if is_runs:
                first, lengths, size = _read_runs(view[position:], count)
                last = first + lengths
            else:
                numbers = np.empty(count, np.uint32)
                size = _read_container(view[position:], False, numbers)
                first, last = _runs_of(numbers.astype(np.int64))
            position += size
            starts.append(first + (key << 16))
            stops.append(last + (key << 16))
        _check_end(view, position)
        self._starts, self._stops = np.concatenate(starts), np.concatenate(stops)
        self._num = int(counts.sum())

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        """Make what operations of sets return."""
        return set(it)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        place = int(np.searchsorted(self._starts, number, "right")) - 1
        return place >= 0 and number < int(self._stops[place])

    def __iter__(self) -> Iterator[int]:
        for start, stop in zip(self._starts.tolist(), self._stops.tolist(), strict=True):
            yield from range(start, stop)

    def __len__(self) -> int:
        return self._num

    @property
    def highest(self) -> int:
        """The highest number, -1 if there is none."""
        return int(self._stops[-1]) - 1 if self._num else -1

    def __repr__(self) -> str:
        return f"NumberSet({self._num} numbers in {len(self._starts)} runs)"


def encode_bitmap(numbers: np.ndarray[Any, Any]) -> bytes:
    """Return a bitmap without run containers.

    Parameters
    ----------
    numbers
        uint32[num], ascending, each once.
    """
    numbers = np.ascontiguousarray(numbers, np.uint32)
    keys, starts, counts = np.unique(numbers >> np.uint32(16), return_index=True, return_counts=True)
    lower = numbers.astype("<u2")
    containers = [
        _write_container(lower[start : start + count])
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
    ]
    header = np.empty((len(keys), 2), "<u2")
    header[:, 0] = keys
    header[:, 1] = counts - 1
    sizes = [8 + 8 * len(keys), *map(len, containers)]
    positions = np.cumsum(sizes[:-1] if containers else [], dtype="<u4")
    cookie = np.array([_PLAIN, len(keys)], "<u4")
    return b"".join([cookie.tobytes(), header.tobytes(), positions.tobytes(), *containers])


def _read_header(
    view: memoryview,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Return keys, counts (int64) and run flags of the containers, and the position of the first container."""
    cookie = int.from_bytes(_part(view, 0, 4), "little")
    has_runs = np.zeros(0, bool)
    if cookie == _PLAIN:
        num = int.from_bytes(_part(view, 4, 4), "little")
        position = 8
    elif cookie & 0xFFFF == _WITH_RUNS:
        num = (cookie >> 16) + 1
        position = 4 + (num + 7) // 8
        flags = np.frombuffer(_part(view, 4, position - 4), np.uint8)
        has_runs = np.unpackbits(flags, bitorder="little", count=num).astype(bool)
    else:
        raise FormatError(f"a bitmap begins with {cookie:#x}, which is no kind of Roaring bitmap")
    if num > _MOST_CONTAINERS:
        raise FormatError(f"a bitmap has {num} containers; {_MOST_CONTAINERS} are possible")
    described = np.frombuffer(_part(view, position, 4 * num), "<u2").reshape(num, 2)
    position += 4 * num
    keys, counts = described[:, 0].astype(np.int64), described[:, 1].astype(np.int64) + 1
    if (np.diff(keys) <= 0).any():
        raise FormatError("the keys of a bitmap do not ascend")
    if cookie == _PLAIN:
        has_runs = np.zeros(num, bool)
    if cookie == _PLAIN or num >= _POSITIONS_FROM:
        # The containers stand back to back, so that their positions say nothing new.
        _part(view, position, 4 * num)
        position += 4 * num
    return keys, counts, has_runs, position


def _read_container(view: memoryview, is_runs: bool, target: np.ndarray[Any, Any]) -> int:
    """Fill `target` with the lower halves of the numbers; return how many bytes the container has."""
    if is_runs:
        starts, lengths, size = _read_runs(view, len(target))
        before = np.cumsum(lengths) - lengths
        target[:] = np.arange(len(target)) + np.repeat(starts - before, lengths)
        return size
    if len(target) <= _MOST_IN_ARRAY:
        target[:] = np.frombuffer(_part(view, 0, 2 * len(target)), "<u2")
        _check_ascending(target)
        return 2 * len(target)
    bits = np.unpackbits(np.frombuffer(_part(view, 0, _BITSET_BYTES), np.uint8), bitorder="little")
    found = np.flatnonzero(bits)
    if len(found) != len(target):
        raise FormatError(f"a container of a bitmap has {len(found)} numbers in place of {len(target)}")
    target[:] = found
    return _BITSET_BYTES


def _read_runs(view: memoryview, num_numbers: int) -> tuple[Int64Array, Int64Array, int]:
    """Return where the runs of a container begin, how long they are, and how many bytes the container has."""
    num_runs = int.from_bytes(_part(view, 0, 2), "little")
    runs = np.frombuffer(_part(view, 2, 4 * num_runs), "<u2").reshape(num_runs, 2).astype(np.int64)
    starts, lengths = runs[:, 0], runs[:, 1] + 1
    total = int(lengths.sum())
    if total != num_numbers:
        raise FormatError(f"the runs of a bitmap have {total} numbers in place of {num_numbers}")
    if (starts[1:] < (starts + lengths)[:-1]).any() or int(starts[-1] + lengths[-1]) > 1 << 16:
        raise FormatError("the runs of a bitmap overlap, or do not ascend")
    return starts, lengths, 2 + 4 * num_runs


def _runs_of(numbers: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return where the runs of ascending numbers, of which there are some, begin and end."""
    cuts = np.flatnonzero(np.diff(numbers) != 1)
    return numbers[np.concatenate(([0], cuts + 1))], numbers[np.concatenate((cuts, [len(numbers) - 1]))] + 1


def _write_container(lower: np.ndarray[Any, Any]) -> bytes:
    if len(lower) <= _MOST_IN_ARRAY:
        return lower.tobytes()
    bits = np.zeros(8 * _BITSET_BYTES, np.uint8)
    bits[lower] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def _check_end(view: memoryview, position: int) -> None:
    if position != len(view):
        raise FormatError(f"a bitmap has {len(view)} bytes, and its containers end at {position}")


def _check_ascending(numbers: np.ndarray[Any, Any]) -> None:
    if (numbers[1:] <= numbers[:-1]).any():
        raise FormatError("the numbers of a bitmap do not ascend")


def _part(view: memoryview, position: int, size: int) -> memoryview:
    if position + size > len(view):
        raise FormatError(f"a bitmap of {len(view)} bytes ends within its {size} bytes at {position}")
    return view[position : position + size]
