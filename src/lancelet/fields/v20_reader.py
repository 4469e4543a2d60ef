"""Fields of version 2.0: columns above and below each other become arrays (encodings_v2_0.md 2, 4 and 5).

Every field of the schema is read by one reader, made anew for a read: readers hold no bytes. Rows go down from field to column;
below a list they become items. Each step of all fields together is one request, see :mod:`lancelet.v20.fetch`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lancelet.blocks.arrow import is_variable_width
from lancelet.buffers import allocate
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.blob import Bodies, check_places
from lancelet.fields.joining import join
from lancelet.fields.paths import shown
from lancelet.schema.blobs import BLOB, DESCRIPTOR_V1
from lancelet.schema.project import columns_of, is_packed
from lancelet.v20.binary import as_text, offsets_of_lengths
from lancelet.v20.column import (
    LeafColumn,
    ListColumn,
    PageList,
    check_header,
    is_blob,
    starts_with_list,
)
from lancelet.v20.fetch import run, together
from lancelet.v20.node import plain_values
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lancelet.buffers import Allocate
    from lancelet.container.reader import Container
    from lancelet.pages.base import ByteRange, RowRanges
    from lancelet.schema.fields import Field, Schema
    from lancelet.v20.fetch import Fetch

__all__ = ["V20Reader"]


class V20Reader:
    """Reads fields of a file of version 2.0. May be shared by threads.

    Parameters
    ----------
    container
        The open file.
    columns
        Field id -> physical column. The header of a struct may be missing: it says nothing that its children do not say.
    """

    def __init__(self, container: Container, columns: Mapping[int, int]) -> None:
        self._container = container
        self._pages: dict[int, PageList] = {}
        self._leaves: dict[tuple[int, str], LeafColumn] = {}
        self._lists: dict[int, ListColumn] = {}
        self._columns = columns

    @classmethod
    def of_file(cls, container: Container, schema: Schema) -> V20Reader:
        """Return the reader of a file with the columns that its own, whole `schema` needs."""
        columns = columns_of(schema, Version.V2_0)
        reader = cls(container, columns)
        if container.num_columns > len(columns):
            reader._columns = reader._columns_with_old_text(schema)
        return reader

    def read(
        self, fields: Sequence[tuple[Field, Field]], rows: RowRanges, allocate: Allocate
    ) -> list[list[pa.Array]]:
        """Read `rows` of some fields: for each the rows in order, in one array or several.

        Parameters
        ----------
        fields
            Each field as it is stored and as it is shown; they differ in blobs.
        rows, allocate
            Rows of the file, and where memory comes from.

        Raises
        ------
        FormatError
            The file is damaged.
        UnsupportedError
            A page has an encoding that is not known here.
        """
        return run(self._fetch(fields, rows, allocate), self._container.source)

    def first_ranges(self, fields: Sequence[tuple[Field, Field]], rows: RowRanges) -> list[ByteRange]:
        """Return what :meth:`read` asks for first."""
        return list(next(self._fetch(fields, rows, allocate), ()))

    def _fetch(
        self, fields: Sequence[tuple[Field, Field]], rows: RowRanges, allocate: Allocate
    ) -> Fetch[list[list[pa.Array]]]:
        readers = [self._reader(*field, self._container.num_rows) for field in fields]
        return together([reader.read(rows, allocate) for reader in readers])

    def columns(self, field: Field) -> list[tuple[str, int]]:
        """Return the paths of a field and of those below it that own columns, and these columns."""
        own = [(field.name, self._columns[field.id])] if field.id in self._columns else []
        below = [pair for child in field.children for pair in self.columns(child)]
        return own + [(f"{field.name}.{name}", column) for name, column in below]

    def encoded_bytes(self, field: Field) -> int:
        """Bytes of all pages of a field."""
        return sum(
            self.pages(self._columns[found.id]).encoded_bytes
            for found in field.walk()
            if found.id in self._columns
        )

    def first_rows(self, field: Field) -> list[int]:
        """Return the values of a field where the pages of its first column with several start, and their number."""
        column = self._columns.get(field.id)
        while column is None and field.children:
            field = field.children[0]
            column = self._columns.get(field.id)
        if column is None:
            return [0, self._container.num_rows]
        while field.children and len(self.pages(column)) == 1 and field.logical_type == "struct":
            field = field.children[0]
            column = self._columns.get(field.id, column)
        first_rows: list[int] = self.pages(column).first_rows.tolist()
        return first_rows

    def pages(self, column: int) -> PageList:
        """Return the pages of a physical column."""
        found = self._pages.get(column)
        if found is None:
            found = self._pages.setdefault(column, PageList(self._container, column))
        return found

    def leaf(self, column: int, type_: pa.DataType) -> LeafColumn:
        """Return the values of a physical column."""
        key = column, str(type_)
        found = self._leaves.get(key)
        if found is None:
            found = self._leaves.setdefault(key, LeafColumn(self.pages(column), type_))
        return found

    def lists(self, column: int) -> ListColumn:
        """Return the offsets in a physical column."""
        found = self._lists.get(column)
        if found is None:
            found = self._lists.setdefault(column, ListColumn(self.pages(column)))
        return found

    def _columns_with_old_text(self, schema: Schema) -> dict[int, int]:
        """Number the columns of a file in which text takes two: offsets, and bytes as items (section 9)."""
        columns: dict[int, int] = {}
        extra = 0
        for field in schema.walk():
            if field.id not in self._columns:
                continue
            column = columns[field.id] = self._columns[field.id] + extra
            is_text = is_variable_width(field.storage_type) and BLOB not in field.metadata
            if is_text and column < self._container.num_columns and starts_with_list(self.pages(column)):
                extra += 1
        return columns

    def _reader(self, field: Field, shown: Field, num_values: int) -> _FieldReader:
        """Make the reader of a field that has `num_values` values, and is shown in another way perhaps."""
        column = self._columns.get(field.id)
        is_struct = (
            field.logical_type == "struct"
            and not is_packed(field, Version.V2_0)
            and BLOB not in field.metadata
        )
        if column is None and not (is_struct and field.children):
            raise UnsupportedError(
                f"field {field.name!r} of type {field.storage_type} does not exist in file version 2.0"
            )
        if column is None or is_struct:
            if column is not None:
                check_header(self.pages(column), num_values)
            pairs = zip(field.children, shown.children, strict=True)
            return _StructReader(shown, [self._reader(*pair, num_values) for pair in pairs])
        pages = self.pages(column)
        pages.check_length(num_values)
        type_ = field.storage_type
        if pa.types.is_list(type_) or pa.types.is_large_list(type_):
            lists = self.lists(column)
            return _ListReader(
                shown, lists, self._reader(field.children[0], shown.children[0], lists.num_items)
            )
        if is_variable_width(type_) and is_blob(pages):
            if not pa.types.is_large_binary(type_):
                raise FormatError(f"field {field.name!r} of type {type_} has blobs", column=column)
            return _BlobReader(shown, self.leaf(column, DESCRIPTOR_V1), column, self._container.data_stop)
        if is_variable_width(type_) and starts_with_list(pages):
            lists = self.lists(column)
            items = self.pages(column + 1)
            items.check_length(lists.num_items)
            return _OldTextReader(field, lists, self.leaf(column + 1, pa.uint8()))
        return _LeafReader(field, self.leaf(column, type_))


class _FieldReader(ABC):
    """Reads one field, children included."""

    @abstractmethod
    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        """Read `rows`, perhaps none, as arrays of the field's own type; at least one array."""


