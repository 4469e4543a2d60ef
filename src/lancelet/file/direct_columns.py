"""The columns that :mod:`lancelet.file.direct` reads, and their open pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.blocks.arrow import from_block
from lancelet.buffers import allocate, as_bytes
from lancelet.errors import LanceletError, UnsupportedError
from lancelet.file.direct_forms import form_of, kind_of, known_form, remember_form
from lancelet.file.rows import is_scattered
from lancelet.pages.miniblock import MiniBlock
from lancelet.schema.blobs import is_blob
from lancelet.schema.logical import flat_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lancelet.buffers import Data, Int64Array
    from lancelet.container.metadata import BufferRef
    from lancelet.container.reader import Container
    from lancelet.container.table import ColumnTable
    from lancelet.file.column import ColumnPages
    from lancelet.file.direct_forms import Form
    from lancelet.pages.base import RowRanges
    from lancelet.schema.fields import Field

    _Items = tuple[Data | None, int, Data | None]

__all__ = ["DirectColumns", "NotDirect", "TooMuchToOpen"]

#: Files with more columns are wide.
_WIDE = 64
#: So few pages are opened one by one.
_FEW_PAGES = 8
#: Chunks of so few rows and columns, and so few bytes, are copied from a mapped file rather than touched there: the first touch of
#: a page of the map, and giving it back, cost more than a read.
_MOST_COPIES, _MOST_COPIED_BYTES = 1 << 12, 4 << 20
#: What lies between two ranges that are fetched from a disk is read along if it is no more than this.
_GAP_BYTES = 16 << 10
#: Where rows of :func:`kernels.page_places` have what is read to open a page: the chunk words and the dictionary.
_HEADS = [3, 4, 7, 8]
#: Buffers of a mini-block page: chunk words, chunks, and perhaps a dictionary.
_MINI_BLOCK_BUFFERS = (2, 3)


class NotDirect(Exception):  # noqa: N818 - no error: the caller takes another way
    """A column cannot be read directly; asked again, :meth:`DirectColumns.number_of` says so."""


class TooMuchToOpen(NotDirect):
    """The pages of this read hold more than pages may that are open together; columns stay direct for other reads."""


class DirectColumns:
    """The columns of an open file that can be read directly. May be shared by threads.

    Parameters
    ----------
    container
        The open file; its source gives views.
    max_bytes
        Most bytes that open pages may hold beside the file: where their chunks lie, dictionaries, symbol tables. When they hold
        more, the next read closes all, and opens what it wants; a read that wants more is not direct.
    """

    def __init__(self, container: Container, max_bytes: int) -> None:
        source = container.source
        self._native = kernels.DirectColumns(source.read(0, source.size()))
        self._container = container
        self._source = source
        #: By physical column: the number that native reads know it by (``None``: it is read the general way), pages, logical type.
        #: No object holds them together: of thousands of open files, the garbage collector would look at each again and again.
        self._numbers: dict[int, int | None] = {}
        self._pages: dict[int, ColumnPages] = {}
        self._types: dict[int, str] = {}
        #: By the number of an encoding in the container's table; ``None``: such pages are opened one by one.
        self._numbered_forms: dict[int, Form | None] = {}
        self._max_bytes = max_bytes
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes that open pages hold beside the file."""
        return self._held_bytes

    def add(self, fields: Sequence[Field], columns: Sequence[ColumnPages]) -> None:
        """Get ready for :meth:`number_of` of many fields that have one leaf.

        Parameters
        ----------
        fields
            Fields as they are stored.
        columns
            Each one's column.
        """
        known, added = self._numbers, []
        for field, pages in zip(fields, columns, strict=True):
            if pages.column not in known:
                kind = None if field.children or is_blob(field) else kind_of(field.logical_type)
                if kind is None or not pages.num_pages or not self._begins_well(pages):
                    known[pages.column] = None
                else:
                    added.append((pages, field.logical_type, kind))
        if not added:
            return
        first_rows = [row for pages, _, _ in added for row in pages.first_rows]
        first = self._native.add_columns(
            np.array(first_rows, dtype=np.int64),
            np.array(
                [(pages.num_pages, kind.is_variable, kind.bits) for pages, _, kind in added], dtype=np.int64
            ),
        )
        for number, (pages, logical_type, _) in enumerate(added, first):
            self._pages[pages.column], self._types[pages.column] = pages, logical_type
            # Another thread may have been faster; its number is in use.
            known.setdefault(pages.column, number)

    def _begins_well(self, pages: ColumnPages) -> bool:
        """Whether the first page of a column may be a mini-block; not asked of wide files, where it nearly always is."""
        if self._container.num_columns > _WIDE:
            return True
        table = self._container.table
        encoding = None if table is None else table.first_encoding(pages.column)
        if encoding is None:
            encoding = pages.metadata.page(0).encoding
        return encoding.startswith(_MINI_BLOCK)

    def number_of(self, field: Field, columns: Sequence[ColumnPages]) -> int | None:
        """Return the number by which a native read knows a field; ``None``: it must be read the general way.

        Parameters
        ----------
        field
            A field as it is stored.
        columns
            The columns of its leaves.
        """
        pages = columns[0]
        if len(columns) != 1:
            return None
        if pages.column not in self._numbers:
            self.add([field], columns)
        return self._numbers[pages.column]

    def begin(self, numbers: Int64Array, columns: Sequence[int], rows: RowRanges) -> kernels.DirectRead:
        """Begin a read of `columns`, whose `numbers` were asked for; opens the pages that are not open.

        Raises
        ------
        FormatError
            The file has shrunk.
        NotDirect
            Some column must be read the general way.
        TooMuchToOpen
            All must, this time.
        """
        if self._held_bytes > self._max_bytes:
            self._close_pages()
        read = kernels.DirectRead(self._native, numbers, rows.starts, rows.stops)
        room, scattered = self._max_bytes, is_scattered(rows)
        try:
            while missing := read.missing():  # again if another thread closed them meanwhile
                wanted = [(columns[place], page) for place, page in missing]
                room = self._open_pages(wanted, room, scattered=scattered)
        except TooMuchToOpen:
            self._close_pages()
            raise
        # Each of them checks that the whole map may be touched.
        if not scattered:
            self._source.read(0, 0)
        elif rows.num_rows * len(columns) > _MOST_COPIES or not self._copy_chunks(read):
            self._source.prefetch(read.chunk_ranges(_GAP_BYTES))
        return read

    def _copy_chunks(self, read: kernels.DirectRead) -> bool:
        """Copy the chunks of a read, if they are few."""
        ranges = read.chunk_ranges(0)
        copies = self._copied(ranges)
        if copies is None:
            return False
        read.use_copies(ranges, copies)
        return True

    def _copied(self, ranges: Sequence[tuple[int, int]]) -> Data | None:
        """Copy sorted, disjoint ranges, if that is cheaper than to touch the map, and they are not too large."""
        if not self._source.copies_scattered or sum([size for _, size in ranges]) > _MOST_COPIED_BYTES:
            return None
        (copies,) = self._source.read_copies([ranges], _short_lived)
        return copies

    def _close_pages(self) -> None:
        self._held_bytes = 0
        self._native.forget_pages()

    def end(self, read: kernels.DirectRead, rows: RowRanges) -> None:
        """Let go of the chunks that a read has decoded, if it goes through the file."""
        if not is_scattered(rows):
            self._source.release(read.chunk_ranges(_GAP_BYTES))

    def _open_pages(self, wanted: Sequence[tuple[int, int]], room: int, *, scattered: bool) -> int:
        """Open pages, given by column and number; nothing is read before all of them are known to be of the right kind.

        Parameters
        ----------
        wanted
            Column and page of each.
        room
            Bytes that they may hold.
        scattered
            Whether little of the file around them will be read.

        Returns
        -------
        int
            What is left of `room`; less than 0 if the last page took more.

        Raises
        ------
        NotDirect
            Some column must be read the general way.
        TooMuchToOpen
            There are more pages than there is room for.
        """
        table = self._container.table
        together = None
        if table is not None and len(wanted) > _FEW_PAGES:
            together, wanted = self._known(wanted, table)
        found = self._found_all(wanted)
        self._source.prefetch(
            _near([buffer for page in found for buffer in page.heads])
        )  # checks that the map may be touched
        if together is not None:
            heads = kernels.near_ranges(together.places.take(_HEADS, axis=1), 0)
            copies = self._copied(heads) if scattered else None
            if copies is None:
                self._source.prefetch(_near(heads))
            else:
                together = together._replace(copied=heads, copies=copies)
            refused, room = self._add_together(together, room)
            found += self._found_all(refused)
        wrong = set()
        for page in found:
            held = self._add_page(page, room)
            if held is None:
                wrong.add(page.column)
            else:
                room -= held
        if wrong:
            raise self.refused(wrong)
        return room

    def _known(
        self, wanted: Sequence[tuple[int, int]], table: ColumnTable
    ) -> tuple[_KnownPages | None, list[tuple[int, int]]]:
        """Divide pages: those of forms that the kernel knows, and others."""
        others, tabled = [], []
        for column, page in wanted:
            number, first_page = self._numbers[column], table.first_page(column)
            if number is None or first_page < 0:
                others.append((column, page))
            else:
                tabled.append((column, page, number, first_page + page))
        forms: dict[Form, int] = {}
        rows, columns = [], []
        encodings = table.encoding_numbers([row for *_, row in tabled])
        for (column, page, number, row), encoding in zip(tabled, encodings, strict=True):
            form = self._numbered_form(encoding, column, page)
            if form is None:
                others.append((column, page))
            else:
                is_text = _is_text(self._types[column])
                rows.append((number, page, forms.setdefault(form, len(forms)), row, is_text))
                columns.append(column)
        if not rows:
            return None, others
        places = np.empty((len(rows), 10), dtype=np.int64)
        num_buffers = np.array([form.num_buffers for form in forms], dtype=np.int64)
        kernels.page_places(np.array(rows, dtype=np.int64), table.pages, table.buffers, num_buffers, places)
        is_known = places[:, 2] >= 0
        if not is_known.all():
            others += [(columns[row], rows[row][1]) for row in np.flatnonzero(~is_known)]
            columns = [columns[row] for row in np.flatnonzero(is_known)]
            places = places[is_known]
        return _KnownPages(places, list(forms), columns) if columns else None, others

    def _add_together(self, known: _KnownPages, room: int) -> tuple[list[tuple[int, int]], int]:
        """Open pages by one native call; returns those that it refuses, and the room left."""
        held = np.empty(len(known.places), dtype=np.int64)
        forms = np.array([form.row for form in known.forms], dtype=np.int64)
        symbols = [form.symbols for form in known.forms]
        num_opened = self._native.add_pages(
            known.places, forms, symbols, known.copied, known.copies, max(room, -1), held
        )
        sizes = held[:num_opened].tolist()
        num_bytes = sum([size for size in sizes if size > 0])
        self._held_bytes += num_bytes
        if num_opened < len(held):
            raise TooMuchToOpen
        refused = [number for number, size in enumerate(sizes) if size < 0]
        return [(known.columns[number], int(known.places[number, 1])) for number in refused], room - num_bytes

    def _numbered_form(self, number: int, column: int, page: int) -> Form | None:
        """Return the form of all pages that have an encoding of the container's table; `page` of `column` is one of them."""
        if number not in self._numbered_forms:
            table = self._container.table
            message = None if table is None else table.encoding(number)
            form = None if message is None else known_form(message)
            if form is None:
                try:
                    form = form_of(self._pages[column].layout(page))
                except LanceletError:
                    form = None
                if form is not None and message is not None:
                    remember_form(message, form)
            is_known = form is not None and form.items is not None and form.num_buffers in _MINI_BLOCK_BUFFERS
            self._numbered_forms[number] = form if is_known else None
        return self._numbered_forms[number]

    def refused(self, columns: Iterable[int]) -> NotDirect:
        """Leave columns to the general way, which has the words for what is wrong with them."""
        self._numbers.update(dict.fromkeys(columns))
        return NotDirect()

    def _found_all(self, wanted: Sequence[tuple[int, int]]) -> list[_Page]:
        """Look at the messages of pages.

        Raises
        ------
        NotDirect
            Some are of another kind.
        """
        found = [self._found(column, page) for column, page in wanted]
        if wrong := {column for (column, _), page in zip(wanted, found, strict=True) if page is None}:
            raise self.refused(wrong)
        return [page for page in found if page is not None]

    def _found(self, column: int, page: int) -> _Page | None:
        """Look at the message of a page; ``None``: it is of another kind."""
        if self._numbers[column] is None:
            return None
        pages = self._pages[column]
        # Columns of one type mostly have pages of one message: what it says is found out once.
        metadata = pages.metadata.page(page)
        message = (metadata.type_name, metadata.encoding)
        form = known_form(message)
        if (
            form is not None
            and form.num_rows == metadata.num_rows
            and form.num_buffers == len(metadata.buffers) == 2
        ):
            return _Page(column, page, form, metadata.buffers, None)
        try:
            layout = pages.layout(page)
        except LanceletError:
            return None
        form = form_of(layout)
        if form is None or not isinstance(layout, MiniBlock):
            return None
        remember_form(message, form)
        if layout.dictionary_codec is None:
            return _Page(column, page, form, metadata.buffers, None)
        return _Page(column, page, form, metadata.buffers, layout)

    def _add_page(self, page: _Page, room: int) -> int | None:
        """Open a page; returns the bytes that it holds, ``None`` if that was not possible.

        Raises
        ------
        TooMuchToOpen
            There is no `room`.
        """
        if room < 0:
            raise TooMuchToOpen
        words, chunks = page.buffers[:2]
        number = self._numbers[page.column]
        if number is None:  # another thread has just found that it is of another kind
            return None
        try:
            items = (None, 0, None) if page.indexed is None else self._items(page.column, page.indexed)
            held: int = self._native.add_page(
                number, page.number, *page.form.numbers, words, chunks, *items, page.form.symbols
            )
        except (LanceletError, ValueError):
            return None
        self._held_bytes += held
        return held

    def _items(self, column: int, layout: MiniBlock) -> _Items:
        opened = layout.open(self._source.read_ranges(layout.head_ranges()))
        block = opened.items
        if block is None:
            raise UnsupportedError("a dictionary is missing")
        # What the indices refer to is checked here once: text may not be UTF-8.
        from_block(block, flat_type_of(self._types[column]), block.num_values, None, 0, allocate)
        match block:
            case FixedWidth(bits=bits) if bits % 8 == 0:
                return as_bytes(block.data)[: block.num_values * bits // 8], bits, None
            case VariableWidth(offset_bits=bits):
                return block.data, bits, as_bytes(block.offsets)[: (block.num_values + 1) * bits // 8]
        raise UnsupportedError("a dictionary holds values of whole bytes, or text and binary")


#: How the message of a mini-block page begins: the tag of the member ``mini_block_layout``.
_MINI_BLOCK = b"\x0a"


class _Page(NamedTuple):
    """A page that can be read directly: what it is like, where it lies, and its layout if its values are indices."""

    column: int
    number: int
    form: Form
    buffers: tuple[BufferRef, ...]
    indexed: MiniBlock | None

    @property
    def heads(self) -> tuple[BufferRef, ...]:
        """What is read to open the page."""
        return self.buffers[:1] if self.indexed is None else self.indexed.head_ranges()


class _KnownPages(NamedTuple):
    """Pages that the kernel can open by itself.

    Attributes
    ----------
    places
        Where they lie, as :func:`kernels.page_places` says.
    forms, columns
        Their forms, and their physical columns.
    copied, copies
        Ranges of the file that were copied, and their bytes.
    """

    places: Int64Array
    forms: list[Form]
    columns: list[int]
    copied: Sequence[tuple[int, int]] = ()
    copies: Data = b""


def _is_text(logical_type: str) -> bool:
    kind = kind_of(logical_type)
    return kind is not None and kind.is_text


def _short_lived(num_bytes: int) -> Data:
    """Return memory for what is given back soon: Arrow's pool would keep more of it."""
    return np.empty(num_bytes, dtype=np.uint8)


def _near(ranges: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Merge ranges that lie close together, if they are many."""
    if len(ranges) <= _FEW_PAGES:
        return ranges
    return kernels.near_ranges(np.array(ranges, dtype=np.int64), _GAP_BYTES)
