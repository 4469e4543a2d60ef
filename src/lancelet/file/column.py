"""One physical column of an open file: its pages by row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.file.cache import held_bytes
from lancelet.pages.base import JoinablePage, PageInfo, RowRanges
from lancelet.pages.registry import parse_page
from lancelet.pages.rows import PageRows, split_by_page
from lancelet.storage.coalesce import fetch

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.container.metadata import ColumnMetadata
    from lancelet.container.reader import Container
    from lancelet.file.cache import PageCache
    from lancelet.levels import Leaf
    from lancelet.pages.base import Layout, OpenPage, PagePart
    from lancelet.storage import Source

__all__ = [
    "ColumnPages",
    "ColumnPart",
    "announce_heads",
    "plan_by_page",
    "plan_columns",
    "read_by_page",
    "read_parts",
]

#: Mean size of ranges, in bytes, up to which a copy of what lies apart is cheaper than the first touch of a view.
_COPIED_BYTES = 256 << 10
#: Of more ranges many lie in the same pages of the map, and a call for each costs more than the faults.
_MOST_COPIES = 2048
#: Most bytes of a page whose work in the interpreter is worth a copy of its bytes next to those of its neighbours,
_SMALL_PAGE_BYTES = 512 << 10
#: and of what is copied at once.
_JOINED_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPart:
    """A page's share in a read.

    Attributes
    ----------
    page, open_page
        Its number, and the opened page.
    rows
        The wanted rows, counted from the first row of the page.
    part
        What its layout planned.
    """

    page: int
    open_page: OpenPage
    rows: RowRanges
    part: PagePart


class _Opened(NamedTuple):
    """What a column knows of pages that were opened, or will be.

    Attributes
    ----------
    kinds
        Kind of pages -> the first page of it that was opened, which is its number.
    kind_of
        Page -> the number of its kind.
    announced
        Layouts of pages that will be opened at once.
    hinted
        Pages that are not open, whose heads the source was told of.
    """

    kinds: dict[Hashable, int]
    kind_of: dict[int, int | None]
    announced: dict[int, Layout]
    hinted: set[int]


class ColumnPages:
    """The pages of a column. May be shared by threads: what is cached is immutable, and making it twice does no harm.

    Parameters
    ----------
    container
        The open file.
    column
        Physical column.
    cache
        Where opened pages are kept.
    rows_per_row
        Rows that its pages count for one row of the file (versions.md 5.8).

    Attributes
    ----------
    column
        Physical column.
    num_pages
        Number of pages.
    encoded_bytes
        Bytes of all page buffers.
    max_open_bytes
        Most bytes that the pages of one read may hold when they are open, if they are several.
    first_rows
        Row of the file where each page starts, and the number of rows.
    """

    def __init__(self, container: Container, column: int, cache: PageCache, rows_per_row: int = 1) -> None:
        self.column = column
        self.max_open_bytes = cache.max_bytes
        self._cache = cache
        self._container = container
        totals, num_rows = container.totals(column), container.num_rows
        if rows_per_row != 1 or totals.num_rows != num_rows:
            container.check_rows(column, rows_per_row)
        self._rows_per_row = rows_per_row
        self.num_pages, self.encoded_bytes = totals.num_pages, totals.num_bytes
        if self.num_pages == 1:
            self.first_rows: Sequence[int] = (0, num_rows)
        else:
            self.first_rows = (*self.metadata.first_rows, num_rows)

    @property
    def hinted(self) -> set[int]:
        """Pages that are not open, whose heads the source was told of."""
        return self._opened.hinted

    @property
    def metadata(self) -> ColumnMetadata:
        """The metadata of the column."""
        return self._container.column(self.column)

    @property
    def _opened(self) -> _Opened:
        """What is known of opened pages; made when the first one is opened, since columns that are read directly have none."""
        known: _Opened | None = self.__dict__.get("opened")
        if known is None:  # two threads may both make it; all callers get one
            known = self.__dict__.setdefault("opened", _Opened({}, {}, {}, set()))
        return known

    @cached_property
    def _first_rows(self) -> Int64Array:
        return np.array(self.first_rows, dtype=np.int64)

    def split(self, rows: RowRanges) -> list[PageRows]:
        """Assign `rows` of the file to the pages."""
        if len(rows.starts) > 1:
            return split_by_page(rows, self._first_rows)
        first_rows, start, stop = self.first_rows, int(rows.starts[0]), int(rows.stops[0])
        first_page = bisect_right(first_rows, start) - 1
        if stop <= first_rows[first_page + 1]:
            first = first_rows[first_page]
            return [
                PageRows(first_page, RowRanges(rows.starts - first, rows.stops - first) if first else rows)
            ]
        parts = []
        for page in range(first_page, bisect_left(first_rows, stop)):
            first, end = first_rows[page], first_rows[page + 1]
            if first < end:  # old writers made pages without rows
                parts.append(
                    PageRows(page, RowRanges.single(max(start, first) - first, min(stop, end) - first))
                )
        return parts

    def kept(self, page: int) -> OpenPage | None:
        """Return the opened page if it is kept."""
        return self._cache.get((self.column, page))

    def plan(self, rows: PageRows, page: OpenPage) -> ColumnPart:
        """Plan the read of `rows` of one opened page."""
        wanted = _scaled(rows.rows, self._rows_per_row)
        try:
            return ColumnPart(rows.page, page, wanted, page.plan(wanted))
        except FormatError as error:
            raise error.locate(column=self.column, page=rows.page) from None

    def decode(self, parts: Sequence[ColumnPart], data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode the bytes fetched for `parts`, which :meth:`together` found to be of one kind if they are several."""
        first, *others = parts
        try:
            if not others:
                return first.open_page.decode(first.part, data, allocate)
            pages = [part.open_page for part in parts]
            return _decode_together(pages, [part.part for part in parts], data, allocate)
        except FormatError as error:
            raise error.locate(column=self.column, page=None if others else first.page) from None

    def together(self, parts: Sequence[ColumnPart], *, scattered: bool) -> list[Sequence[ColumnPart]]:
        """Divide `parts`, in order, into those that are decoded together: of pages of the same kind.

        Scattered ones are some rows each; ranges are of small pages, whole or not.
        """
        if len(parts) < 2:
            return [parts] if parts else []
        return self._scattered_together(parts) if scattered else self._ranges_together(parts)

    def _ranges_together(self, parts: Sequence[ColumnPart]) -> list[Sequence[ColumnPart]]:
        found: list[list[ColumnPart]] = []
        previous, joined_bytes = None, 0
        for part in parts:
            num_bytes = sum([size for _, size in part.part.ranges])
            page = part.open_page
            is_joined = (
                isinstance(page, JoinablePage) and page.joins_ranges and num_bytes <= _SMALL_PAGE_BYTES
            )
            kind = self._opened.kind_of[part.page] if is_joined else None
            if kind is not None and kind == previous and joined_bytes + num_bytes <= _JOINED_BYTES:
                found[-1].append(part)
                joined_bytes += num_bytes
            else:
                found.append([part])
                joined_bytes = num_bytes
            previous = kind
        return list(found)

    def _scattered_together(self, parts: Sequence[ColumnPart]) -> list[Sequence[ColumnPart]]:
        found: list[list[ColumnPart]] = []
        previous = None
        for part in parts:
            is_whole = part.part.num_rows == part.open_page.num_rows
            kind = None if is_whole or part.part.keep is not None else self._opened.kind_of[part.page]
            if kind is not None and kind == previous:
                found[-1].append(part)
            else:
                found.append([part])
            previous = kind
        return list(found)

    def layout(self, page: int) -> Layout:
        """Parse the layout of one page without reading from it."""
        metadata = self.metadata.page(page)
        info = PageInfo(metadata.buffers, metadata.num_rows)
        try:
            return parse_page(metadata.type_name, metadata.encoding, info)
        except FormatError as error:
            raise error.locate(column=self.column, page=page) from None
        except LanceletError as error:
            raise type(error)(f"column {self.column}, page {page}: {error}") from None

    def announced(self, page: int) -> Layout:
        """Return the layout of a page that will be opened; parsed once until it is."""
        announced = self._opened.announced
        layout = announced.get(page)
        if layout is None:
            layout = announced[page] = self.layout(page)
        return layout

    def open(self, page: int, layout: Layout, heads: Sequence[Data]) -> tuple[OpenPage, int]:
        """Open a page, whose `layout` and its head are known, and keep it; returns it and about how many bytes it holds."""
        try:
            opened = layout.open(heads)
        except FormatError as error:
            raise error.locate(column=self.column, page=page) from None
        known = self._opened
        known.announced.pop(page, None)
        known.hinted.discard(page)
        kind = opened.kind if isinstance(opened, JoinablePage) else None
        # Kinds may be large (they hold symbol tables), so they are compared here and not in every read.
        known.kind_of[page] = None if kind is None else known.kinds.setdefault(kind, page)
        size = held_bytes(opened)
        return self._cache.put((self.column, page), opened, size), size


