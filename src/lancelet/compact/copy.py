"""Data files put together by moving the bytes of their pages, without decoding them (dataset.md 7.5, container.md 6).

::

    sources                          the copy
    file 0: buffers, metadata   ->   buffers of file 0, from a multiple of 64 on
    file 1: buffers, metadata   ->   buffers of file 1, from a multiple of 64 on
                                     descriptor; column metadata; tables; footer

The pages of a column stand behind each other in the metadata. In each of them the positions of its buffers change, and its first
row, by the rows of the files before. Encodings stay as they are: pages describe themselves. In version 2.0, where pages do not say
their first row, the column that says how many structs there are keeps one page for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lancelet.compact.eligible import blob_column, manifest_problem
from lancelet.compact.pages import ColumnPages
from lancelet.compact.source import SourceFile, WantedColumns, open_data_file
from lancelet.compact.verify import verify_copy
from lancelet.container.metadata import PageTotals
from lancelet.container.writer import ContainerWriter
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import file2_pb2, file_pb2
from lancelet.table.changes.write_files import remove_files
from lancelet.table.formats.metadata import DataFile
from lancelet.table.formats.names import DATA, data_file_name
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.buffers import Data
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.storage.base import Sink, Source
    from lancelet.table.formats.metadata import FragmentMetadata

__all__ = ["CopiedFile", "OutputLimits", "copy_files", "cut_outputs"]

#: Larger buffers do not move bytes any faster, and smaller ones cost calls.
_BUFFER_BYTES = 2 << 20
_DEFAULT_BATCH_BYTES = 16 << 20
#: Row addresses count the rows of a fragment in 32 bits.
_MOST_ROWS = (1 << 32) - 1


class CopiedFile(NamedTuple):
    """A data file that was made of others.

    Attributes
    ----------
    file
        Its description.
    num_rows
        Its rows.
    num_sources
        How many of the sources it holds; sources are copied in order and as a whole.
    pages
        Pages of each column in the sources together, and in the file.
    """

    file: DataFile
    num_rows: int
    num_sources: int
    pages: tuple[ColumnPages, ...]


class OutputLimits(NamedTuple):
    """How rows are shared out to new files; ``None``: no limit.

    Attributes
    ----------
    target_rows, target_bytes
        What a file should have. There are as many files as can have so much.
    max_rows, max_bytes
        What a file may have.
    """

    target_rows: int | None = None
    target_bytes: int | None = None
    max_rows: int | None = None
    max_bytes: int | None = None

    def num_outputs(self, num_rows: int, num_bytes: int) -> int:
        """Return how many files there should be."""
        return max(
            1,
            num_rows // (self.target_rows or num_rows or 1),
            num_bytes // (self.target_bytes or num_bytes or 1),
            -(-num_rows // min(self.max_rows or _MOST_ROWS, _MOST_ROWS)),
            -(-num_bytes // (self.max_bytes or num_bytes or 1)),
        )


def cut_outputs(sizes: Sequence[tuple[int, int]], limits: OutputLimits) -> list[int]:
    """Share files out to new files of about the same size.

    Parameters
    ----------
    sizes
        Rows and bytes of each file.
    limits
        How large new files should and may be. A file that exceeds them alone is alone.

    Returns
    -------
    list[int]
        How many of the files, in order, go into each new one.
    """
    num_rows, num_bytes = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
    num_outputs = limits.num_outputs(num_rows, num_bytes)
    by_rows = limits._replace(target_bytes=None, max_bytes=None).num_outputs(num_rows, num_bytes)
    measure, total = (0, num_rows) if by_rows == num_outputs else (1, num_bytes)
    max_rows, max_bytes = min(limits.max_rows or _MOST_ROWS, _MOST_ROWS), limits.max_bytes
    counts: list[int] = []
    before = rows = bytes_ = count = 0
    for size in sizes:
        goal = total * (len(counts) + 1) / num_outputs
        is_full = rows + size[0] > max_rows or (max_bytes is not None and bytes_ + size[1] > max_bytes)
        if count and (is_full or before + size[measure] / 2 > goal):
            counts.append(count)
            rows = bytes_ = count = 0
        count, rows, bytes_ = count + 1, rows + size[0], bytes_ + size[1]
        before += size[measure]
    return [*counts, count] if count else counts


def copy_files(
    store: Store,
    sources: Sequence[FragmentMetadata],
    schema: Schema,
    version: Version,
    *,
    limits: OutputLimits | None = None,
    batch_bytes: int = _DEFAULT_BATCH_BYTES,
    progress: Callable[[int], None] | None = None,
) -> list[CopiedFile]:
    """Put the data files of fragments together.

    On an error all files that were written are removed. What a killed process leaves are files that no manifest names.

    Parameters
    ----------
    store
        The dataset.
    sources
        Fragments that can be copied: see :mod:`lancelet.compact.eligible`.
    schema
        Fields of the dataset, as data files store them; all of them are wanted.
    version
        File version, that of all files.
    limits
        How large new files should and may be; by default all becomes one file.
    batch_bytes
        Bytes that are asked for at a time.
    progress
        Called with the bytes that were moved, now and then.

    Returns
    -------
    list[CopiedFile]
        The new files, in the order of the rows.

    Raises
    ------
    OptionError
        There are no fragments, or one has no files.
    UnsupportedError
        A fragment cannot be copied; the message says why.
    FormatError
        A data file is damaged.
    """
    if not sources:
        raise OptionError("there are no fragments to copy")
    if blob := blob_column(schema):
        raise UnsupportedError(f"column {blob!r} holds blobs, which cannot be copied")
    wanted = WantedColumns(schema, version)
    for fragment in sources:
        if not fragment.files:
            raise OptionError(f"fragment {fragment.id} has no data files")
        _refuse(manifest_problem(fragment, wanted))
    counts = cut_outputs([_size(store, fragment) for fragment in sources], limits or OutputLimits())
    copied: list[CopiedFile] = []
    try:
        start = 0
        for count in counts:
            output = _Output(store, wanted, batch_bytes, progress)
            copied.append(output.make(sources[start : start + count]))
            start += count
    except BaseException:
        remove_files(store, [f"{DATA}/{done.file.path}" for done in copied])
        raise
    return copied


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise UnsupportedError(f"the bytes cannot be copied: {problem}")


def _size(store: Store, fragment: FragmentMetadata) -> tuple[int, int]:
    """Return rows and bytes of a fragment of one file."""
    file, num_rows = fragment.files[0], fragment.physical_rows
    if file.file_size_bytes is not None and num_rows is not None:
        return num_rows, file.file_size_bytes
    container = open_data_file(store, file)
    with container.source as source:
        return container.num_rows, source.size()


class _Output:
    """A file that is being put together."""

    def __init__(
        self, store: Store, wanted: WantedColumns, batch_bytes: int, progress: Callable[[int], None] | None
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._batch_bytes = batch_bytes
        self._progress = progress
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._totals = [PageTotals(0, 0, 0)] * len(wanted.ids)
        self._headers: dict[int, file2_pb2.ColumnMetadata.Page] = {}
        self._num_rows = 0

    def make(self, fragments: Sequence[FragmentMetadata]) -> CopiedFile:
        """Write the file; on an error nothing is left of it."""
        name, version = data_file_name(), self._wanted.version
        path = f"{DATA}/{name}"
        sink = self._store.open_sink(path, replace=False)
        writer = ContainerWriter(sink, version)
        try:
            for fragment in fragments:
                self._add(writer, sink, fragment)
            num_bytes = self._finish(writer)
        except BaseException:
            writer.abort()
            raise
        minor = 0 if version == Version.V2_0 else version.footer[1]
        columns = tuple(range(len(self._wanted.ids)))
        file = DataFile(name, self._wanted.ids, columns, 2, minor, num_bytes)
        written = [
            total._replace(num_pages=1) if column in self._headers else total
            for column, total in enumerate(self._totals)
        ]
        try:
            verify_copy(self._store, file, self._num_rows, written, self._wanted)
        except BaseException:
            remove_files(self._store, [path])
            raise
        pages = tuple(
            ColumnPages(path, before.num_pages, after.num_pages)
            for path, before, after in zip(self._wanted.paths, self._totals, written, strict=True)
        )
        return CopiedFile(file, self._num_rows, len(fragments), pages)

    def _add(self, writer: ContainerWriter, sink: Sink, fragment: FragmentMetadata) -> None:
        """Append the pages of a fragment."""
        file = fragment.files[0]
        container = open_data_file(self._store, file)
        with container.source as source:
            if fragment.physical_rows not in (None, container.num_rows):
                raise FormatError(
                    f"the file has {container.num_rows} rows, and fragment {fragment.id} has {fragment.physical_rows}",
                    path=source.name,
                )
            opened = SourceFile(container, file, self._wanted)
            _refuse(opened.problem)
            runs, targets = opened.runs(), []
            for start, stop in runs:
                writer.align()
                targets.append(sink.tell())
                self._move(source, sink, start, stop)
        for column, pages in opened.moved_pages(runs, targets, self._num_rows):
            writer.add_pages(column, pages)
        self._count(opened)

    def _count(self, opened: SourceFile) -> None:
        for column in self._wanted.headers - self._headers.keys():
            self._headers[column] = opened.header(column)
        self._totals = [
            PageTotals(rows + own_rows, num_bytes + own_bytes, num_pages + own_pages)
            for (rows, num_bytes, num_pages), (own_rows, own_bytes, own_pages) in zip(
                self._totals, opened.totals, strict=True
            )
        ]
        self._num_rows += opened.num_rows
        if self._num_rows > _MOST_ROWS:
            raise FormatError(f"{self._num_rows} rows are more than a fragment can have")

    def _move(self, source: Source, sink: Sink, start: int, stop: int) -> None:
        """Append a part of a file, through one buffer."""
        for first in range(start, stop, self._batch_bytes):
            last = min(first + self._batch_bytes, stop)
            pieces = [
                [(position, min(_BUFFER_BYTES, last - position))]
                for position in range(first, last, _BUFFER_BYTES)
            ]
            for data in source.read_copies(pieces, self._room):
                sink.write(data)
            if self._progress is not None:
                self._progress(last - first)

    def _room(self, size: int) -> Data:
        return self._buffer[:size]

    def _finish(self, writer: ContainerWriter) -> int:
        """Write what describes the pages, and give the file its name; returns its size."""
        for column, page in self._headers.items():
            page.length = self._totals[column].num_rows
            page.ClearField("priority")
            pages = file2_pb2.ColumnMetadata(pages=[page])
            writer.add_pages(column, pages.SerializeToString(deterministic=True))
        writer.align()
        descriptor = file_pb2.FileDescriptor(schema=self._wanted.schema.to_message(), length=self._num_rows)
        return writer.finish(descriptor.SerializeToString(deterministic=True), len(self._wanted.ids))
