"""Blobs beside their data file: packed and dedicated sidecar files (versions.md 5.9).

================  ============  ===================================================================
size of a value   kind          where its bytes are
================  ============  ===================================================================
up to 64 KiB      inline        in the data file, out of line
up to 4 MiB       packed        in a sidecar file that many values share
more              dedicated     in a sidecar file of its own
================  ============  ===================================================================

Sidecar files of ``data/<stem>.lance`` are ``data/<stem>/<id>.blob``, where the id, counted from 1 in each data file, is written
with 32 binary digits, the lowest first. They hold the bytes of values and nothing else. Values below lists stay inline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import valid_mask
from lancelet.errors import FormatError, OptionError
from lancelet.fields.blob import DEDICATED, EXTERNAL, INLINE, PACKED
from lancelet.fields.paths import bitmap_of
from lancelet.schema.blobs import BLOB_V2, PREPARED_INPUT
from lancelet.schema.logical import EXTENSION_NAME
from lancelet.table.formats.names import DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from lancelet.buffers import Int64Array
    from lancelet.schema.fields import Field, Schema
    from lancelet.storage import Sink, Source
    from lancelet.storage.store import Store

__all__ = ["SidecarFiles", "SidecarWriter", "Thresholds", "sidecar_bytes", "sidecar_path"]

_PREPARED = pa.struct(list(PREPARED_INPUT.items()))


def sidecar_path(stem: str, blob_id: int) -> str:
    """Return the path of a sidecar file below the root of the dataset.

    Parameters
    ----------
    stem
        Name of the data file without ``.lance``.
    blob_id
        Number of the sidecar file, at least 1 and below 2^32.

    Examples
    --------
    >>> sidecar_path("x", 2)
    'data/x/01000000000000000000000000000000.blob'
    """
    digits = f"{blob_id:032b}"[::-1]
    return f"{DATA}/{stem}/{digits}.blob"


class SidecarFiles:
    """The sidecar files of a data file, to be read.

    Parameters
    ----------
    store
        The dataset.
    stem
        Name of the data file without ``.lance``.
    """

    def __init__(self, store: Store, stem: str) -> None:
        self._store = store
        self._stem = stem

    def size(self, blob_id: int) -> int:
        """Return the size of a file in bytes.

        Raises
        ------
        FormatError
            There is no such file.
        """
        path = sidecar_path(self._stem, blob_id)
        try:
            return self._store.size(path)
        except FileNotFoundError:
            raise self._missing(path) from None

    def open(self, blob_id: int) -> Source:
        """Open a file.

        Raises
        ------
        FormatError
            There is no such file.
        """
        path = sidecar_path(self._stem, blob_id)
        try:
            return self._store.open_source(path)
        except FileNotFoundError:
            raise self._missing(path) from None

    def _missing(self, path: str) -> FormatError:
        return FormatError(
            "a sidecar file does not exist, and a data file names it", path=f"{self._store.name}/{path}"
        )


def sidecar_bytes(store: Store, stem: str) -> int:
    """Return the bytes of all sidecar files of a data file; one request."""
    return sum(info.size for info in store.describe(f"{DATA}/{stem}"))


class Thresholds(NamedTuple):
    """Sizes in bytes at which blobs of a field are placed elsewhere.

    Attributes
    ----------
    inline
        Largest value inside of the data file.
    packed
        Largest value that shares a sidecar file. Larger ones have a file of their own, whatever `inline` says.
    pack_file
        Size at which a shared sidecar file ends.
    """

    inline: int = 64 << 10
    packed: int = 4 << 20
    pack_file: int = 1 << 30

    @classmethod
    def of(cls, field: Field) -> Thresholds:
        """Return the thresholds that the metadata of a field asks for.

        Raises
        ------
        OptionError
            One of them is no number.
        """
        found = {}
        names = {"inline": "inline", "packed": "dedicated", "pack_file": "pack-file"}
        for name, word in names.items():
            key = f"lance-encoding:blob-{word}-size-threshold"
            text = field.metadata.get(key)
            if text is None:
                continue
            if not (text.isascii() and text.isdigit() and len(text) <= 18):
                raise OptionError(f"field {field.name!r}: {key} is {text!r}; it must be a number of bytes")
            found[name] = int(text)
        return cls(**found)


class SidecarWriter:
    """Takes large blobs out of the rows of one data file.

    Parameters
    ----------
    store, stem
        Where the data file is written, and its name without suffix.
    fields
        The fields that are written.

    Attributes
    ----------
    paths
        Paths of the sidecar files that were begun.
    num_bytes
        Bytes that were written to them.
    """

    def __init__(self, store: Store, stem: str, fields: Schema) -> None:
        self.paths: list[str] = []
        self.num_bytes = 0
        self._store = store
        self._stem = stem
        self._fields = {field.name: field for field in fields.fields if _holds_blobs(field)}
        self._packed: Sink | None = None

    def prepared_schema(self, given: pa.Schema) -> pa.Schema:
        """Return the schema of the rows that :meth:`prepare` gives.

        Raises
        ------
        OptionError
            Blobs are given in the prepared form: nobody but this object knows the sidecar files.
        """
        for field in given:
            _check_not_prepared(field)
        if not self._fields:
            return given
        fields = [
            _with_prepared(field, self._fields[field.name]) if field.name in self._fields else field
            for field in given
        ]
        return pa.schema(fields, given.metadata)

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Write the large blobs of `batch`, and return its rows with their places.

        Raises
        ------
        OptionError
            The metadata of a field gives a threshold that is no number.
        """
        if not self._fields:
            return batch
        arrays, fields = list(batch.columns), list(batch.schema)
        for number, field in enumerate(fields):
            stored = self._fields.get(field.name)
            if stored is not None:
                arrays[number] = _replaced(arrays[number], stored, self._place)
                fields[number] = _with_prepared(field, stored)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, batch.schema.metadata))

    def _place(self, values: pa.StructArray, field: Field) -> pa.StructArray:
        """Return the blobs of a field in the prepared form, their large values in sidecar files."""
        children = {child.name: values.field(index) for index, child in enumerate(values.type)}
        limits = Thresholds.of(field)
        valid = valid_mask(values)
        shown = np.ones(len(values), np.bool_) if valid is None else valid
        has_data = _given(children["data"]) & shown
        has_uri = _given(children["uri"]) & shown
        offsets = _offsets(children["data"])
        sizes = np.where(has_data, np.diff(offsets), 0)
        kinds = np.select(
            [has_uri & ~has_data, sizes > limits.packed, sizes > limits.inline],
            [EXTERNAL, DEDICATED, PACKED],
            INLINE,
        ).astype(np.uint8)
        moved = np.flatnonzero((kinds == PACKED) | (kinds == DEDICATED))
        ids, positions = np.zeros(len(values), np.uint32), np.zeros(len(values), np.uint64)
        data = memoryview(children["data"].buffers()[2] or b"")
        for row in moved.tolist():
            value = data[offsets[row] : offsets[row + 1]]
            ids[row], positions[row] = self._write(value, kinds[row] == DEDICATED, limits)
        elsewhere = np.isin(kinds, (PACKED, DEDICATED))
        return _prepared(values, children, kinds, elsewhere, (ids, positions, sizes))

    def _write(self, value: memoryview, dedicated: bool, limits: Thresholds) -> tuple[int, int]:
        """Write one value; returns the number of its sidecar file and its position there."""
        self.num_bytes += len(value)
        if dedicated:
            with self._begin() as sink:
                number = len(self.paths)
                sink.write(value)
                sink.commit()
            return number, 0
        if self._packed is not None and self._packed.tell() + len(value) > limits.pack_file:
            self._end_packed()
        if self._packed is None:
            self._packed, self._packed_number = self._begin(), len(self.paths)
        position = self._packed.tell()
        self._packed.write(value)
        return self._packed_number, position

    def _begin(self) -> Sink:
        path = sidecar_path(self._stem, len(self.paths) + 1)
        sink = self._store.open_sink(path, replace=False)
        self.paths.append(path)
        return sink

    def _end_packed(self) -> None:
        sink, self._packed = self._packed, None
        if sink is not None:
            with sink:
                sink.commit()

    def finish(self) -> None:
        """Complete the last sidecar file."""
        self._end_packed()

    def abort(self) -> None:
        """Give up the sidecar file that is being written."""
        if self._packed is not None:
            self._packed.abort()
            self._packed = None