class _LeafReader(_FieldReader):
    def __init__(self, field: Field, column: LeafColumn) -> None:
        self._type = field.arrow_type
        self._column = column

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        arrays = yield from self._column.read(rows, allocate)
        return [shown(array, self._type) for array in arrays]


class _StructReader(_FieldReader):
    """Puts the children of structs together; no struct is null."""

    def __init__(self, field: Field, children: Sequence[_FieldReader]) -> None:
        self._field = field
        self._children = children

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        read = yield from together([child.read(rows, allocate) for child in self._children])
        children = [_joined(arrays, self._field) for arrays in read]
        return [_nested(self._field, rows.num_rows, [None], 0, children)]


class _ListReader(_FieldReader):
    """Reads offsets, then the items between them."""

    def __init__(self, field: Field, column: ListColumn, items: _FieldReader) -> None:
        self._field = field
        self._column = column
        self._items = items

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        lists = yield from self._column.read(rows, allocate)
        arrays = yield from self._items.read(lists.items, allocate)
        items = _joined(arrays, self._field)
        bits = 64 if pa.types.is_large_list(self._field.storage_type) else 32
        offsets = offsets_of_lengths(lists.lengths, bits, self._field.storage_type, allocate)
        buffers = [_bitmap(lists.valid), pa.py_buffer(offsets)]
        return [_nested(self._field, len(lists.lengths), buffers, -1, [items])]


