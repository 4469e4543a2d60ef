"""Rows that are read to be written anew, with the values of their blobs.

A scan gives descriptors of blobs, which mean places relative to the data file that they stand in, and nothing in any other. So rows
that go into other files take the bytes along, in the form in which a user would write them. Objects of the user's, which have a
URI, stay where they are, and only the URI is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lancelet.blocks.arrow import valid_mask
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.blob import EXTERNAL, INLINE
from lancelet.fields.paths import bitmap_of
from lancelet.schema.blobs import LOGICAL_INPUT, is_blob
from lancelet.table.formats.column_names import ROW_ADDRESS
from lancelet.table.inputs.data import Rows
from lancelet.table.reads.blobs import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from lancelet.schema.fields import Field
    from lancelet.table.formats.metadata import DataFile
    from lancelet.table.reads.projection import Output
    from lancelet.table.reads.scanner import Scanner
    from lancelet.table.reads.snapshot import Snapshot

    #: Fragment id of every value.
    Fragments = npt.NDArray[np.uint64]

__all__ = ["rows_with_values"]

#: Bytes of blobs in a batch; a single row may have more.
_BATCH_BYTES = 8 << 20
_MOST_BYTES = 1 << 62


def rows_with_values(scanner: Scanner) -> Rows:
    """Return the rows of a scanner as they can be written; columns of blobs are what the dataset declares, and hold values.

    Raises
    ------
    UnsupportedError
        Blobs stand in maps or fixed-size lists. Batches may end so too, or in :class:`FormatError`, as scans do.
    """
    outputs = scanner.projection.outputs
    columns = [_Column.of(scanner.snapshot, output) for output in outputs]
    if not any(columns):
        return Rows(scanner.schema, scanner.to_batches(), scanner.num_rows)
    fields = [
        column.target if column else output.field for column, output in zip(columns, outputs, strict=True)
    ]
    schema = pa.schema(fields, scanner.schema.metadata)
    return Rows(schema, _batches(scanner, columns, schema), scanner.num_rows)


def _batches(scanner: Scanner, columns: list[_Column | None], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    bodies = _Bodies(scanner.snapshot)
    for batch in scanner.with_addresses().to_batches():
        for part in _cut(batch, columns):
            fragments = part.column(ROW_ADDRESS).to_numpy() >> np.uint64(32)
            arrays = [
                column.values(array, fragments, bodies) if column else array
                for column, array in zip(
                    columns, part.columns, strict=False
                )  # the address may stand behind them
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cut(batch: pa.RecordBatch, columns: list[_Column | None]) -> Iterator[pa.RecordBatch]:
    """Halve a batch until the blobs of each part take few bytes, or it is one row."""
    pairs = zip(columns, batch.columns, strict=False)
    if (
        batch.num_rows < 2
        or sum(_num_bytes(array, column.stored) for column, array in pairs if column) <= _BATCH_BYTES
    ):
        yield batch
        return
    half = batch.num_rows // 2
    yield from _cut(batch.slice(0, half), columns)
    yield from _cut(batch.slice(half), columns)


class _Column:
    """A column of a result that is a blob or has some below it.

    Parameters
    ----------
    stored
        The field as data files store it.
    target
        What is made of it: the field as the dataset declares it.
    """

    def __init__(self, stored: Field, target: pa.Field) -> None:
        self.stored = stored
        self.target = target
        _check_kinds(stored)

    @classmethod
    def of(cls, snapshot: Snapshot, output: Output) -> _Column | None:
        """Return the column of an output; ``None``: no blobs are there."""
        names = (output.source, *output.path)
        stored = _found(snapshot.stored_schema.fields, names)
        declared = _found(snapshot.schema.fields, names)
        if stored is None or declared is None or not _has_blobs(stored):
            return None
        target = declared.to_arrow().with_name(output.field.name).with_nullable(output.field.nullable)
        return cls(stored, target)

    def values(self, array: pa.Array, fragments: Fragments, bodies: _Bodies) -> pa.Array:
        """Return the target's values for what was read, one of `fragments` for each."""
        return _with_values(array, self.stored, self.target, fragments, bodies)


def _found(fields: tuple[Field, ...], names: tuple[str, ...]) -> Field | None:
    found = None
    for name in names:
        found = next((field for field in fields if field.name == name), None)
        if found is None:
            return None
        fields = found.children
    return found


def _has_blobs(field: Field) -> bool:
    return any(map(is_blob, field.walk()))


def _is_list(field: Field) -> bool:
    return bool(pa.types.is_list(field.storage_type) or pa.types.is_large_list(field.storage_type))


def _check_kinds(field: Field) -> None:
    """Check that blobs stand in structs and lists only."""
    if is_blob(field) or not _has_blobs(field):
        return
    if field.logical_type != "struct" and not _is_list(field):
        raise UnsupportedError(f"field {field.name!r}: blobs in {field.arrow_type} are not copied")
    for child in field.children:
        _check_kinds(child)


def _num_bytes(array: pa.Array, stored: Field) -> int:
    """Return the bytes of all blobs in an array."""
    if is_blob(stored):
        return int(_sizes(array).sum()) if pa.types.is_struct(array.type) else array.nbytes
    if not _has_blobs(stored):
        return 0
    below = array.flatten() if stored.logical_type == "struct" else [array.flatten()]
    return sum(_num_bytes(part, child) for part, child in zip(below, stored.children, strict=True))


def _sizes(array: pa.StructArray) -> npt.NDArray[np.int64]:
    """Return the bytes of each blob that lies in the dataset, by their descriptors."""
    sizes = _numbers(array, "size")
    valid = valid_mask(array)
    if valid is not None:
        sizes = np.where(valid, sizes, 0)
    sizes = np.where(_kinds(array) == EXTERNAL, 0, sizes)
    if len(sizes) and int(sizes.max()) > _MOST_BYTES:
        raise FormatError(f"a blob of {int(sizes.max())} bytes is impossible")
    return sizes.astype(np.int64)


