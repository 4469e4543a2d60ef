"""A file in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lancelet.anatomy.columns import read_schema
from lancelet.container.reader import Container
from lancelet.storage import borrow_source

if TYPE_CHECKING:
    from lancelet.versions import Version

__all__ = ["FileSummary", "summarise"]


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a file is made of; the sizes add up to ``file_bytes``.

    Attributes
    ----------
    path
        Name of the file.
    version
        File version.
    num_rows
        Rows.
    num_fields
        Top-level fields, the columns that a user sees.
    num_columns
        Physical columns.
    num_pages
        Pages of all columns.
    file_bytes
        Size of the file.
    data_bytes
        Buffers of pages and columns.
    global_buffer_bytes
        Size of each global buffer of the user; the first has index 1.
    metadata_bytes
        Descriptor, column metadata, tables and footer.
    padding_bytes
        Everything else, which is padding between buffers.
    schema_metadata
        Metadata of the schema.
    """

    path: str
    version: Version
    num_rows: int
    num_fields: int
    num_columns: int
    num_pages: int
    file_bytes: int
    data_bytes: int
    global_buffer_bytes: tuple[int, ...]
    metadata_bytes: int
    padding_bytes: int
    schema_metadata: dict[str, str]


def summarise(path: Any) -> FileSummary:
    """Summarise a file; only metadata is read.

    Parameters
    ----------
    path
        What :class:`~lancelet.file.reader.FileReader` takes.

    Raises
    ------
    FormatError
        The file is no Lance file, or its metadata is damaged.
    """
    with borrow_source(path) as source:
        container = Container.open(source)
        schema = read_schema(container)
        columns = [container.column(index) for index in range(container.num_columns)]
        pages = [page for column in columns for page in column.pages]
        buffers = [buffer for column in columns for buffer in column.buffers]
        buffers += [buffer for page in pages for buffer in page.buffers]
        data_bytes = sum(buffer.size for buffer in buffers)
        buffer_sizes = [len(container.global_buffer(index)) for index in range(container.num_global_buffers)]
        metadata_bytes = source.size() - container.footer.column_metadata_offset + buffer_sizes[0]
        return FileSummary(
            path=source.name,
            version=container.version,
            num_rows=container.num_rows,
            num_fields=len(schema.fields),
            num_columns=container.num_columns,
            num_pages=len(pages),
            file_bytes=source.size(),
            data_bytes=data_bytes,
            global_buffer_bytes=tuple(buffer_sizes[1:]),
            metadata_bytes=metadata_bytes,
            padding_bytes=max(source.size() - data_bytes - sum(buffer_sizes[1:]) - metadata_bytes, 0),
            schema_metadata=dict(schema.metadata),
        )
