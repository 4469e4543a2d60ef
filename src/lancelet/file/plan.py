"""What a read fetches, before it does: for each column the pages, their rows and their bytes, and the requests that these become.

The plan of a scan, a range and a take is made by the code that reads, :func:`~lancelet.file.column.plan_columns`; only the heads of
pages are read for it. A :class:`ReadPlan` is a plain description: it can be printed, compared and pickled, and holds no page.

::

    column  page  layout      rows  wanted   bytes
    n       0     mini_block  1024  5, 100   4096
    s       0     full_zip    1024  5, 100     37

    2 requests for 4133 bytes; gaps up to 0 bytes are read through
    4096 bytes at 64
    37 bytes at 8192
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet.fields.paths import leaf_paths
from lancelet.pages.base import ByteRange
from lancelet.storage.coalesce import merge_ranges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from lancelet.fields.v20_reader import V20Reader
    from lancelet.file.column import ColumnPages, ColumnPart
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field
    from lancelet.storage import Source

__all__ = [
    "ColumnPlan",
    "PagePlan",
    "ReadPlan",
    "describe_plan",
    "leaf_names",
    "make_plan",
    "plan_of_column",
    "request_lines",
    "shown_rows",
]

#: Ranges of rows, and requests, that a text shows.
_MAX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class PagePlan:
    """What is read of a page.

    Attributes
    ----------
    page
        Its number in its column.
    layout
        Name of its layout.
    num_rows
        Rows of the page, as it counts them.
    rows
        The wanted ones of them, as half-open ranges from the first row of the page.
    ranges
        The bytes to fetch.
    """

    page: int
    layout: str
    num_rows: int
    rows: tuple[tuple[int, int], ...]
    ranges: tuple[ByteRange, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes to fetch."""
        return sum(size for _, size in self.ranges)


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What is read of a physical column.

    Attributes
    ----------
    column
        Its number.
    name
        Path of the field that owns it.
    pages
        The pages that hold wanted rows.
    """

    column: int
    name: str
    pages: tuple[PagePlan, ...]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a read fetches.

    Attributes
    ----------
    num_rows
        Distinct rows that are read.
    columns
        The physical columns.
    requests
        What is asked for at once, when all rows are read together: ranges with small gaps between them are one request.
    gap_bytes
        Most bytes between two ranges that become one request.
    is_complete
        ``False`` if more is read after this, which only these bytes tell: the values of blobs, and in files of version 2.0 the
        items of lists and the bytes of texts.
    """

    num_rows: int
    columns: tuple[ColumnPlan, ...]
    requests: tuple[ByteRange, ...]
    gap_bytes: int
    is_complete: bool = True

    @property
    def num_bytes(self) -> int:
        """Bytes that are wanted, gaps not counted."""
        return sum(page.num_bytes for column in self.columns for page in column.pages)

    def __str__(self) -> str:
        return describe_plan(self)


def make_plan(
    num_rows: int,
    columns: Iterable[ColumnPlan],
    source: Source,
    *,
    is_complete: bool,
) -> ReadPlan:
    """Make the plan of some columns, and find the requests that `source` will see."""
    found = tuple(columns)
    ranges = [range_ for column in found for page in column.pages for range_ in page.ranges]
    reads: list[tuple[int, int]] = sorted(ranges)
    if not source.gives_views:
        merged = merge_ranges(ranges, source.gap_bytes, source.most_bytes).reads
        reads = merged if len(merged) < len(ranges) else reads
    requests = tuple(ByteRange(position, size) for position, size in reads)
    return ReadPlan(num_rows, found, requests, source.gap_bytes, is_complete)


def plan_of_column(name: str, pages: ColumnPages, parts: Iterable[ColumnPart]) -> ColumnPlan:
    """Describe what was planned of a column of the field `name`; no part, nor the page in it, is kept."""
    return ColumnPlan(
        pages.column,
        name,
        tuple(
            PagePlan(
                part.page,
                pages.layout(part.page).name.removesuffix("_layout"),
                part.open_page.num_rows,
                row_pairs(part.rows),
                part.part.ranges,
            )
            for part in parts
        ),
    )