def _kinds(array: pa.StructArray) -> npt.NDArray[Any]:
    """Return the kind of each blob; those of the first kind lie in their data file."""
    has_kinds = array.type.get_field_index("kind") >= 0
    return _numbers(array, "kind") if has_kinds else np.full(len(array), INLINE, np.uint8)


def _numbers(array: pa.StructArray, name: str) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = pc.fill_null(array.field(name), 0).to_numpy(zero_copy_only=False)
    return found


def _with_values(
    array: pa.Array, stored: Field, target: pa.Field, fragments: Fragments, bodies: _Bodies
) -> pa.Array:
    if is_blob(stored):
        return _blobs(array, stored, target, fragments, bodies)
    if not _has_blobs(stored):
        return array
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if stored.logical_type == "struct":
        children = [
            _with_values(array.field(number), child, target.type.field(child.name), fragments, bodies)
            for number, child in enumerate(stored.children)
        ]
        return pa.Array.from_buffers(target.type, len(array), [bitmap_of(array)], children=children)
    lengths = pc.fill_null(array.value_lengths(), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    items = _with_values(
        array.flatten(), stored.children[0], target.type.value_field, np.repeat(fragments, lengths), bodies
    )
    width = np.int64 if pa.types.is_large_list(target.type) else np.int32
    buffers = [bitmap_of(array), pa.py_buffer(offsets.astype(width))]
    return pa.Array.from_buffers(target.type, len(array), buffers, children=[items])


def _blobs(
    array: pa.Array, stored: Field, target: pa.Field, fragments: Fragments, bodies: _Bodies
) -> pa.Array:
    """Return blobs as a user would write them: bytes, or a URI with the part that is meant."""
    valid = valid_mask(array)
    shown = np.ones(len(array), np.bool_) if valid is None else valid
    is_described = pa.types.is_struct(array.type)
    external = shown & (_kinds(array) == EXTERNAL) if is_described else np.zeros(len(array), np.bool_)
    data = bodies.read(array, stored, shown & ~external, fragments) if is_described else array
    if not pa.types.is_struct(target.type):
        return data
    elsewhere = pa.array(external)
    children = []
    for child in target.type:
        if child.name == "data":
            children.append(data)
            continue
        name = {"uri": "blob_uri"}.get(child.name, child.name)
        type_ = LOGICAL_INPUT[child.name]
        given = array.field(name).cast(type_) if is_described else pa.nulls(len(array), type_)
        children.append(pc.if_else(elsewhere, given, pa.scalar(None, type_)))
    if external.any() and target.type.get_field_index("position") < 0:
        part = external & ((_numbers(array, "position") > 0) | (_numbers(array, "size") > 0))
        if part.any():
            raise UnsupportedError(
                f"field {stored.name!r}: a blob is a part of an object of the user's, and the field declares no "
                "position and size; it cannot be copied"
            )
    return pa.Array.from_buffers(target.type, len(array), [bitmap_of(array)], children=children)


class _Bodies:
    """Reads the bodies of blobs of one version of a dataset."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._files: dict[tuple[int, int], DataFile] = {}

    def read(
        self, array: pa.StructArray, stored: Field, wanted: npt.NDArray[np.bool_], fragments: Fragments
    ) -> pa.Array:
        """Return the bytes of the blobs that `wanted` tells, null for the others."""
        sizes = np.where(wanted, _sizes(array), 0)
        kinds, positions = _kinds(array), _numbers(array, "position")
        has_ids = array.type.get_field_index("blob_id") >= 0
        ids = _numbers(array, "blob_id") if has_ids else np.zeros(len(array), np.uint32)
        parts = []
        for row in np.flatnonzero(sizes > 0).tolist():
            blob = {
                "kind": int(kinds[row]),
                "position": int(positions[row]),
                "size": int(sizes[row]),
                "blob_id": int(ids[row]),
            }
            parts.append(self._body(self._file(int(fragments[row]), stored), blob, stored.name))
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        bitmap = None if wanted.all() else pa.array(wanted).buffers()[1]
        buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
        return pa.Array.from_buffers(pa.large_binary(), len(array), buffers)

    def _file(self, fragment_id: int, stored: Field) -> DataFile:
        """Return the data file that holds a column of a fragment."""
        key = (fragment_id, stored.id)
        if key not in self._files:
            metadata = self._snapshot.fragments[self._snapshot.place_of(fragment_id)]
            file = next((file for file in metadata.files if stored.id in file.fields), None)
            if file is None:
                raise FormatError(
                    f"field {stored.name!r} has values, and fragment {fragment_id} no file of them"
                )
            self._files[key] = file
        return self._files[key]

    def _body(self, file: DataFile, blob: dict[str, int], name: str) -> memoryview | bytes:
        store = self._snapshot.store_of(file.base_id)
        place = place_of(blob, file.path.removesuffix(".lance"), name)
        path = f"{store.name}/{place.path}"
        try:
            if blob["kind"] == INLINE:
                container = self._snapshot.open(file).container
                if place.position > container.data_stop or place.size > container.data_stop - place.position:
                    raise FormatError(
                        f"{place.size} bytes at {place.position} lie outside of the data", path=path
                    )
                return container.source.read(place.position, place.size)
            return store.get_range(str(place.path), place.position, place.size)
        except FileNotFoundError:
            raise FormatError("the file that a blob lies in does not exist", path=path) from None
        except OptionError as error:
            raise FormatError(f"a blob lies outside of its file: {error}", path=path) from None
