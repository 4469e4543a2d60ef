"""The contract of a page layout.

Writing: ``encode`` takes a :class:`~lancelet.levels.Leaf` and codecs, and gives an :class:`EncodedPage`.

Reading goes *open, plan, decode*, so that all input and output is known before it happens:

1. :meth:`Layout.head_ranges` says which bytes describe the inside of the page (chunk words, indexes, dictionaries);
2. :meth:`Layout.open` checks them, once a page; the result may be kept and shared by threads;
3. :meth:`OpenPage.plan` says which bytes hold the wanted rows;
4. :meth:`OpenPage.decode` makes a leaf of exactly those rows' bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet.buffers import total
from lancelet.container.metadata import BufferRef
from lancelet.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import Self

    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.levels import Leaf

__all__ = [
    "ByteRange",
    "DoesNotFit",
    "EncodedPage",
    "JoinablePage",
    "Layout",
    "OpenPage",
    "PageInfo",
    "PagePart",
    "RowRanges",
]


#: Bytes of the file: absolute position and size.
ByteRange = BufferRef


@dataclass(frozen=True, slots=True, eq=False)
class RowRanges:
    """Rows as sorted, disjoint, non-empty half-open ranges.

    Attributes
    ----------
    starts, stops
        ``int64[num_ranges]``.
    """

    starts: Int64Array
    stops: Int64Array
    _num_rows: int = field(default=-1, init=False, repr=False)

    @classmethod
    def single(cls, start: int, stop: int) -> RowRanges:
        """Rows `start` to `stop`; ``start < stop``."""
        return cls(np.array([start], dtype=np.int64), np.array([stop], dtype=np.int64))

    @classmethod
    def from_sorted(cls, rows: Int64Array) -> RowRanges:
        """Rows given one by one, strictly increasing and at least one; neighbours become one range."""
        if len(rows) == 1:
            return cls(rows.copy(), rows + 1)
        breaks = np.flatnonzero(rows[1:] - rows[:-1] != 1)
        starts = rows[np.concatenate(([0], breaks + 1))]
        stops = rows[np.concatenate((breaks, [len(rows) - 1]))] + 1
        return cls(starts, stops)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        found = self._num_rows
        if found < 0:  # every layer asks, and a sum takes longer than many a read of few rows
            found = total(self.stops - self.starts)
            object.__setattr__(self, "_num_rows", found)
        return found


@dataclass(frozen=True, slots=True)
class PageInfo:
    """What the container says of a page.

    Attributes
    ----------
    buffers
        Position and size of every page buffer; they were checked to lie inside of the file.
    num_rows
        Top-level rows (``Page.length``).
    """

    buffers: tuple[ByteRange, ...]
    num_rows: int

    def expect_buffers(self, *numbers: int) -> None:
        """Check how many buffers the page has."""
        if len(self.buffers) not in numbers:
            wanted = " or ".join(map(str, numbers))
            raise FormatError(f"the page must have {wanted} buffers and has {len(self.buffers)}")


@dataclass(frozen=True, slots=True, eq=False)
class PagePart:
    """What must be fetched for some rows of a page.

    Attributes
    ----------
    ranges
        The bytes to fetch, in the order in which :meth:`OpenPage.decode` wants them.
    num_rows
        Rows that the decoded leaf will have; it may cover more rows than were asked for.
    keep
        The wanted rows, counted from the first row of the decoded leaf; ``None``: all of them.
    state
        The layout's own notes.
    """

    ranges: tuple[ByteRange, ...]
    num_rows: int
    keep: RowRanges | None = None
    state: Any = None


class OpenPage(ABC):
    """A page whose head was read and checked. Immutable."""

    num_rows: int

    @abstractmethod
    def plan(self, rows: RowRanges) -> PagePart:
        """Say which bytes hold `rows` (of this page, from 0). Does no input or output."""

    @abstractmethod
    def decode(self, part: PagePart, data: Sequence[Data], allocate: Allocate) -> Leaf:
        """Decode what was fetched for `part`; the leaf has ``part.num_rows`` rows.

        Parameters
        ----------
        part
            What :meth:`plan` gave.
        data
            One buffer a range; or one that holds all ranges back to back. What is writable belongs to this call: it may be changed,
            and become part of the leaf.
        allocate
            Where memory comes from.
        """


class JoinablePage(OpenPage):
    """A page that can be decoded together with others of the same kind.

    Single rows lie in many pages, and the work for a page is more than that for a row; so it is for small pages.
    """

    #: Whether :meth:`decode_together` takes whole pages too.
    joins_ranges: ClassVar[bool] = False

    @property
    @abstractmethod
    def kind(self) -> Hashable | None:
        """What pages must have in common to be decoded together; ``None``: this one is decoded alone after all."""

    @abstractmethod
    def decode_together(
        self, others: Sequence[Self], parts: Sequence[PagePart], data: Sequence[Data], allocate: Allocate
    ) -> Leaf:
        """Decode parts of several pages of one column to one leaf, as if they were of one page.

        Parameters
        ----------
        others
            The pages after this one, of the same :attr:`kind`.
        parts
            What their :meth:`plan` gave, this page's first; none has rows to drop (``keep``), or is a whole page unless
            :attr:`joins_ranges`.
        data
            As for :meth:`decode`, the ranges of all parts after each other.
        allocate
            Where memory comes from.
        """


class Layout(ABC):
    """A page layout as its message describes it; made by ``from_message``, before any byte of the page is read."""

    #: Member of ``PageLayout``, or the full message name of a layout from outside.
    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_message(cls, message: Any, page: PageInfo) -> Layout:
        """Check `message` and the number and sizes of the page's buffers."""

    @abstractmethod
    def head_ranges(self) -> tuple[ByteRange, ...]:
        """Bytes that :meth:`open` needs."""

    @abstractmethod
    def open(self, heads: Sequence[Data]) -> OpenPage:
        """Check the page's inner description."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPage:
    """A page ready to be placed in a file.

    Attributes
    ----------
    buffers
        Page buffers in their order; the container pads them.
    message
        The message of the layout (a ``PageLayout``, or one of a plug-in); it becomes an ``Any`` named after its type.
    num_rows
        ``Page.length``.
    """

    buffers: tuple[Data, ...]
    message: Any
    num_rows: int


class DoesNotFit(Exception):  # noqa: N818 - no error: the strategy catches it and takes another form
    """The page cannot take this form; the message says which limit it breaks."""
