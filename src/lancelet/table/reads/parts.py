"""Which data files of a fragment hold which parts of its fields, and the fields put together again (dataset.md 6).

A field may be in one file, in several (a child of a struct was replaced), in part (a child was added, or left out by a writer), or
in none. What no file holds is null. A struct is null where a child that is stored says so; children in other files do not change
that, because what they hold for rows that were deleted before may be anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import FormatError
from lancelet.fields.paths import (
    Container,
    bitmap_of,
    container_of,
    list_items,
    shown,
    without_extensions,
)
from lancelet.levels.steps import FixedList
from lancelet.schema.blobs import is_blob, shown_schema
from lancelet.schema.fields import Schema
from lancelet.schema.project import is_one_column
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Field
    from lancelet.table.formats.metadata import DataFile

    #: Fields, columns and version of each data file of a fragment.
    LayoutKey = tuple[tuple[tuple[int, ...], tuple[int, ...], int, int], ...]

__all__ = ["FieldPart", "Layout", "ReadFields", "assemble", "held_part", "null_array"]


@dataclass(frozen=True, slots=True, eq=False)
class FieldPart:
    """What one file holds of a field.

    Attributes
    ----------
    read
        Which of the files that are read (:attr:`Layout.files`).
    position
        Where the part stands among the fields that are read of it.
    field
        The part, as it is shown.
    """

    read: int
    position: int
    field: Field


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the fields of a read are in the data files of a fragment.

    Attributes
    ----------
    files
        The files that hold something: their numbers in the fragment, and the fields to read, as they are stored and as they are
        shown.
    parts
        For each field of the read its parts.
    """

    files: tuple[tuple[int, Schema, Schema], ...]
    parts: tuple[tuple[FieldPart, ...], ...]


class ReadFields:
    """Top-level fields of a dataset, whole or in part, as a read wants them. Threads share it.

    Parameters
    ----------
    schema
        The fields.
    blobs
        What is shown of blobs.

    Attributes
    ----------
    schema
        The fields, as they are stored.
    shown
        The fields, as they are shown.
    has_bodies
        Whether values of blobs are among them: each row may cost a read of its own.
    """

    def __init__(self, schema: Schema, blobs: BlobView) -> None:
        self.schema = schema
        self.blobs = blobs
        self.shown = shown_schema(schema, blobs)
        self.has_bodies = blobs == "values" and any(map(is_blob, schema.walk()))
        self._layouts: dict[LayoutKey, Layout] = {}

    def layout(self, files: Sequence[DataFile]) -> Layout:
        """Return where the fields are; fragments whose files are alike share a layout.

        Raises
        ------
        FormatError
            No file holds a field that is not nullable, or a file lists a field and says that it is in no column; or see
            :func:`held_part`.
        """
        key = tuple(
            [
                (file.fields, file.column_indices, file.file_major_version, file.file_minor_version)
                for file in files
            ]
        )
        found = self._layouts.get(key)
        if found is None:
            found = self._layouts[key] = self._find(files)
        return found

    def _find(self, files: Sequence[DataFile]) -> Layout:
        parts: list[list[FieldPart]] = [[] for _ in self.schema.fields]
        read: list[tuple[int, Schema, Schema]] = []
        for number, file in enumerate(files):
            columns_of, version = file.columns_of, file.version
            _check_columns(self.schema.fields, _without_columns(file), version)
            held = [held_part(field, columns_of, version) for field in self.schema.fields]
            own = Schema(tuple(part for part in held if part is not None))
            if not own.fields:
                continue
            own_shown = shown_schema(own, self.blobs)
            visible = iter(enumerate(own_shown.fields))
            for place, part in enumerate(held):
                if part is not None:
                    parts[place].append(FieldPart(len(read), *next(visible)))
            read.append((number, own, own_shown))
        for field, found in zip(self.shown.fields, parts, strict=True):
            _check_complete(field, [part.field for part in found], field.name)
        return Layout(tuple(read), tuple(map(tuple, parts)))


def _without_columns(file: DataFile) -> set[int]:
    """Return the ids of fields that a data file lists without a column: structs and lists, which own none from 2.1 on."""
    pairs = zip(file.fields, file.column_indices, strict=True)
    return {field for field, column in pairs if field >= 0 and column < 0}


