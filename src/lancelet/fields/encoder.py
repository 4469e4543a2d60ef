"""The built-in encoders of 2.1 and later: one leaf column each (structural.md 1 and 2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.blocks.arrow import to_block, valid_mask
from lancelet.codecs.params import CodecParams
from lancelet.errors import OptionError, UnsupportedError
from lancelet.fields.accumulate import Accumulator, cut_rows
from lancelet.fields.decoder import check_supported
from lancelet.fields.paths import is_leaf
from lancelet.fields.base import EncodingStrategy, FieldEncoder, PageDescription, PageTask
from lancelet.levels import Layer, Leaf
from lancelet.levels.flat import levels_from_validity
from lancelet.pages.choose import PageParams, encode_leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.fields.base import ColumnEnd, ColumnNumbering, OutOfLineBuffers
    from lancelet.options import ColumnOptions, WriteOptions
    from lancelet.pages.base import EncodedPage
    from lancelet.schema.fields import Field

    EncodeLeaf = Callable[[Leaf, PageParams], EncodedPage]

__all__ = ["LeafEncoder", "StructuralStrategy", "flat_leaf", "page_params"]


def flat_leaf(array: pa.Array) -> Leaf:
    """Make the leaf of an `array` without structure."""
    num_rows = len(array)
    if array.null_count == num_rows:
        return Leaf(num_rows, (Layer.NULLABLE_ITEM,), None, None, num_rows, None)
    valid = valid_mask(array)
    values = to_block(array, valid)
    if valid is None:
        return Leaf(num_rows, (Layer.ALL_VALID_ITEM,), None, None, num_rows, values)
    levels = levels_from_validity(array.buffers()[0], array.offset, num_rows)
    return Leaf(num_rows, (Layer.NULLABLE_ITEM,), None, levels, num_rows, values)


def page_params(field: Field, options: WriteOptions, column_options: ColumnOptions) -> PageParams:
    """Resolve the parameters of the pages of the leaf `field`.

    Raises
    ------
    OptionError
        A key of the field's metadata has a value that the format does not know.
    """
    wanted = column_options.structural_encoding
    in_metadata = field.metadata.get("lance-encoding:structural-encoding")
    if in_metadata is not None:
        wanted = in_metadata.lower()
        if wanted not in ("miniblock", "fullzip"):
            raise OptionError(
                f"field {field.name!r}: lance-encoding:structural-encoding is {in_metadata!r}; "
                "it may be miniblock or fullzip"
            )
    is_text = pa.types.is_string(field.storage_type) or pa.types.is_large_string(field.storage_type)
    return PageParams(CodecParams.resolve(options.version, is_text, field.metadata), wanted)


class LeafEncoder(FieldEncoder):
    """Encodes one flat field: one column, pages cut by size.

    Parameters
    ----------
    column
        The physical column.
    params
        Parameters of its pages.
    options
        Options of the writer.
    cache_bytes
        Bytes that may wait for a page.
    encode
        What makes a page of a leaf; a strategy of the user's may bring its own.
    """

    num_columns = 1

    def __init__(
        self,
        column: int,
        params: PageParams,
        options: WriteOptions,
        cache_bytes: int,
        encode: EncodeLeaf = encode_leaf,
    ) -> None:
        self._column = column
        self._params = params
        self._encode = encode
        # what a page adds to its values (chunk headers, levels, indexes) stays within the limit too
        self._page_bytes = options.max_page_bytes - options.max_page_bytes // 32
        self._queue = Accumulator(cache_bytes, options.keep_original_array)

    def add(self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Queue `array`; gives tasks when the cache is full."""
        return self._tasks(self._queue.add(array, first_row))

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits."""
        return self._tasks(self._queue.take())

    def finish(self) -> list[ColumnEnd]:
        """Nothing is left to say."""
        return []

    def _tasks(self, waiting: Sequence[tuple[pa.Array, int]]) -> list[PageTask]:
        tasks = []
        for array, first_row in waiting:
            for rows in cut_rows(array, self._page_bytes):
                tasks.append(PageTask(self._column, rows.nbytes, partial(self._encode_rows, rows, first_row)))
                first_row += len(rows)
        return tasks

    def _encode_rows(self, rows: pa.Array, first_row: int) -> list[PageDescription]:
        page = self._encode(flat_leaf(rows), self._params)
        return [PageDescription(self._column, page.buffers, page.message, page.num_rows, first_row)]


class StructuralStrategy(EncodingStrategy):
    """The encoders of 2.1 and 2.2."""

    def field_encoder(
        self,
        field: Field,
        numbering: ColumnNumbering,
        options: WriteOptions,
        cache_bytes: int,
        column_options: ColumnOptions,
        root: EncodingStrategy,
    ) -> FieldEncoder:
        """Make the encoder of `field`: flat fields only, so far."""
        check_supported(field)
        if not is_leaf(field):
            raise UnsupportedError(f"writing columns of type {field.arrow_type} is not supported yet (field {field.name!r})")
        params = page_params(field, options, column_options)
        return LeafEncoder(numbering.take(field.id), params, options, cache_bytes)
