"""Stable row ids of fragments, the versions in which rows came and changed, and the way from ids to rows (dataset.md 5)."""

from __future__ import annotations

from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from google.protobuf.message import DecodeError

from lancelet.errors import FormatError, OptionError
from lancelet.pb import rowids_pb2
from lancelet.table.formats.segments import (
    MAX_LENGTH,
    decode_segment,
    encode_segment,
    expand_runs,
    remove_offsets,
    runs_of,
    segment_length,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

    from lancelet.storage import Store
    from lancelet.table.formats.metadata import FragmentMetadata, Sequence64

__all__ = ["RowIdIndex", "RowIds", "Versions", "doubled_ids", "read_row_ids", "read_versions"]

_MAX_ID = (1 << 64) - 1
#: Row addresses keep the position in the fragment in 32 bits.
_MAX_ROWS = 1 << 32


class RowIds:
    """The row ids of a fragment, one for each physical row. Nobody changes it; pickled, it travels as it is.

    Ids are kept as runs of consecutive ones, so that a range of any length costs nothing. Runs belong to segments, which is how
    they are stored: operations keep segments apart, as the reference does, but for ranges that continue each other.

    Parameters
    ----------
    starts
        uint64[num_runs], the first id of each run.
    lengths
        int64[num_runs], how many ids it has; none is empty.
    segments
        int64[num_runs], to which segment it belongs; never descending.

    Examples
    --------
    >>> ids = RowIds.range(10, 20).without([0, 3])
    >>> ids.to_numpy().tolist()
    [11, 12, 14, 15, 16, 17, 18, 19]
    >>> RowIds.parse(ids.serialize()).take([2, 0]).tolist()
    [14, 11]
    """

    def __init__(
        self, starts: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], segments: np.ndarray[Any, Any]
    ) -> None:
        self._starts = starts
        self._lengths = lengths
        self._segments = segments
        self._num = int(lengths.sum())

    @classmethod
    def range(cls, start: int, stop: int) -> RowIds:
        """Return the ids from `start` to `stop`, which is not one of them.

        Raises
        ------
        OptionError
            There are no such ids.
        """
        if not 0 <= start <= stop <= _MAX_ID or stop - start > MAX_LENGTH:
            raise OptionError(f"row ids from {start} to {stop} are not possible")
        num_runs = int(stop > start)
        return cls(
            np.full(num_runs, start, np.uint64),
            np.full(num_runs, stop - start, np.int64),
            np.zeros(num_runs, np.int64),
        )

    @classmethod
    def from_numpy(cls, ids: ArrayLike) -> RowIds:
        """Return ids in any order, as one segment.

        Raises
        ------
        OptionError
            Something is no id.
        """
        starts, lengths = runs_of(_unsigned(ids))
        return cls(starts, lengths, np.zeros(len(starts), np.int64))

    @classmethod
    def parse(cls, data: bytes) -> RowIds:
        """Read a stored sequence. It may be long for its bytes: compare its length before ids are spelt out.

        Raises
        ------
        FormatError
            The sequence is damaged.
        """
        message = _parse(rowids_pb2.RowIdSequence, data)
        stored = message.segments
        if len(stored) == 1 and stored[0].HasField("range"):  # nearly always
            starts, lengths = decode_segment(stored[0])
            return cls(starts, lengths, np.zeros(len(starts), np.int64))
        runs = [decode_segment(segment) for segment in stored]
        if sum([int(lengths.sum()) for _, lengths in runs]) > MAX_LENGTH:
            raise FormatError("a sequence of row ids is longer than possible")
        return cls(
            np.concatenate([np.empty(0, np.uint64), *(starts for starts, _ in runs)]),
            np.concatenate([np.empty(0, np.int64), *(lengths for _, lengths in runs)]),
            np.repeat(np.arange(len(runs)), [len(starts) for starts, _ in runs]),
        )

    @classmethod
    def concat(cls, parts: Iterable[RowIds]) -> RowIds:
        """Return the ids of all parts, one after the other. Ranges that continue each other become one."""
        parts = list(parts)
        if sum(map(len, parts)) > MAX_LENGTH:
            raise OptionError("a sequence of row ids is longer than possible")
        segments = [np.empty(0, np.int64)]
        num_segments = 0
        for part in parts:
            segments.append(part._segments + num_segments)
            num_segments += int(part._segments[-1]) + 1 if len(part._segments) else 0
        return cls(
            np.concatenate([np.empty(0, np.uint64), *(part._starts for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part._lengths for part in parts)]),
            np.concatenate(segments),
        )._joined()

    def serialize(self) -> bytes:
        """Return the sequence as stored; each segment has the form that dataset.md 5 gives it."""
        cuts = np.flatnonzero(np.diff(self._segments)) + 1
        starts, lengths = np.split(self._starts, cuts), np.split(self._lengths, cuts)
        segments = [encode_segment(*runs) for runs in zip(starts, lengths, strict=True) if len(runs[0])]
        return rowids_pb2.RowIdSequence(segments=segments).SerializeToString()

    @property
    def runs(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The runs of consecutive ids: uint64[num_runs], where each starts, and int64[num_runs], how many ids it has."""
        return self._starts, self._lengths

    def to_numpy(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return all ids, ``uint64[len(self)]``; compare the length with that of the fragment before."""
        return expand_runs(self._starts, self._lengths)

    def take(self, offsets: ArrayLike) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return the ids at some positions, in any order: ``uint64[len(offsets)]``.

        Raises
        ------
        OptionError
            There is no such position.
        """
        places = _positions(offsets, self._num)
        if len(self._starts) == 1:
            ids: np.ndarray[Any, np.dtype[np.uint64]] = places.astype(np.uint64) + self._starts[0]
            return ids
        run = np.searchsorted(self._begins, places, "right") - 1
        return self._starts[run] + (places - self._begins[run]).astype(np.uint64)

    def without(self, offsets: ArrayLike) -> RowIds:
        """Return the ids but those at some positions, which ascend.

        Raises
        ------
        OptionError
            There is no such position, or they do not ascend.
        """
        places = _positions(offsets, self._num)
        if (places[1:] <= places[:-1]).any():
            raise OptionError("the positions of rows to leave out do not ascend")
        if not len(places):
            return self
        return self._pieces(*remove_offsets(self._begins, self._num, places))

    def slice(self, start: int, stop: int) -> RowIds:
        """Return the ids from position `start` to `stop`, which is not one of them.

        Raises
        ------
        OptionError
            The positions lie outside.
        """
        if not 0 <= start <= stop <= self._num:
            raise OptionError(f"positions {start} to {stop} are outside of the {self._num} row ids")
        ends = self._begins + self._lengths
        first = int(np.searchsorted(ends, start, "right"))
        last = int(np.searchsorted(self._begins, stop, "left")) if stop > start else first
        begins = np.maximum(self._begins[first:last], start)
        return self._pieces(begins, np.minimum(ends[first:last], stop) - begins, np.arange(first, last))

    @cached_property
    def _begins(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Position at which each run begins, int64[num_runs]."""
        begins: np.ndarray[Any, np.dtype[np.int64]] = np.cumsum(self._lengths) - self._lengths
        return begins

    def _pieces(
        self, begins: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], runs: np.ndarray[Any, Any]
    ) -> RowIds:
        starts = self._starts[runs] + (begins - self._begins[runs]).astype(np.uint64)
        return RowIds(starts, lengths, self._segments[runs])

    def _joined(self) -> RowIds:
        """Return the same ids, with segments that are ranges and continue each other as one."""
        if len(self._starts) < 2:
            return self
        alone = np.bincount(self._segments)[self._segments] == 1
        follows = self._starts[:-1] + self._lengths[:-1].astype(np.uint64) == self._starts[1:]
        begins = np.concatenate([[True], ~(alone[:-1] & alone[1:] & follows & (self._starts[1:] != 0))])
        first = np.flatnonzero(begins)
        return RowIds(self._starts[first], np.add.reduceat(self._lengths, first), self._segments[first])

    def __len__(self) -> int:
        return self._num

    def __repr__(self) -> str:
        return f"RowIds({self._num} ids in {len(self._starts)} runs)"