def _decode_together(
    pages: Sequence[OpenPage], parts: Sequence[PagePart], data: Sequence[Data], allocate: Allocate
) -> Leaf:
    first, *others = [page for page in pages if isinstance(page, JoinablePage)]
    return first.decode_together(others, parts, data, allocate)


def plan_columns(
    columns: Sequence[ColumnPages], rows: RowRanges, source: Source
) -> list[list[ColumnPart]] | None:
    """Plan the read of `rows` of some columns: for each the parts of its pages, in order.

    Pages that are not open are opened first, and their heads fetched together.

    Returns
    -------
    list | None
        ``None`` when several pages would have to be opened, and would hold more than they may together: a dictionary that many
        pages share in the file is decoded once a page. See :func:`plan_by_page`.

    Parameters
    ----------
    columns
        The columns.
    rows
        Rows of the file.
    source
        Where heads are read.

    Raises
    ------
    FormatError
        The description of a page is damaged.
    UnsupportedError
        A page has an encoding that is not known here.
    """
    found = [(pages, part, pages.kept(part.page)) for pages in columns for part in pages.split(rows)]
    missing = [(pages, part.page, pages.announced(part.page)) for pages, part, page in found if page is None]
    together = _open_pages(missing, source) if missing else []
    if together is None:
        return None
    opened = iter(together)
    planned: dict[ColumnPages, list[ColumnPart]] = {pages: [] for pages in columns}
    for pages, part, page in found:
        planned[pages].append(pages.plan(part, next(opened) if page is None else page))
    return list(planned.values())


