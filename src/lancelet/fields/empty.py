"""Structs without children: a column that keeps the numbering and says nothing but its length (structural.md 7.4).

A page is ``{all_null: layers [NULLABLE_ITEM]}`` without buffers, although its rows are valid. It has no place for levels: neither
for nulls, the struct's own or those of structs around it, nor for lists.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.errors import OptionError
from lancelet.fields.base import FieldEncoder, PageDescription, PageTask
from lancelet.levels import Layer, Leaf
from lancelet.pages.constant import encode_all_null

if TYPE_CHECKING:
    from lancelet.fields.base import ColumnEnd, OutOfLineBuffers
    from lancelet.fields.paths import LeafPath

__all__ = ["EmptyStructEncoder", "empty_structs"]


class EmptyStructEncoder(FieldEncoder):
    """Counts rows; all of them become one page.

    Parameters
    ----------
    column
        The physical column.
    path
        The empty struct, and the structs around it.
    """

    num_columns = 1

    def __init__(self, column: int, path: LeafPath) -> None:
        self._column = column
        self._path = path
        self._first_row = 0
        self._num_rows = 0

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Count the rows of `array`.

        Raises
        ------
        OptionError
            One of them is null, or a struct around it is.
        """
        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        for step in range(len(self._path.containers) + 1):
            if step > 0:
                array = array.field(0)
            if array.null_count:
                raise OptionError(
                    f"field {self._path.leaf.name!r}: a struct without children cannot be null, nor can structs around it; "
                    "only from version 2.3 on"
                )
        if self._num_rows == 0:
            self._first_row = first_row
        self._num_rows += len(array)
        return []

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give the task of the page, if there is any row."""
        if self._num_rows == 0:
            return []
        task = PageTask(self._column, 0, partial(_encode, self._column, self._num_rows, self._first_row))
        self._num_rows = 0
        return [task]

    def finish(self) -> list[ColumnEnd]:
        """Nothing is left to say."""
        return []


def _encode(column: int, num_rows: int, first_row: int) -> list[PageDescription]:
    leaf = Leaf(num_rows, (Layer.NULLABLE_ITEM,), None, None, num_rows, None)
    page = encode_all_null(leaf, level_codec=None)
    return [PageDescription(column, page.buffers, page.message, page.num_rows, first_row)]


def empty_structs(num_rows: int, path: LeafPath) -> pa.Array:
    """Return `num_rows` valid empty structs in the structs of `path`."""
    array = pa.Array.from_buffers(pa.struct([]), num_rows, [None], 0, children=[])
    for _ in path.containers:
        type_ = pa.struct([pa.field("", array.type)])
        array = pa.Array.from_buffers(type_, num_rows, [None], 0, children=[array])
    return array
