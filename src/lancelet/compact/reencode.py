"""Re-encoding: the rows of fragments that are not deleted, read and written anew (dataset.md 7.3).

Rows stream from a scan to a writer. What either keeps is a part of the memory that the whole may take: a 32nd part for rows that
are read and wait, half for rows that wait for their page, for each column no more than makes a full one; the rest is for pages in
the making.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.compact.blob_rows import blob_fields, rows_with_blobs, schema_with_blobs
from lancelet.errors import FormatError
from lancelet.schema.limits import check_version
from lancelet.table.changes.write_files import FragmentWriter
from lancelet.table.reads.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lancelet.table.changes.write_files import FileLimits
    from lancelet.table.formats.metadata import FragmentMetadata
    from lancelet.table.reads.snapshot import Snapshot
    from lancelet.versions import Version

__all__ = ["field_bytes", "reencode", "scan_bytes", "writer_options"]

#: Of the memory, the parts that a scan and the queues of a writer take.
_SCAN_PART, _QUEUE_PART, _PAGE_PART, _FIELD_PART = 32, 2, 8, 16
_LEAST_SCAN_BYTES = 2 << 20
#: What a column queues unless memory is short, and the least that makes a page worth its description.
_CACHE_BYTES_PER_FIELD, _LEAST_CACHE_BYTES = 8 << 20, 64 << 10
_LEAST_PAGE_BYTES = 1 << 20
#: What waits counts for no file yet: that much of a file of limited size.
_PARTS_OF_FILE = 16
_MOST_PAGE_BYTES = 32 << 20


def reencode(
    snapshot: Snapshot,
    *,
    version: Version,
    limits: FileLimits,
    memory_limit: int,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[FragmentMetadata], list[str]]:
    """Write the rows of a snapshot that are not deleted, with its schema, as new data files.

    Parameters
    ----------
    snapshot
        The fragments.
    version
        File version of the result.
    limits
        Where files are cut.
    memory_limit
        Bytes that this may take. Rows that are larger than a part of it are still written, one at a time.
    batch_size
        Most rows that are read at a time.
    progress
        Called with the rows that are written, after every batch.

    Returns
    -------
    fragments
        Without ids, in the order of the rows; none if all rows are deleted.
    paths
        Paths of all files, sidecar files included.

    Raises
    ------
    FormatError
        A file is damaged.
    OptionError
        The version cannot hold a type of the schema, or values contradict the schema.
    UnsupportedError
        Something is stored in a way that is not known here.
    """
    schema = snapshot.schema
    check_version(schema, version)
    given, batches = _rows(snapshot, memory_limit, batch_size)
    options = writer_options(len(schema.fields), memory_limit, limits.max_bytes)
    writer = FragmentWriter(snapshot.store, schema, given, version=version, limits=limits, options=options)
    with writer:
        for batch in batches:
            writer.write(batch)
            if progress is not None:
                progress(batch.num_rows)
        fragments = writer.finish()
        if writer.num_rows != snapshot.num_rows:
            raise FormatError(
                f"{writer.num_rows} rows were read of {snapshot.num_rows}", path=snapshot.store.name
            )
    return fragments, writer.paths


def _rows(
    snapshot: Snapshot, memory_limit: int, batch_size: int | None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the rows of a snapshot as they are to be written, and their schema."""
    if blob_fields(snapshot.schema):
        return schema_with_blobs(snapshot), rows_with_blobs(
            snapshot,
            max_bytes=max(memory_limit // _SCAN_PART, _LEAST_SCAN_BYTES),
            scan_bytes=scan_bytes(memory_limit),
            batch_size=batch_size,
        )
    scanner = Scanner(
        snapshot,
        batch_size=batch_size,
        blob_handling="all_binary",
        io_buffer_size=scan_bytes(memory_limit),
    )
    return scanner.schema, scanner.to_batches()


def scan_bytes(memory_limit: int) -> int:
    """Return how many bytes of rows may be read before they are wanted."""
    return max(memory_limit // _SCAN_PART, _LEAST_SCAN_BYTES)


def writer_options(num_fields: int, memory_limit: int, max_file_bytes: int | None) -> dict[str, Any]:
    """Return the options of a writer whose queues and pages keep to a part of `memory_limit`, and to small files."""
    most, page = field_bytes(memory_limit)
    cache = min(most * max(num_fields, 1), memory_limit // _QUEUE_PART)
    if max_file_bytes is not None:
        cache = min(cache, max_file_bytes // _PARTS_OF_FILE)
    return {"data_cache_bytes": max(cache, _LEAST_CACHE_BYTES), "max_page_bytes": page}


def field_bytes(memory_limit: int) -> tuple[int, int]:
    """Return how many bytes a single field may queue, and the size of the largest page before it is encoded."""
    cache = min(max(memory_limit // _FIELD_PART, _LEAST_CACHE_BYTES), _CACHE_BYTES_PER_FIELD)
    return cache, min(max(memory_limit // _PAGE_PART, _LEAST_PAGE_BYTES), _MOST_PAGE_BYTES)