def plan_by_page(column: ColumnPages, rows: RowRanges, source: Source) -> Iterator[ColumnPart]:
    """Plan the read of `rows` of one column page by page, so that the pages need not be open together.

    Parameters, errors and the parts are those of :func:`plan_columns`.
    """
    for part in column.split(rows):
        page = column.kept(part.page)
        if page is None:
            layout = column.announced(part.page)
            page, _ = column.open(part.page, layout, fetch(source, layout.head_ranges(), scattered=True))
        yield column.plan(part, page)


def announce_heads(columns: Sequence[ColumnPages], rows: RowRanges, source: Source) -> None:
    """Tell the source that the heads of pages that are not open will be read for `rows`.

    Raises
    ------
    FormatError
        The message of a page is damaged.
    UnsupportedError
        A page has an encoding that is not known here.
    """
    wanted = [(pages, part.page) for pages in columns for part in pages.split(rows)]
    missing = [(pages, page) for pages, page in wanted if pages.kept(page) is None]
    heads = [pages.announced(page).head_ranges() for pages, page in missing]
    source.prefetch([range_ for ranges in heads for range_ in ranges])
    for pages, page in missing:
        pages.hinted.add(page)


def _open_pages(missing: Sequence[tuple[ColumnPages, int, Layout]], source: Source) -> list[OpenPage] | None:
    """Open pages; ``None`` as soon as they hold, or their heads are, more than is allowed of several pages."""
    ranges = [layout.head_ranges() for _, _, layout in missing]
    heads = [range_ for own in ranges for range_ in own]
    room = missing[0][0].max_open_bytes
    if len(missing) > 1 and sum([size for _, size in heads]) > room:
        return None
    is_hinted = all(page in pages.hinted for pages, page, _ in missing)
    fetched = iter(fetch(source, heads, scattered=not is_hinted))
    opened = []
    for (pages, number, layout), own in zip(missing, ranges, strict=True):
        if room < 0:
            return None
        page, size = pages.open(number, layout, [next(fetched) for _ in own])
        opened.append(page)
        room -= size
    return opened


