"""Columns above leaves: ``list`` and ``struct`` (encodings_v2_0.md 2 and 4).

=========  ===================================================  ==================================================
column     page                                                 items or children
=========  ===================================================  ==================================================
list       one stored end (:mod:`lancelet.v20.ends`) a list;    the column after it; its pages are cut elsewhere
           ``num_items`` says how many items they have
struct     exactly one, without buffers: ``struct {}``          the columns after it
=========  ===================================================  ==================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.errors import FormatError
from lancelet.v20.ends import decode_ends, encode_ends, stored_rows
from lancelet.v20.node import Node, PageBuffers, PageContext, plain_values
from lancelet.v20.nullable import wrap_values

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lancelet.buffers import Allocate
    from lancelet.pages.base import RowRanges
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.ends import Ends
    from lancelet.v20.fetch import Fetch

__all__ = ["Offsets", "encode_offsets", "struct_header"]


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """The lists of one page.

    Attributes
    ----------
    num_lists, num_items
        How many lists, and how many items they have together.
    offsets
        Node of the stored ends.
    adjustment
        What null lists add to their ends.
    """

    num_lists: int
    num_items: int
    offsets: Node
    adjustment: int

    @classmethod
    def from_message(cls, message: ArrayEncoding, page: PageContext, num_lists: int) -> Offsets:
        """Read ``List``.

        Raises
        ------
        FormatError
            It is another encoding, or its buffer is too small.
        """
        if message.WhichOneof("array_encoding") != "list":
            raise FormatError(
                f"a column of lists has a page of the encoding {message.WhichOneof('array_encoding')!r}"
            )
        found = message.list
        if found.num_items >= 2**62:
            raise FormatError(f"lists of {found.num_items} items are impossible")
        offsets = page.parse(found.offsets, pa.uint64(), num_lists)
        return cls(num_lists, found.num_items, offsets, found.null_offset_adjustment)

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[Ends]:
        """Read the lists `rows`; items are counted from the first one of the page."""
        stored = yield from self.offsets.read(stored_rows(rows), allocate)
        if stored.null_count:
            raise FormatError("the offsets of lists have nulls")
        ends = decode_ends(plain_values(stored, "<u8"), self.adjustment, rows, self.num_items)
        if rows.stops[-1] == self.num_lists and ends.stops[-1] != self.num_items:
            raise FormatError(f"the lists end at item {ends.stops[-1]}, and the page says {self.num_items}")
        return ends


def encode_offsets(ends: Any, valid: npt.NDArray[np.bool_] | None, buffers: PageBuffers) -> ArrayEncoding:
    """Encode lists.

    Parameters
    ----------
    ends
        Where each list ends, counted from the first item of the page.
    valid
        Which lists are valid; ``None``: all.
    buffers
        Receives the page's buffer.
    """
    from lancelet.pb import encodings20_pb2 as pb

    stored, adjustment = encode_ends(ends, valid)
    message = pb.List(
        offsets=wrap_values(buffers.add_flat(stored, 64)),
        null_offset_adjustment=adjustment,
        num_items=adjustment - 1,
    )
    return pb.ArrayEncoding(list=message)


def struct_header() -> ArrayEncoding:
    """Return ``struct {}``."""
    from lancelet.pb import encodings20_pb2 as pb

    return pb.ArrayEncoding(struct=pb.SimpleStruct())
