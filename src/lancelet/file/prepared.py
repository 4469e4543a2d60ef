"""A file whose buffers are in place already: the rest of it, from finished column metadata (container.md 6, "Prepared metadata").

Binary copy moves encoded pages from one file to another without decoding them. It writes the buffers to a sink, notes their new
places in the metadata of the columns, and has the file completed here. No encoder takes part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.container.metadata import PageMetadata, Region, check_page_rows
from lancelet.container.writer import ContainerWriter
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.paths import leaf_paths
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.blobs import BLOB, stored_schema
from lancelet.schema.fields import Schema
from lancelet.schema.limits import check_version
from lancelet.schema.project import columns_of, is_packed
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lancelet.container.metadata import ColumnMetadata
    from lancelet.schema.fields import Field
    from lancelet.storage import Sink

__all__ = ["finish_prepared_file"]


def finish_prepared_file(
    sink: Sink,
    schema: Schema | pa.Schema,
    columns: Sequence[ColumnMetadata],
    num_rows: int,
    *,
    version: str | Version,
    schema_metadata: Mapping[str, str] | None = None,
) -> int:
    """Write what follows the buffers of a file, and commit it.

    In 2.1 and later the sink is padded with zeros to a multiple of 64 first, where the descriptor starts.

    Parameters
    ----------
    sink
        Holds all buffers that the metadata names. It is committed, or aborted on an error.
    schema
        Fields with their ids, or an Arrow schema, whose fields are numbered from 0.
    columns
        Metadata of all physical columns, with positions in the sink.
    num_rows
        Rows of the file.
    version
        File version: 2.0, 2.1 or 2.2. The pages must be of that version.
    schema_metadata
        Metadata of the schema, over what `schema` has itself.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    OptionError
        The schema needs another number of columns, or cannot be stored in the version.
    FormatError
        The metadata names bytes that the sink does not have, is misaligned, has other than `num_rows` rows, or is of another
        version.
    UnsupportedError
        The version is not written.
    """
    version = Version.parse(version)
    try:
        if version > Version.V2_2:
            raise UnsupportedError(f"file version {version.text} is unstable and not written")
        fields = schema
        if isinstance(fields, pa.Schema):
            fields = stored_schema(Schema.from_arrow(fields))
            check_version(fields, version)
        _check_columns(fields, columns, num_rows, Region(sink.tell(), version > Version.V2_0), version)
        writer = ContainerWriter(sink, version)
        if version > Version.V2_0:
            writer.align()
        for number, column in enumerate(columns):
            writer.add_prepared_column(number, column)
        message = fields.to_message()
        for key, value in (schema_metadata or {}).items():
            message.metadata[key] = value.encode()
        descriptor = FileDescriptor(schema=message, length=num_rows)
        return writer.finish(descriptor.SerializeToString(deterministic=True), len(columns))
    except BaseException:
        sink.abort()
        raise


def _check_columns(
    schema: Schema, columns: Sequence[ColumnMetadata], num_rows: int, region: Region, version: Version
) -> None:
    """Check that a reader will accept the columns."""
    numbers = columns_of(schema, version)
    if len(columns) != len(numbers):
        raise OptionError(
            f"the schema has {len(numbers)} columns in version {version.text}, and {len(columns)} were prepared"
        )
    for number, column in enumerate(columns):
        try:
            if column.type_name != COLUMN_ENCODING:
                raise FormatError(
                    f"the column is described by {column.type_name!r}, not by {COLUMN_ENCODING!r}"
                )
            region.refs(*_offsets_and_sizes(column))
            for page_number, page in enumerate(column.pages):
                _check_page(page, page_number, region, version)
        except FormatError as error:
            raise error.locate(column=number) from None
    if version == Version.V2_0:
        for field in schema.fields:
            _check_rows_20(field, columns, numbers, num_rows)
    else:
        for path in (path for field in schema.fields for path in leaf_paths(field)):
            number = numbers[path.leaf.id]
            try:
                check_page_rows(columns[number].pages, num_rows, path.rows_per_row)
            except FormatError as error:
                raise error.locate(column=number) from None


def _check_rows_20(
    field: Field, columns: Sequence[ColumnMetadata], numbers: Mapping[int, int], num_rows: int
) -> None:
    """Check how many values a field of version 2.0 has; what is below lists counts items, which no metadata tells."""
    number = numbers[field.id]
    pages = columns[number].pages
    found = sum(page.num_rows for page in pages)
    if found != num_rows:
        raise FormatError(f"the pages hold {found} rows, but {num_rows} are needed", column=number)
    if field.logical_type == "struct" and not is_packed(field, Version.V2_0) and BLOB not in field.metadata:
        if len(pages) != 1:
            raise FormatError(f"the header of a struct has {len(pages)} pages, not one", column=number)
        for child in field.children:
            _check_rows_20(child, columns, numbers, num_rows)


def _check_page(page: PageMetadata, number: int, region: Region, version: Version) -> None:
    try:
        if not version.allows_page_type(page.type_name):
            raise FormatError(
                f"a file of version {version.text} cannot have a page of type {page.type_name!r}"
            )
        region.refs(*_offsets_and_sizes(page))
    except FormatError as error:
        raise error.locate(page=number) from None


def _offsets_and_sizes(described: ColumnMetadata | PageMetadata) -> tuple[list[int], list[int]]:
    return [buffer.position for buffer in described.buffers], [buffer.size for buffer in described.buffers]
