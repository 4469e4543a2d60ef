"""Blob columns: bodies apart from the pages, which hold descriptors (structural.md 7.3, versions.md 5.9).

On the way down the bodies of a batch are reserved in :class:`~lancelet.fields.base.OutOfLineBuffers`, large ones without a copy,
and what waits for a page are their descriptors. On the way up pages give descriptors, and :class:`Bodies` says
which bytes of the file their values are. Descriptors of the second kind::

    kind u8   0 inline: position, size      in the same file
              1 packed, 2 dedicated         in a sidecar file of the dataset: blob_id
              3 external: blob_uri          elsewhere; size 0: the whole object
              4 managed: blob_uri           elsewhere
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks.arrow import valid_mask
from lancelet.buffers import EMPTY, allocate
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.fields.base import FieldEncoder
from lancelet.fields.paths import bitmap_of, innermost, storage_of, with_innermost
from lancelet.levels.layers import Layer
from lancelet.pages import blob
from lancelet.pages.base import ByteRange
from lancelet.schema.blobs import DESCRIPTOR_V1, DESCRIPTOR_V2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.fields.base import ColumnEnd, OutOfLineBuffers, PageTask
    from lancelet.fields.paths import LeafPath
    from lancelet.levels import Leaf
    from lancelet.pages.base import EncodedPage
    from lancelet.pages.choose import PageParams

    Mask = npt.NDArray[np.bool_]
    UInt64Array = npt.NDArray[np.uint64]

__all__ = [
    "DEDICATED",
    "EXTERNAL",
    "INLINE",
    "PACKED",
    "BlobEncoder",
    "Bodies",
    "check_places",
    "check_sidecars",
    "encode_descriptors",
    "with_one_validity",
]

#: Kinds of bodies; the fifth is managed, which is not known here.
INLINE, PACKED, DEDICATED, EXTERNAL = range(4)
_KINDS = ("inline", "packed", "dedicated", "external", "managed")
#: Bodies follow each other when no more than padding lies between them.
_MAX_GAP = 64
_MAX_TOTAL = 1 << 62
#: Smaller bodies are copied together with their padding, which costs less than a buffer for each.
_LARGE_BYTES = 4096
#: The byte between buffers of a file.
_PADDING = ord("H")


# ---------------------------------------------------------------- writing


class BlobEncoder(FieldEncoder):
    """Encodes a blob: one column of descriptors, which another encoder cuts into pages.

    Parameters
    ----------
    pages
        Encodes the column of descriptors.
    path
        The blob and what stands around it.
    """

    num_columns = 1

    def __init__(self, pages: FieldEncoder, path: LeafPath) -> None:
        self._pages = pages
        self._path = path

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Reserve the bodies of all values that somebody sees, and queue their descriptors."""
        leaf, containers = self._path.leaf, self._path.containers
        values, hidden = innermost(storage_of(array, leaf), containers)
        shown = _given(values) if hidden is None else _given(values) & ~hidden
        describe = _describe_second if self._path.value_type == DESCRIPTOR_V2 else _describe_first
        try:
            descriptors = describe(values, shown, out_of_line)
        except OptionError as error:
            raise OptionError(f"field {leaf.name!r}: {error}") from None
        described = with_innermost(array, containers, descriptors)
        return self._pages.add(described, first_row, num_rows, out_of_line)

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for the descriptors that wait."""
        return self._pages.flush(out_of_line)

    def finish(self) -> list[ColumnEnd]:
        """Describe the end of the column."""
        return self._pages.finish()


def encode_descriptors(leaf: Leaf, params: PageParams) -> EncodedPage:
    """Make a page of descriptors of the first kind; the layout does not depend on the data."""
    return blob.encode(leaf, params.version)


def _given(array: pa.Array) -> Mask:
    """Return ``bool[len(array)]``: which values are not null."""
    valid = valid_mask(array)
    return np.ones(len(array), np.bool_) if valid is None else valid


def _describe_first(values: pa.Array, shown: Mask, out_of_line: OutOfLineBuffers) -> pa.StructArray:
    return _structs(DESCRIPTOR_V1, values, map(pa.array, _reserve(values, shown, out_of_line)))


def _structs(type_: pa.DataType, values: pa.Array, children: Any) -> pa.StructArray:
    """Return descriptors that are null where `values` are."""
    return pa.Array.from_buffers(
        type_, len(values), [bitmap_of(values)], values.null_count, children=list(children)
    )


def _reserve(
    values: pa.Array, wanted: Mask, out_of_line: OutOfLineBuffers
) -> tuple[UInt64Array, UInt64Array]:
    """Reserve the `wanted` values of type large_binary; returns positions and sizes, 0 for others."""
    num_values = len(values)
    positions, sizes = np.zeros(num_values, np.uint64), np.zeros(num_values, np.uint64)
    _, offset_buffer, data_buffer = values.buffers()
    if num_values == 0 or data_buffer is None:
        return positions, sizes
    offsets = np.frombuffer(offset_buffer, np.int64, num_values + 1, 8 * values.offset)
    placed = np.flatnonzero(wanted & (offsets[1:] > offsets[:-1]))
    starts, lengths = offsets[placed], offsets[placed + 1] - offsets[placed]
    positions[placed] = _place(data_buffer, starts, lengths, out_of_line)
    sizes[placed] = lengths
    return positions, sizes


def _place(data: Data, starts: Int64Array, sizes: Int64Array, out_of_line: OutOfLineBuffers) -> Int64Array:
    """Reserve the parts of `data` in their order: large ones as they are, runs of small ones together; returns positions."""
    positions = np.empty(len(starts), np.int64)
    view, first = memoryview(data), 0
    for large in [*np.flatnonzero(sizes >= _LARGE_BYTES).tolist(), len(starts)]:
        if first < large:
            small = slice(first, large)
            positions[small] = _place_padded(data, starts[small], sizes[small], out_of_line)
        if large < len(starts):
            start = int(starts[large])
            positions[large] = out_of_line.reserve(view[start : start + int(sizes[large])])
        first = large + 1
    return positions


def _place_padded(
    data: Data, starts: Int64Array, sizes: Int64Array, out_of_line: OutOfLineBuffers
) -> Int64Array:
    alignment = out_of_line.alignment
    ends = np.cumsum((sizes + (alignment - 1)) & -alignment)
    padded = allocate(int(ends[-1]))
    kernels.pad_parts(data, starts, sizes, alignment, _PADDING, padded)
    position = out_of_line.reserve(padded)
    return position + np.concatenate(([0], ends[:-1]))


def _describe_second(values: pa.StructArray, shown: Mask, out_of_line: OutOfLineBuffers) -> pa.StructArray:
    children = {field.name: values.field(index) for index, field in enumerate(values.type)}
    given = {name: _given(child) & shown for name, child in children.items()}
    if "kind" in children:
        kinds = _numbers(children, given, "kind", np.uint8)
        _check_prepared(kinds, given, shown)
        size_name = "blob_size"
    else:
        _check_logical(children, given, shown)
        kinds = np.where(given["uri"], np.uint8(EXTERNAL), np.uint8(INLINE))
        size_name = "size"
    _check(given["uri"] & (_text_lengths(children["uri"]) == 0), "has an empty uri")
    positions, sizes = _reserve(children["data"], given["data"], out_of_line)
    return _structs(
        DESCRIPTOR_V2,
        values,
        (
            pa.array(kinds),
            pa.array(positions + _numbers(children, given, "position", np.uint64)),
            pa.array(sizes + _numbers(children, given, size_name, np.uint64)),
            pa.array(_numbers(children, given, "blob_id", np.uint32)),
            _texts(children["uri"], given["uri"]),
        ),
    )


def _check(wrong: Mask, what: str, error: type[LanceletError] = OptionError) -> None:
    if wrong.any():
        raise error(f"blob {int(wrong.argmax())} of the batch {what}")


def _check_logical(children: dict[str, pa.Array], given: dict[str, Mask], shown: Mask) -> None:
    """Check what versions.md 5.9 asks of ``data, uri[, position, size]``."""
    data, uri = given["data"], given["uri"]
    _check(shown & (data == uri), "must have either data or a uri; a null blob is a null struct")
    if "position" not in children:
        return
    position, size = given["position"], given["size"]
    _check(
        (position != size) | (position & ~uri),
        "must have both a position and a size, or neither; with a uri only",
    )
    _check(size & (_numbers(children, given, "size", np.uint64) == 0), "has a range without bytes")


def _check_prepared(kinds: npt.NDArray[np.uint8], given: dict[str, Mask], shown: Mask) -> None:
    """Check that rows have what their kind needs, and data only where they are inline."""
    inline = shown & (kinds == INLINE)
    _check((given["kind"] != shown) | (kinds >= len(_KINDS)), f"is of none of the kinds {', '.join(_KINDS)}")
    _check(given["data"] != inline, "must have data if it is inline, and only then")
    for name in ("blob_size", "position", "blob_id", "uri"):
        _check(inline & given[name], f"is inline and has a {name}")
    for name in ("blob_id", "blob_size"):
        _check(
            (kinds > INLINE) & (kinds < EXTERNAL) & ~given[name], f"is in a sidecar file and has no {name}"
        )
    _check((kinds >= EXTERNAL) & ~given["uri"], "is external and has no uri")


def _numbers(children: dict[str, pa.Array], given: dict[str, Mask], name: str, dtype: Any) -> Any:
    """Return the numbers of a child, 0 where they are not given."""
    if name not in children:
        return np.zeros(len(given["uri"]), dtype)
    return np.where(given[name], _raw(children[name], dtype), dtype(0))


def _raw(numbers: pa.Array, dtype: Any) -> npt.NDArray[Any]:
    """View numbers; those below nulls are what they are."""
    data = numbers.buffers()[1]
    if data is None or len(numbers) == 0:
        return np.zeros(len(numbers), dtype)
    return np.frombuffer(data, dtype, len(numbers), numbers.offset * np.dtype(dtype).itemsize)


def _text_lengths(texts: pa.StringArray) -> npt.NDArray[np.int32]:
    if len(texts) == 0:
        return np.zeros(0, np.int32)
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return offsets[1:] - offsets[:-1]


def _texts(texts: pa.StringArray, given: Mask) -> pa.StringArray:
    """Return `texts`, empty where they are not given."""
    if not given.any():
        offsets = np.zeros(len(texts) + 1, np.int32)
        return pa.Array.from_buffers(
            pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(EMPTY)]
        )
    import pyarrow.compute as pc

    return pc.if_else(pa.array(given), texts, pa.scalar("", pa.string()))


# ---------------------------------------------------------------- reading


def with_one_validity(leaf: Leaf, num_kinds: int) -> Leaf:
    """Return the leaf of a blob of the second kind with as many layers as its path has.

    4.0.1 writes a layer for the struct and one for its child ``kind``; a row is null where either says so.

    Parameters
    ----------
    leaf
        As a page gives it.
    num_kinds
        Steps of the path.
    """
    layers = leaf.layers
    if len(layers) != num_kinds + 1 or layers[0].is_list or layers[1].is_list:
        return leaf
    num_def = layers[0].num_def + layers[1].num_def
    layer = Layer.NULLABLE_ITEM if num_def else Layer.ALL_VALID_ITEM
    def_ = leaf.def_
    if def_ is not None and num_def > 1:
        def_ = np.where(def_ > num_def, def_ - (num_def - 1), np.minimum(def_, 1)).astype(np.uint16)
    return replace(leaf, layers=(layer, *layers[2:]), def_=def_, structure=None)


def check_places(descriptors: pa.StructArray, data_stop: int) -> tuple[UInt64Array, UInt64Array]:
    """Return positions and sizes of bodies in the file; sizes are 0 for empty and null blobs, and for bodies elsewhere.

    Parameters
    ----------
    descriptors
        Of either kind.
    data_stop
        Position where the data of the file ends.

    Raises
    ------
    FormatError
        A body does not lie inside of the data.
    """
    positions, sizes = (_column(descriptors, name, np.uint64) for name in ("position", "size"))
    inside = _given(descriptors)
    if descriptors.type == DESCRIPTOR_V2:
        inside &= _column(descriptors, "kind", np.uint8) == INLINE
    sizes = np.where(inside, sizes, np.uint64(0))
    stop = np.uint64(data_stop)
    wrong = (sizes > 0) & ((sizes > stop) | (positions > stop - np.minimum(sizes, stop)))
    if wrong.any():
        first = int(wrong.argmax())
        raise FormatError(
            f"the body of a blob, {sizes[first]} bytes at {positions[first]}, "
            f"does not lie inside of the data, which ends at {data_stop}"
        )
    return positions, sizes


def _column(descriptors: pa.StructArray, name: str, dtype: Any) -> npt.NDArray[Any]:
    return _raw(descriptors.field(descriptors.type.get_field_index(name)), dtype)


class Bodies:
    """The values of some blobs: first which bytes of which file they are, then an array.

    Parameters
    ----------
    descriptors
        Of either kind.
    data_stop
        Position where the data of the file ends.
    sidecar_size
        Gives the size in bytes of a sidecar file by its number; ``None``: bodies in such files are not read.

    Attributes
    ----------
    ranges
        What to fetch of the file: bodies that follow each other, as they do in a scan, are one range.
    sidecar_ranges
        The same of sidecar files, by their numbers.

    Raises
    ------
    FormatError
        A body does not lie inside of the data, or of its sidecar file.
    UnsupportedError
        A body lies in another file that is not read.
    """

    def __init__(
        self, descriptors: pa.StructArray, data_stop: int, sidecar_size: Callable[[int], int] | None = None
    ) -> None:
        positions, sizes = check_places(descriptors, data_stop)
        owners = np.zeros(len(sizes), np.uint32)
        if descriptors.type == DESCRIPTOR_V2:
            owners, moved = _owners(descriptors, sidecar_size)
            sizes = np.where(owners > 0, moved, sizes)
        self._nulls = bitmap_of(descriptors), descriptors.null_count
        self._sizes = sizes.astype(np.int64)
        present = np.flatnonzero(sizes)
        starts = positions[present].astype(np.int64)
        stops = starts + self._sizes[present]
        owners = owners[present]
        gaps = starts[1:] - stops[:-1]
        others = owners[1:] != owners[:-1]
        opens = np.concatenate(([True], others | (gaps < 0) | (gaps >= _MAX_GAP)))[: len(starts)]
        self._firsts = np.flatnonzero(opens)
        lasts = np.concatenate((self._firsts[1:], [len(starts)]))[: len(self._firsts)] - 1
        bounds = zip(starts[self._firsts].tolist(), stops[lasts].tolist(), strict=True)
        self._runs_of: dict[int, list[int]] = {0: []}
        ranges_of: dict[int, list[ByteRange]] = {0: []}
        for run, ((start, stop), owner) in enumerate(zip(bounds, owners[self._firsts].tolist(), strict=True)):
            self._runs_of.setdefault(owner, []).append(run)
            ranges_of.setdefault(owner, []).append(ByteRange(start, stop - start))
        self.ranges = tuple(ranges_of.pop(0))
        self.sidecar_ranges = ranges_of
        self._shifts = starts - starts[self._firsts][np.cumsum(opens) - 1]
        self._is_view = len(self.ranges) == 1 and not ranges_of and not gaps.any()

    def reserve(self, allocate: Allocate) -> Any:
        """Allocate what the values take together, so that the limit of the result is checked before anything is fetched."""
        # Sizes are below the size of the file, but there may be many: no sum of two 32-bit halves wraps.
        high, low = (int(half.sum()) for half in (self._sizes >> 32, self._sizes & 0xFFFFFFFF))
        total = (high << 32) + low
        if total > _MAX_TOTAL:
            raise OptionError(f"the blobs take {total} bytes; read fewer rows at a time")
        return allocate(total)

    def join(self, fetched: Sequence[Data], out: Any) -> pa.Array:
        """Make the array of type large_binary; what lies in sidecar files is in `out` already, by :meth:`fill`.

        Parameters
        ----------
        fetched
            The bytes of :attr:`ranges`.
        out
            What :meth:`reserve` gave. It is filled, or let go: bodies without gaps between them are the values as they are.
        """
        offsets = np.concatenate(([0], np.cumsum(self._sizes)))
        data = fetched[0] if self._is_view else out
        if not self._is_view:
            self.fill(0, fetched, out)
        bitmap, null_count = self._nulls
        buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.large_binary(), len(self._sizes), buffers, null_count)

    def fill(self, blob_id: int, fetched: Sequence[Data], out: Any) -> None:
        """Copy the bodies that lie in one file to `out`, without what lies between them.

        Parameters
        ----------
        blob_id
            Number of the sidecar file; 0: the data file.
        fetched
            The bytes of its ranges.
        out
            What :meth:`reserve` gave.
        """
        target = memoryview(out).cast("B")
        sizes = self._sizes[self._sizes > 0]
        ends = np.concatenate(([0], np.cumsum(sizes)))
        borders = [*self._firsts.tolist(), len(sizes)]
        for run, data in zip(self._runs_of[blob_id], fetched, strict=True):
            first, stop = borders[run], borders[run + 1]
            counts = sizes[first:stop]
            part = target[ends[first] : ends[stop]]
            kernels.flat_gather(data, self._shifts[first:stop], counts, counts, 8, part)


def _owners(
    descriptors: pa.StructArray, sidecar_size: Callable[[int], int] | None
) -> tuple[npt.NDArray[np.uint32], UInt64Array]:
    """Return the number of the sidecar file of each body, 0 for the data file, and the sizes of bodies.

    Raises
    ------
    FormatError
        A body does not lie inside of its sidecar file.
    UnsupportedError
        A body lies in another file that is not read.
    """
    kinds, given = _column(descriptors, "kind", np.uint8), _given(descriptors)
    sizes = _column(descriptors, "size", np.uint64)
    beside = given & ((kinds == PACKED) | (kinds == DEDICATED))
    elsewhere = given & (kinds != INLINE)
    if sidecar_size is not None:
        elsewhere &= ~beside
    if elsewhere.any():
        first = int(elsewhere.argmax())
        raise UnsupportedError(_not_read(int(kinds[first]), descriptors[first]["blob_uri"].as_py()))
    ids = np.where(beside, _column(descriptors, "blob_id", np.uint32), np.uint32(0))
    if sidecar_size is not None:
        check_sidecars(descriptors, sidecar_size)
    return ids, sizes


def check_sidecars(descriptors: pa.StructArray, sidecar_size: Callable[[int], int]) -> None:
    """Check that bodies in sidecar files lie inside of them.

    Parameters
    ----------
    descriptors
        Of the second kind.
    sidecar_size
        Gives the size in bytes of a sidecar file by its number, or raises FormatError if there is none.

    Raises
    ------
    FormatError
        One does not, or its file is missing.
    """
    kinds = _column(descriptors, "kind", np.uint8)
    beside = _given(descriptors) & ((kinds == PACKED) | (kinds == DEDICATED))
    if not beside.any():
        return
    ids, positions, sizes = (
        _column(descriptors, name, dtype)
        for name, dtype in (("blob_id", np.uint32), ("position", np.uint64), ("size", np.uint64))
    )
    _check(beside & (ids == 0), "lies in a sidecar file without a number", FormatError)
    for blob_id in np.unique(ids[beside & (sizes > 0)]).tolist():
        stop = np.uint64(sidecar_size(blob_id))
        outside = (sizes > stop) | (positions > stop - np.minimum(sizes, stop))
        wrong = beside & (ids == blob_id) & outside
        _check(wrong, f"does not lie inside of sidecar file {blob_id}, which has {stop} bytes", FormatError)


def _not_read(kind: int, uri: str) -> str:
    """Say of a body that it is not read, and how it can be."""
    if kind == EXTERNAL:
        return (
            f"the body of a blob lies in another file (external: {uri!r}), which is not read; blobs='descriptors' "
            "(blob_handling='blobs_descriptions') gives its place, to be read by other means"
        )
    name = _KINDS[kind] if kind < len(_KINDS) else f"kind {kind}"
    return f"the body of a blob lies in another file ({name}), which is not read; blobs='descriptors' gives its place"