class _BlobReader(_FieldReader):
    """Reads descriptors, then the bodies that they point to, where those are shown."""

    def __init__(self, shown: Field, descriptors: LeafColumn, column: int, data_stop: int) -> None:
        self._type = shown.arrow_type
        self._shows_values = shown.logical_type == "large_binary"
        self._descriptors = descriptors
        self._column = column
        self._data_stop = data_stop

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        described = yield from self._descriptors.read(rows, allocate)
        try:
            return (yield from together([self._blobs(_with_nulls(part), allocate) for part in described]))
        except FormatError as error:
            raise error.locate(column=self._column) from None

    def _blobs(self, descriptors: pa.StructArray, allocate: Allocate) -> Fetch[pa.Array]:
        if not self._shows_values:
            check_places(descriptors, self._data_stop)
            return shown(descriptors, self._type)
        bodies = Bodies(descriptors, self._data_stop)
        out = bodies.reserve(allocate)
        fetched = (yield bodies.ranges) if bodies.ranges else ()
        return shown(bodies.join(fetched, out), self._type)


def _with_nulls(descriptors: pa.StructArray) -> pa.StructArray:
    """Give null blobs, which are stored as position 1 and size 0, a validity."""
    children = [descriptors.field(index) for index in (0, 1)]
    positions, sizes = (plain_values(child, "<u8") for child in children)
    valid = (sizes > 0) | (positions != 1)
    buffers = [_bitmap(None if valid.all() else valid)]
    return pa.Array.from_buffers(descriptors.type, len(descriptors), buffers, children=children)


class _OldTextReader(_FieldReader):
    """Reads text of the first writers: lists of bytes in two columns."""

    def __init__(self, field: Field, column: ListColumn, items: LeafColumn) -> None:
        self._field = field
        self._column = column
        self._items = items

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[list[pa.Array]]:
        lists = yield from self._column.read(rows, allocate)
        items = _joined((yield from self._items.read(lists.items, allocate)), self._field)
        type_ = self._field.storage_type
        bits = 64 if str(type_).startswith("large") else 32
        offsets = offsets_of_lengths(lists.lengths, bits, type_, allocate)
        data = pa.py_buffer(plain_values(items, "u1"))
        buffers = [_bitmap(lists.valid), pa.py_buffer(offsets), data]
        array = as_text(pa.Array.from_buffers(type_, len(lists.lengths), buffers))
        return [shown(array, self._field.arrow_type)]


def _bitmap(valid: Any) -> Any:
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _joined(arrays: Sequence[pa.Array], field: Field) -> pa.Array:
    joined = join(arrays)
    if joined is None:
        raise OptionError(
            f"field {field.name!r}: no array can hold so many values; read fewer rows at a time"
        )
    return joined


def _nested(
    field: Field, num_values: int, buffers: list[Any], null_count: int, children: list[pa.Array]
) -> pa.Array:
    """Make an array of a nested field, an extension array where the field has such a type."""
    type_ = field.arrow_type
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    array = pa.Array.from_buffers(storage, num_values, buffers, null_count, children=children)
    return array if storage is type_ else pa.ExtensionArray.from_storage(type_, array)
