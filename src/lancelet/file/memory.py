"""Batches encoded in memory, in two forms (container.md 8).

================  ============================================  ======================================
form              what it has                                   what reads it
================  ============================================  ======================================
self-described    all that a file has                           ``FileReader(buffer)``
mini              no descriptor: neither schema nor row count   ``read_mini(buffer, schema)``
================  ============================================  ======================================

The footer of version 2.0 says (2, 0) here, and (0, 3) in files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.container.footer import FOOTER_BYTES, Footer
from lancelet.container.metadata import ALIGNMENT
from lancelet.container.reader import Container
from lancelet.container.writer import ContainerWriter
from lancelet.errors import OptionError
from lancelet.fields.paths import leaf_paths
from lancelet.file.reader import FileReader
from lancelet.file.writer import FileWriter
from lancelet.schema.blobs import stored_schema
from lancelet.schema.fields import Schema
from lancelet.schema.limits import check_version
from lancelet.storage.memory import MemorySink, MemorySource
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.buffers import Data

__all__ = ["EncodedBatch", "encode_batch", "read_mini"]


class EncodedBatch:
    """A record batch as encoded pages in memory; :func:`encode_batch` makes it.

    Attributes
    ----------
    num_rows
        Rows of the batch.
    version
        File version of the pages.
    """

    def __init__(self, file: pa.Buffer) -> None:
        self._file = _with_plain_version(file)
        self._container = Container.open(MemorySource(self._file))
        self.num_rows: int = self._container.num_rows
        self.version: Version = self._container.version

    def to_self_described(self) -> pa.Buffer:
        """Return the batch as a whole file, schema included."""
        return self._file

    def to_mini(self) -> pa.Buffer:
        """Return the batch without its schema, which the reader must know."""
        sink = MemorySink()
        sink.write(self._container.source.read(0, self._container.data_stop))
        writer = ContainerWriter(sink, self.version)
        for column in range(self._container.num_columns):
            writer.add_prepared_column(column, self._container.column(column))
        writer.finish(None, self._container.num_columns)
        return _with_plain_version(sink.getbuffer())

    def __repr__(self) -> str:
        return f"<lancelet.EncodedBatch: version {self.version.text}, {self.num_rows} rows, {self._file.size} bytes>"


def encode_batch(
    batch: pa.RecordBatch | pa.Table,
    *,
    version: str | Version = "stable",
    buffer_alignment: int = ALIGNMENT,
    **options: Any,
) -> EncodedBatch:
    """Encode a batch in memory.

    Parameters
    ----------
    batch
        What to encode; its arrays are not copied first.
    version
        File version: ``"2.0"``, ``"2.1"``, ``"2.2"`` or ``"stable"`` (2.2).
    buffer_alignment
        Buffers start at multiples of it, a power of two and at least 8. Buffers of 2.1 and later are never aligned less than to
        64, so that the result can be stored as a file.
    **options
        Further options of :class:`FileWriter`: ``columns``, ``compression_params``, ``profile``, ``max_page_bytes``,
        ``encoding_strategy``.

    Raises
    ------
    OptionError
        The alignment is no such number, or as :class:`FileWriter` and :meth:`FileWriter.write_batch` do.

    Examples
    --------
    >>> import pyarrow as pa
    >>> batch = pa.record_batch({"n": [1, 2, 3]})
    >>> FileReader(encode_batch(batch).to_self_described()).num_rows
    3
    """
    if not isinstance(batch, (pa.RecordBatch, pa.Table)):
        batch = pa.record_batch(batch)
    sink = MemorySink()
    with FileWriter(
        sink,
        batch.schema,
        version=version,
        buffer_alignment=buffer_alignment,
        data_cache_bytes=0,
        keep_original_array=True,
        **options,
    ) as writer:
        writer.write_batch(batch)
    return EncodedBatch(sink.getbuffer())


def read_mini(buffer: Data, schema: pa.Schema) -> pa.Table:
    """Read what :meth:`EncodedBatch.to_mini` gave.

    Parameters
    ----------
    buffer
        The encoded batch.
    schema
        Its Arrow schema.

    Raises
    ------
    FormatError
        The bytes are damaged, or do not hold what the schema says.
    OptionError
        `buffer` holds no bytes, or `schema` is no Arrow schema or cannot be stored.
    """
    if not isinstance(schema, pa.Schema):
        raise OptionError(f"schema is {schema!r}; it must be a pyarrow.Schema")
    try:
        memoryview(buffer)
    except TypeError:
        raise OptionError(f"buffer is a {type(buffer).__name__}; it must hold bytes") from None
    declared = Schema.from_arrow(schema)
    fields = stored_schema(declared)
    rows_per_row = leaf_paths(fields.fields[0])[0].rows_per_row if fields.fields else 1
    container = Container.open_mini(MemorySource(buffer), fields.to_message(), rows_per_row=rows_per_row)
    check_version(declared, container.version)
    with FileReader(container) as reader:
        return reader.read_all().to_table()


def _with_plain_version(file: pa.Buffer) -> pa.Buffer:
    """Return the file with the footer that version 2.0 has in memory."""
    start = file.size - FOOTER_BYTES
    footer = Footer.unpack(file[start:], file.size)
    if footer.version > Version.V2_0:
        return file
    return pa.py_buffer(b"".join((file[:start], replace(footer, major=2, minor=0).pack())))