def read_parts(
    columns: Sequence[ColumnPages],
    plans: Sequence[Sequence[ColumnPart]],
    source: Source,
    allocate: Allocate,
    *,
    scattered: bool,
) -> Iterator[list[tuple[Leaf, RowRanges | None]]]:
    """Fetch and decode what :func:`plan_columns` planned.

    Parameters
    ----------
    columns, plans
        The columns and the parts of their pages.
    source
        Where bytes are read, for all columns at once.
    allocate
        Where memory comes from.
    scattered
        The rows are few or lie apart; see :func:`~lancelet.storage.coalesce.fetch` and :meth:`ColumnPages.together`.

    Yields
    ------
    list
        For each column its leaves, and the rows of each to keep (``None``: all).

    Raises
    ------
    FormatError
        A page is damaged, or the source has shrunk.
    UnsupportedError
        A page has an encoding that is not known here.
    """
    runs = [pages.together(parts, scattered=scattered) for pages, parts in zip(columns, plans, strict=True)]
    fetched = _fetch_runs([run for own in runs for run in own], source, allocate, scattered=scattered)
    for pages, own in zip(columns, runs, strict=True):
        leaves: list[tuple[Leaf, RowRanges | None]] = []
        for run in own:
            try:
                leaves.append((pages.decode(run, next(fetched), allocate), run[0].part.keep))
            except (FormatError, UnsupportedError):
                if len(run) == 1:
                    raise
                # One by one they may fit what they do not fit together; and the damaged page can be named.
                for part in run:
                    data = fetch(source, part.part.ranges, scattered=True)
                    leaves.append((pages.decode((part,), data, allocate), part.part.keep))
        yield leaves


def read_by_page(
    column: ColumnPages, rows: RowRanges, source: Source, allocate: Allocate, *, scattered: bool
) -> Iterator[tuple[Leaf, RowRanges | None]]:
    """Plan, fetch and decode `rows` of one column page by page; the caller lets go of a leaf before it asks for the next.

    Parameters and errors are those of :func:`plan_columns` and :func:`read_parts`.

    Yields
    ------
    tuple
        A leaf, and the rows of it to keep (``None``: all).
    """
    for part in plan_by_page(column, rows, source):
        for leaves in read_parts([column], [[part]], source, allocate, scattered=scattered):
            yield from leaves


def _fetch_runs(
    runs: Sequence[Sequence[ColumnPart]], source: Source, allocate: Allocate, *, scattered: bool
) -> Iterator[Sequence[Data]]:
    """Read the ranges of each run: into one buffer, where a copy of what lies apart is cheaper than views."""
    ranges = [[range_ for part in run for range_ in part.part.ranges] for run in runs]
    flat = [range_ for own in ranges for range_ in own]
    sizes = [sum([size for _, size in own]) for own in ranges]
    few = len(flat) <= _MOST_COPIES
    if scattered and few and source.copies_scattered and sum(sizes) <= _COPIED_BYTES * len(flat):
        for own, buffer in zip(ranges, source.read_copies(ranges, allocate), strict=True):
            yield (buffer,) if own else ()
        return
    fetched = iter(fetch(source, flat, scattered=scattered))
    for own in ranges:
        yield [next(fetched) for _ in own]


def _scaled(rows: RowRanges, factor: int) -> RowRanges:
    """Count rows of the file as the pages do; no overflow, since the pages' own counts were checked."""
    return rows if factor == 1 else RowRanges(rows.starts * factor, rows.stops * factor)
