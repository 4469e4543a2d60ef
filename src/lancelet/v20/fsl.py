"""``fixed_size_list``: lists of one length are their items, back to back (encodings_v2_0.md 3, *FixedSizeList*).

``nullable { fixed_size_list(d, items: nullable { .. }) }``: `n` lists are an array of ``n * d`` items, also below null lists;
bits are one continuous bitmap. Rows ``a .. b`` are items ``a * d .. b * d``. Written by
:func:`lancelet.v20.nullable.encode_nullable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from lancelet.errors import FormatError, UnsupportedError
from lancelet.pages.base import RowRanges
from lancelet.v20.flat import fixed_width_bits
from lancelet.v20.node import Node, PageContext

if TYPE_CHECKING:
    from lancelet.buffers import Allocate
    from lancelet.v20.fetch import Fetch

__all__ = ["FixedSizeList"]


@dataclass(frozen=True, slots=True, eq=False)
class FixedSizeList(Node):
    """Lists of one length.

    Attributes
    ----------
    type_
        The Arrow type, which says how long they are.
    num_values, items
        Number of lists, and the node of their items.
    """

    name: ClassVar[str] = "fixed_size_list"
    type_: pa.DataType
    num_values: int
    items: Node

    @classmethod
    def from_message(
        cls, message: Any, page: PageContext, type_: pa.DataType, num_values: int
    ) -> FixedSizeList:
        """Read ``FixedSizeList``; the dimension must be that of `type_`."""
        if not pa.types.is_fixed_size_list(type_) or type_.list_size != message.dimension:
            raise FormatError(f"lists of {message.dimension} items do not fit the type {type_}")
        item_type = type_.value_type
        if fixed_width_bits(item_type) is None and not pa.types.is_fixed_size_list(item_type):
            raise UnsupportedError(f"fixed-size lists of {item_type} do not exist in file version 2.0")
        num_items = num_values * type_.list_size
        if num_items >= 2**63:
            raise FormatError(f"{num_values} lists of {type_.list_size} items are impossible")
        return cls(type_, num_values, page.parse(message.items, item_type, num_items))

    def read(self, rows: RowRanges, allocate: Allocate) -> Fetch[pa.Array]:
        """Read the items of `rows`."""
        size = self.type_.list_size
        items = yield from self.items.read(RowRanges(rows.starts * size, rows.stops * size), allocate)
        return pa.Array.from_buffers(self.type_, rows.num_rows, [None], 0, children=[items])