def plan_of_v20(
    reader: V20Reader, fields: Sequence[tuple[Field, Field]], rows: RowRanges
) -> Iterator[ColumnPlan]:
    """Describe the first step of a read of a file of version 2.0: what is read before anything is known.

    Parameters
    ----------
    reader
        What reads the file.
    fields
        Each field as it is stored and as it is shown.
    rows
        Rows of the file, at least one.
    """
    ranges = sorted(reader.first_ranges(fields, rows))
    for stored, _ in fields:
        for name, column in reader.columns(stored):
            pages = reader.pages(column)
            found = []
            for page in range(len(pages)):
                own = [range_ for buffer in pages.context(page).page for range_ in _inside(ranges, buffer)]
                if own:
                    layout = str(pages.message(page).WhichOneof("array_encoding"))
                    found.append(PagePlan(page, layout, pages.length(page), (), tuple(own)))
            if found:
                yield ColumnPlan(column, name, tuple(found))


def _inside(ranges: Sequence[ByteRange], buffer: ByteRange) -> Sequence[ByteRange]:
    """Return those of sorted `ranges` that begin inside of `buffer`."""
    start, size = buffer
    return ranges[bisect_left(ranges, (start, 0)) : bisect_left(ranges, (start + size, 0))]


def row_pairs(rows: RowRanges) -> tuple[tuple[int, int], ...]:
    """Return ranges of rows as plain numbers."""
    return tuple(zip(rows.starts.tolist(), rows.stops.tolist(), strict=True))


def leaf_names(field: Field) -> list[str]:
    """Return the dotted paths of the leaves of `field`, in the order of :func:`~lancelet.fields.paths.leaf_paths`."""
    owners = {path.leaf.id for path in leaf_paths(field)}
    return list(_names(field, "", owners))


def _names(field: Field, prefix: str, owners: Collection[int]) -> Iterator[str]:
    if field.id in owners:
        yield prefix + field.name
        return
    for child in field.children:
        yield from _names(child, f"{prefix}{field.name}.", owners)


def describe_plan(plan: ReadPlan) -> str:
    """Return a plan as text: a table of the pages, and the requests."""
    rows = [("column", "page", "layout", "rows", "wanted", "bytes")]
    for column in plan.columns:
        for page in column.pages:
            wanted = shown_rows(page.rows)
            rows.append(
                (column.name, str(page.page), page.layout, str(page.num_rows), wanted, str(page.num_bytes))
            )
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([*lines, "", *request_lines(plan)])


def shown_rows(rows: Sequence[tuple[int, int]]) -> str:
    """Return ranges of rows as text: ``0:100, 105, 200:300``."""
    shown = [str(start) if stop == start + 1 else f"{start}:{stop}" for start, stop in rows[:_MAX_SHOWN]]
    if len(rows) > _MAX_SHOWN:
        shown.append(f"... ({len(rows)} ranges)")
    return ", ".join(shown)


def request_lines(plan: ReadPlan) -> list[str]:
    """Return the lines that say what is asked for."""
    total = sum(size for _, size in plan.requests)
    lines = [
        f"{plan.num_rows} rows, {plan.num_bytes} bytes; {len(plan.requests)} requests for {total} bytes, "
        f"gaps of up to {plan.gap_bytes} bytes are read through"
    ]
    lines += [f"{size} bytes at {position}" for position, size in plan.requests[:_MAX_SHOWN]]
    if len(plan.requests) > _MAX_SHOWN:
        lines.append(f"... and {len(plan.requests) - _MAX_SHOWN} more")
    if not plan.is_complete:
        lines.append("what these bytes say decides what is read after them")
    return lines