class Versions:
    """One version for each physical row of a fragment. Nobody changes it; pickled, it travels as it is.

    Parameters
    ----------
    lengths
        int64[num_runs], how many rows in sequence have the same version.
    versions
        uint64[num_runs], which one.

    Examples
    --------
    >>> versions = Versions.concat([Versions.constant(2, 1), Versions.constant(1, 7)])
    >>> Versions.parse(versions.serialize()).to_numpy().tolist()
    [1, 1, 7]
    """

    def __init__(self, lengths: np.ndarray[Any, Any], versions: np.ndarray[Any, Any]) -> None:
        begins = np.concatenate([[True], versions[1:] != versions[:-1]])[: len(versions)]
        first = np.flatnonzero(begins)
        self._lengths = np.add.reduceat(lengths, first) if len(first) else lengths
        self._versions = versions[first]
        self._num = int(self._lengths.sum())

    @classmethod
    def constant(cls, length: int, version: int) -> Versions:
        """Return the same version for `length` rows."""
        num_runs = int(length > 0)
        return cls(np.full(num_runs, length, np.int64), np.full(num_runs, version, np.uint64))

    @classmethod
    def parse(cls, data: bytes) -> Versions:
        """Read a stored sequence. It may be long for its bytes: compare its length before versions are spelt out.

        Raises
        ------
        FormatError
            The sequence is damaged.
        """
        message = _parse(rowids_pb2.RowDatasetVersionSequence, data)
        lengths = [segment_length(run.span) for run in message.runs]
        if sum(lengths) > MAX_LENGTH:
            raise FormatError("a sequence of versions is longer than possible")
        kept = np.array(lengths, np.int64)
        versions = np.array([run.version for run in message.runs], np.uint64)
        return cls(kept[kept > 0], versions[kept > 0])

    @classmethod
    def concat(cls, parts: Iterable[Versions]) -> Versions:
        """Return the versions of all parts, one after the other."""
        parts = list(parts)
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part._lengths for part in parts)]),
            np.concatenate([np.empty(0, np.uint64), *(part._versions for part in parts)]),
        )

    def serialize(self) -> bytes:
        """Return the sequence as stored; the span of a run is the range of its positions."""
        message = rowids_pb2.RowDatasetVersionSequence()
        ends = np.cumsum(self._lengths).tolist()
        for start, end, version in zip([0, *ends[:-1]], ends, self._versions.tolist(), strict=False):
            run = message.runs.add(version=version)
            run.span.range.start = start
            run.span.range.end = end
        return message.SerializeToString()

    def to_numpy(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return all versions, ``uint64[len(self)]``."""
        return np.repeat(self._versions, self._lengths)

    def take(self, offsets: ArrayLike) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return the versions at some positions, in any order: ``uint64[len(offsets)]``.

        Raises
        ------
        OptionError
            There is no such position.
        """
        places = _positions(offsets, self._num)
        if len(self._versions) == 1:
            return np.full(len(places), self._versions[0])
        return self._versions[np.searchsorted(np.cumsum(self._lengths), places, "right")]

    def without(self, offsets: ArrayLike) -> Versions:
        """Return the versions but those at some positions, which ascend.

        Raises
        ------
        OptionError
            There is no such position, or they do not ascend.
        """
        places = _positions(offsets, self._num)
        if (places[1:] <= places[:-1]).any():
            raise OptionError("the positions of rows to leave out do not ascend")
        ends = np.cumsum(self._lengths)
        removed = np.diff(np.searchsorted(places, ends), prepend=0)
        left = self._lengths - removed
        return Versions(left[left > 0], self._versions[left > 0])

    def slice(self, start: int, stop: int) -> Versions:
        """Return the versions from position `start` to `stop`, which is not one of them.

        Raises
        ------
        OptionError
            The positions lie outside.
        """
        if not 0 <= start <= stop <= self._num:
            raise OptionError(f"positions {start} to {stop} are outside of the {self._num} versions")
        ends = np.cumsum(self._lengths)
        left = np.minimum(ends, stop) - np.maximum(ends - self._lengths, start)
        return Versions(left[left > 0], self._versions[left > 0])

    def __len__(self) -> int:
        return self._num

    def __repr__(self) -> str:
        return f"Versions({self._num} rows in {len(self._versions)} runs)"


class RowIdIndex:
    """Finds the address of a row by its stable id, among the rows that are not deleted.

    Memory and time go by the runs of consecutive ids, not by rows: fragments that were only appended to have one run each.

    Parameters
    ----------
    fragments
        Fragment id -> its row ids, and the positions of its deleted rows (uint32[num], ascending).

    Raises
    ------
    FormatError
        Two rows have the same id, or a fragment has more rows than addresses, or fewer than it has deleted.
    """

    def __init__(self, fragments: Mapping[int, tuple[RowIds, np.ndarray[Any, Any]]]) -> None:
        numbers = np.array(list(fragments), np.uint64)
        ids = [found for found, _ in fragments.values()]
        sizes = np.array(list(map(len, ids)), np.int64)
        if len(sizes) and int(sizes.max()) > _MAX_ROWS:
            raise FormatError(f"a fragment of {int(sizes.max())} rows has more than there are addresses")
        # All fragments are laid out one after the other.
        bases = np.cumsum(sizes) - sizes
        starts = np.concatenate([np.empty(0, np.uint64), *(found.runs[0] for found in ids)])
        lengths = np.concatenate([np.empty(0, np.int64), *(found.runs[1] for found in ids)])
        begins = np.cumsum(lengths) - lengths
        owner = np.repeat(np.arange(len(ids)), [len(found.runs[0]) for found in ids])
        deleted = _deleted(fragments, bases.tolist())
        if len(deleted):
            left, lengths, runs = remove_offsets(begins, int(sizes.sum()), deleted)
            starts = starts[runs] + (left - begins[runs]).astype(np.uint64)
            begins, owner = left, owner[runs]
        addresses = (numbers[owner] << np.uint64(32)) + (begins - bases[owner]).astype(np.uint64)
        order = np.argsort(starts, kind="stable")
        self._starts = starts[order]
        self._lasts = self._starts + (lengths[order].astype(np.uint64) - np.uint64(1))
        self._addresses = addresses[order]
        doubled = np.flatnonzero(self._starts[1:] <= self._lasts[:-1])
        if len(doubled):
            raise FormatError(f"more than one row has the row id {self._starts[1:][doubled[0]]}")

    def lookup(self, ids: ArrayLike) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Return the row addresses of ids, in any order: ``uint64[len(ids)]``.

        Raises
        ------
        OptionError
            There is no such row, or it is deleted; the message names the id.
        """
        wanted = _unsigned(ids)
        if not len(wanted):
            return wanted
        if not len(self._starts):
            raise OptionError(f"there is no row with the row id {wanted[0]}")
        run = np.maximum(np.searchsorted(self._starts, wanted, "right") - 1, 0)
        missing = (wanted < self._starts[run]) | (wanted > self._lasts[run])
        if missing.any():
            raise OptionError(f"there is no row with the row id {wanted[np.argmax(missing)]}")
        addresses: np.ndarray[Any, np.dtype[np.uint64]] = self._addresses[run] + (wanted - self._starts[run])
        return addresses


def doubled_ids(parts: Iterable[RowIds]) -> tuple[int, int, int]:
    """Look for ids that more than one row has, without spelling out the ids.

    Parameters
    ----------
    parts
        The ids of rows.

    Returns
    -------
    num_doubled, first, highest
        How many rows have an id that another one has already, the first such id (-1: none), and the highest of all ids (-1: none).
    """
    parts = list(parts)
    starts = np.concatenate([np.empty(0, np.uint64), *(part.runs[0] for part in parts)])
    lengths = np.concatenate([np.empty(0, np.int64), *(part.runs[1] for part in parts)])
    if not len(starts):
        return 0, -1, -1
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    lasts = starts + (lengths[order].astype(np.uint64) - np.uint64(1))
    # What reaches furthest among the runs before a run begins before it too: up to there, its ids are known.
    reached = np.maximum.accumulate(lasts)
    again = np.flatnonzero(starts[1:] <= reached[:-1])
    shared = np.minimum(lasts[1:], reached[:-1])[again] - starts[1:][again]
    first = int(starts[1:][again[0]]) if len(again) else -1
    return int(shared.sum()) + len(again), first, int(reached[-1])


def read_row_ids(store: Store, fragment: FragmentMetadata) -> RowIds:
    """Return the stable row ids of a fragment, one for each physical row.

    Raises
    ------
    FormatError
        There are none, they are damaged, or there are more or fewer than rows.
    """
    if fragment.row_ids is None:
        raise FormatError(f"fragment {fragment.id} has no row ids")
    try:
        ids = RowIds.parse(_stored(store, fragment.row_ids))
        _check_length(len(ids), fragment)
    except FormatError as error:
        raise FormatError(f"row ids of fragment {fragment.id}: {error.message}", **error.place) from None
    return ids


def read_versions(
    store: Store, fragment: FragmentMetadata, which: Literal["created_at", "last_updated_at"]
) -> Versions:
    """Return in which version each physical row of a fragment came, or was last changed; with stable row ids only.

    What is not stored is version 1 for rows that came, and for changes the version in which the row came.

    Raises
    ------
    FormatError
        The versions are damaged, or there are more or fewer than rows.
    """
    stored = fragment.created_at if which == "created_at" else fragment.last_updated_at
    if stored is None:
        if which == "last_updated_at":
            return read_versions(store, fragment, "created_at")
        num_rows = fragment.physical_rows
        return Versions.constant(len(read_row_ids(store, fragment)) if num_rows is None else num_rows, 1)
    try:
        versions = Versions.parse(_stored(store, stored))
        _check_length(len(versions), fragment)
    except FormatError as error:
        raise FormatError(f"versions of fragment {fragment.id}: {error.message}", **error.place) from None
    return versions


def _stored(store: Store, sequence: Sequence64) -> bytes:
    """Return the bytes of a sequence, wherever they are."""
    if isinstance(sequence, bytes):
        return sequence
    try:
        return bytes(store.get_range(sequence.path, sequence.offset, sequence.size))
    except FileNotFoundError:
        raise FormatError("there is no such file, which should hold a sequence", path=sequence.path) from None
    except OptionError as error:  # a path that leads out of the dataset
        raise FormatError(f"a sequence lies outside of the dataset: {error}") from None


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise FormatError(f"a stored sequence is damaged: {error}") from None


def _check_length(num: int, fragment: FragmentMetadata) -> None:
    if fragment.physical_rows is not None and num != fragment.physical_rows:
        raise FormatError(f"there are {num} for {fragment.physical_rows} rows")


def _deleted(
    fragments: Mapping[int, tuple[RowIds, np.ndarray[Any, Any]]], bases: list[int]
) -> np.ndarray[Any, Any]:
    """Return the positions of deleted rows, with all fragments laid out one after the other."""
    parts = [np.empty(0, np.int64)]
    for (number, (ids, offsets)), base in zip(fragments.items(), bases, strict=True):
        if len(offsets):
            if int(offsets[-1]) >= len(ids):
                raise FormatError(f"row {offsets[-1]} of fragment {number} is deleted, which has {len(ids)}")
            parts.append(offsets.astype(np.int64) + base)
    return np.concatenate(parts)


def _unsigned(ids: ArrayLike) -> np.ndarray[Any, np.dtype[np.uint64]]:
    try:
        found = np.asarray(ids)
        if found.dtype.kind in ("f", "O") and isinstance(
            ids, (list, tuple)
        ):  # small and very large integers together
            found = np.array(list(map(index, ids)), np.uint64)
        if not len(found):
            return np.empty(0, np.uint64)
        if found.dtype.kind not in "iu" or found.ndim != 1 or (found.dtype.kind == "i" and found.min() < 0):
            raise OptionError("row ids are integers from 0 to 2**64 - 1, in one dimension")
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"row ids are integers from 0 to 2**64 - 1: {error}") from None
    return found.astype(np.uint64, copy=False)


def _positions(offsets: ArrayLike, num: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return positions as int64, once it is known that they lie within `num` rows."""
    found = _unsigned(offsets)
    if len(found) and int(found.max()) >= num:
        raise OptionError(f"there is no row {found.max()} among {num}")
    return found.astype(np.int64)