def _holds_blobs(field: Field) -> bool:
    """Tell whether blobs of the second kind stand in a field, not below a list."""
    if field.metadata.get(EXTENSION_NAME) == BLOB_V2:
        return True
    return field.logical_type == "struct" and any(map(_holds_blobs, field.children))


def _check_not_prepared(field: pa.Field) -> None:
    type_ = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    below = [type_.field(number) for number in range(type_.num_fields)]
    if (field.metadata or {}).get(EXTENSION_NAME.encode()) == BLOB_V2.encode() and "kind" in [
        child.name for child in below
    ]:
        raise OptionError(
            f"field {field.name!r}: blobs whose places are chosen already are written to files, not to datasets; "
            "give data or a uri"
        )
    for child in below:
        _check_not_prepared(child)


def _with_prepared(given: pa.Field, field: Field) -> pa.Field:
    """Return an Arrow field with blobs in the prepared form."""
    if field.metadata.get(EXTENSION_NAME) == BLOB_V2:
        return given.with_type(_PREPARED)
    if not _holds_blobs(field):
        return given
    stored = {child.name: child for child in field.children}
    return given.with_type(pa.struct([_with_prepared(child, stored[child.name]) for child in given.type]))


def _replaced(
    array: pa.Array, field: Field, place: Callable[[pa.StructArray, Field], pa.StructArray]
) -> pa.Array:
    """Return `array` with what `place` makes of the blobs in it."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if field.metadata.get(EXTENSION_NAME) == BLOB_V2:
        return place(array, field)
    stored = {child.name: child for child in field.children}
    seen = array.flatten()  # null where the struct is: what nobody sees is not written
    children, fields = [], []
    for index, child in enumerate(array.type):
        own, values = stored[child.name], array.field(index)
        if _holds_blobs(own):
            values = _replaced(seen[index], own, place)
        children.append(values)
        fields.append(pa.field(child.name, values.type, child.nullable, child.metadata))
    return pa.Array.from_buffers(pa.struct(fields), len(array), [bitmap_of(array)], children=children)


def _given(array: pa.Array) -> npt.NDArray[np.bool_]:
    valid = valid_mask(array)
    return np.ones(len(array), np.bool_) if valid is None else valid


def _offsets(values: pa.Array) -> Int64Array:
    if len(values) == 0:
        return np.zeros(1, np.int64)
    return np.frombuffer(values.buffers()[1], np.int64, len(values) + 1, 8 * values.offset)


def _prepared(
    values: pa.StructArray,
    children: Mapping[str, pa.Array],
    kinds: npt.NDArray[np.uint8],
    elsewhere: npt.NDArray[np.bool_],
    places: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64], Int64Array],
) -> pa.StructArray:
    """Return blobs in the prepared form; `elsewhere` tells which of them lie in a sidecar file, at which `places`."""
    import pyarrow.compute as pc

    ids, positions, sizes = places
    moved = pa.array(elsewhere)
    data = children["data"]
    if elsewhere.any():
        data = pc.if_else(moved, pa.scalar(None, data.type), data)
    size, position = (
        pc.if_else(
            moved, pa.array(found.astype(np.uint64)), children.get(name, pa.nulls(len(kinds), pa.uint64()))
        )
        for found, name in ((sizes, "size"), (positions, "position"))
    )
    blob_id = pa.array(ids, mask=~elsewhere)
    parts = [pa.array(kinds), data, children["uri"], blob_id, size, position]
    return pa.Array.from_buffers(_PREPARED, len(values), [bitmap_of(values)], children=parts)