def _check_columns(fields: Iterable[Field], without: set[int], version: Version) -> None:
    """Check that what is stored as one column has one: it would read as null."""
    if not without:
        return
    for field in fields:
        if not is_one_column(field, version):
            _check_columns(field.children, without, version)
        elif field.id in without:
            raise FormatError(f"a data file lists the field {field.name!r}, and says that it is in no column")


def held_part(field: Field, columns_of: Mapping[int, int], version: Version) -> Field | None:
    """Return the part of `field` that a data file holds; the same object if that is all of it, ``None`` if it is nothing.

    Parameters
    ----------
    field
        A field of the dataset.
    columns_of
        Field id -> physical column, of the file.
    version
        Version of the file.

    Raises
    ------
    FormatError
        The file has columns of the children of what the schema says is one column, or one column of what it says is several:
        whether a struct is packed was changed afterwards. It would read as null.
    """
    if is_one_column(field, version):
        if field.id not in columns_of and any(below.id in columns_of for below in field.walk()):
            raise FormatError(
                f"a data file stores the struct {field.name!r} unpacked, and the schema says that it is one column"
            )
        return field if field.id in columns_of else None
    if version != Version.V2_0 and field.logical_type == "struct" and field.id in columns_of:
        raise FormatError(
            f"a data file stores the struct {field.name!r} in one column, and the schema does not say that it is packed"
        )
    parts = [held_part(child, columns_of, version) for child in field.children]
    held = [part for part in parts if part is not None]
    has_header = version == Version.V2_0 and field.logical_type == "struct" and field.id in columns_of
    if not held and not has_header:
        return None
    if all(part is child for part, child in zip(parts, field.children, strict=True)):
        return field
    return field.with_children(held)


def _check_complete(field: Field, parts: Sequence[Field], path: str) -> None:
    """Check that what is missing of a field may be null."""
    if not parts and not field.nullable:
        raise FormatError(f"no data file holds the field {path!r}, which is not nullable")
    if not parts or any(len(part.children) == len(field.children) == 0 for part in parts):
        return
    for child in field.children:
        below = [found for part in parts for found in part.children if found.id == child.id]
        _check_complete(child, below, f"{path}.{child.name}")


def null_array(type_: pa.DataType, num_values: int) -> pa.Array:
    """Return an array of nulls, also of types that have extension types below them."""
    return shown(pa.nulls(num_values, without_extensions(type_)), type_)


def assemble(field: Field, pieces: Sequence[tuple[Field, pa.Array]], num_values: int) -> pa.Array:
    """Put a field together.

    Parameters
    ----------
    field
        The field, as it is shown.
    pieces
        Parts of it, and their values.
    num_values
        Number of values; that of each part.

    Raises
    ------
    FormatError
        Two files disagree about the lengths of lists, or hold different numbers of values.
    """
    if not pieces:
        return null_array(field.arrow_type, num_values)
    for _, array in pieces:
        if array.type == field.arrow_type:
            return array
    arrays = [(part, _storage(array)) for part, array in pieces]
    type_ = field.arrow_type
    storage = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    first, container = arrays[0][1], container_of(storage)
    buffers, num_items = [bitmap_of(first)], num_values
    if container is Container.STRUCT:
        below = [
            (found, array.field(index)) for part, array in arrays for index, found in enumerate(part.children)
        ]
    elif isinstance(container, FixedList):
        num_items = num_values * container.dimension
        below = [
            (part.children[0], array.values.slice(array.offset * container.dimension, num_items))
            for part, array in arrays
        ]
    else:
        lists = [(part, *list_items(array)) for part, array in arrays]
        offsets = lists[0][1]
        if any(len(other) != len(offsets) or (other != offsets).any() for _, other, _ in lists):
            raise FormatError(f"two data files disagree about the lengths of the lists of {field.name!r}")
        buffers.append(pa.py_buffer(offsets))
        num_items = int(offsets[-1])
        below = [(part.children[0], items) for part, _, items in lists]
    if any(len(array) != num_items for _, array in below):
        raise FormatError(f"two data files hold different numbers of values of {field.name!r}")
    children = [
        assemble(child, [pair for pair in below if pair[0].id == child.id], num_items)
        for child in field.children
    ]
    array = pa.Array.from_buffers(storage, num_values, buffers, first.null_count, children=children)
    return array if storage is type_ else pa.ExtensionArray.from_storage(type_, array)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array
