"""The built-in encoders of 2.1 and later: a field is as many columns as it has leaves (structural.md 1 and 2)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.blocks.arrow import to_block, valid_mask
from lancelet.codecs.params import CodecParams
from lancelet.errors import OptionError
from lancelet.fields.accumulate import Accumulator, cut_rows, joined
from lancelet.fields.base import EncodingStrategy, FieldEncoder, PageDescription, PageTask
from lancelet.fields.blob import BlobEncoder, encode_descriptors
from lancelet.fields.decoder import check_supported
from lancelet.fields.empty import EmptyStructEncoder
from lancelet.fields.packed import check_children
from lancelet.fields.paths import LeafPath, is_empty_struct, is_leaf, leaf_paths, split_paths, storage_of
from lancelet.fields.structure import leaf_of_array
from lancelet.levels import Layer, Leaf
from lancelet.levels.flat import levels_from_validity
from lancelet.pages.base import DoesNotFit
from lancelet.pages.choose import PageParams, encode_leaf
from lancelet.schema.blobs import DESCRIPTOR_V1, is_blob
from lancelet.schema.logical import JSON
from lancelet.schema.project import is_packed
from lancelet.versions import Version
from lancelet.wishes import ColumnOptions
from lancelet.wishes.resolve import LeafKind, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lancelet.fields.accumulate import Waiting
    from lancelet.fields.base import ColumnEnd, ColumnNumbering, FieldRequest, OutOfLineBuffers
    from lancelet.options import WriteOptions
    from lancelet.pages.base import EncodedPage
    from lancelet.schema.fields import Field

    EncodeLeaf = Callable[[Leaf, PageParams], EncodedPage]

#: Types of arrays that are stored as they are, by their number, unless they are the text of JSON.
_STORED_AS_IS = {
    type_.id
    for type_ in (
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
        *(pa.string(), pa.binary(), pa.large_string(), pa.large_binary(), pa.date32(), pa.date64()),
    )
}

__all__ = ["LeafEncoder", "NestedEncoder", "StructuralStrategy", "flat_leaf", "page_params"]


def flat_leaf(array: pa.Array) -> Leaf:
    """Make the leaf of an `array` without structure: the short way of :func:`~lancelet.fields.structure.leaf_of_array`."""
    num_rows, null_count = len(array), array.null_count
    if null_count == num_rows:
        return Leaf(num_rows, (Layer.NULLABLE_ITEM,), None, None, num_rows, None)
    if null_count == 0:
        return Leaf(num_rows, (Layer.ALL_VALID_ITEM,), None, None, num_rows, to_block(array, None))
    values = to_block(array, valid_mask(array))
    levels = levels_from_validity(array.buffers()[0], array.offset, num_rows)
    return Leaf(num_rows, (Layer.NULLABLE_ITEM,), None, levels, num_rows, values)


def page_params(request: FieldRequest) -> PageParams:
    """Resolve the parameters of the pages of a leaf.

    Metadata of the fields comes first, then the options of the column, then the rules for many columns; at last the environment.
    The leaf's own metadata steers the codecs, that of the top-level field the layout (structural.md 8.4).

    Raises
    ------
    OptionError
        The options of the column ask for what it cannot have, or a key of the metadata has a value that the format does not know.
    """
    leaf, top = request.field, request.top
    if is_packed(leaf, request.options.version):
        return _packed_page_params(request)
    # Tables with thousands of columns have few kinds of them.
    rules = request.options.compression_params
    kind = (
        page_params,
        leaf.storage_type,
        is_blob(leaf),
        tuple(leaf.metadata.items()) if leaf.metadata else (),
        tuple(top.metadata.items()) if top.metadata else (),
        request.column_options,
        leaf.name if rules.columns else None,
    )
    found: PageParams | None = request.shared.get(kind)
    if found is None:
        wishes = _wishes(leaf, top.metadata, request.column_options, request)
        codecs = _codec_params(leaf, wishes, request.options)
        found = request.shared[kind] = PageParams(codecs, wishes.structural_encoding)
    return found


def _packed_page_params(request: FieldRequest) -> PageParams:
    leaf = request.field
    wishes = _wishes(leaf, request.top.metadata, request.column_options, request)
    codecs = _codec_params(leaf, wishes, request.options)
    # the values of each child stand among those of the others, as in full-zip pages
    rows = {"lance-encoding:structural-encoding": "fullzip"}
    children = (
        (child, _wishes(child, rows, request.leaf_options.get(child.id, ColumnOptions()), request))
        for child in leaf.children
    )
    codecs = replace(
        codecs,
        children=tuple(_codec_params(child, wishes, request.options) for child, wishes in children),
    )
    return PageParams(codecs, wishes.structural_encoding)


def _wishes(
    leaf: Field, top: Mapping[str, str], options: ColumnOptions, request: FieldRequest
) -> ColumnOptions:
    try:
        return resolve(
            LeafKind.of(leaf.storage_type, blob=is_blob(leaf)),
            request.options.version,
            leaf=leaf.metadata,
            top=top,
            options=options,
            rules=request.options.compression_params.for_leaf(leaf.name, leaf.storage_type),
        )
    except OptionError as error:
        below = "" if leaf is request.top else f" (below {request.top.name!r})"
        raise OptionError(f"field {leaf.name!r}{below}, {leaf.arrow_type}: {error}") from None


def _codec_params(leaf: Field, wishes: ColumnOptions, options: WriteOptions) -> CodecParams:
    is_text = pa.types.is_string(leaf.storage_type) or pa.types.is_large_string(leaf.storage_type)
    return CodecParams.resolve(options.version, is_text, wishes, options.profile)


class LeafEncoder(FieldEncoder):
    """Encodes one leaf: one column, pages cut by size.

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
    path
        The leaf and what stands around it.
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
        path: LeafPath,
        encode: EncodeLeaf = encode_leaf,
    ) -> None:
        self._column = column
        self._params = params
        self._path = path
        self._encode = encode
        self._is_packed = is_packed(path.leaf, Version.V2_1)
        self._is_json = path.leaf.logical_type == JSON
        # what a page adds to its values (chunk headers, levels, indexes) stays within the limit too
        self._page_bytes = options.max_page_bytes - options.max_page_bytes // 32
        self._queue = Accumulator(cache_bytes, options.keep_original_array)

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Queue `array`, for a nested field one of its path; gives tasks when the cache is full."""
        # arrays of a path come from split_paths
        if not self._path.containers and (self._is_json or array.type.id not in _STORED_AS_IS):
            array = storage_of(array, self._path.leaf)
        if self._is_packed:
            check_children(array, self._path)
        return self._tasks(self._queue.add(array, first_row))

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits."""
        return self._tasks(self._queue.take())

    def finish(self) -> list[ColumnEnd]:
        """Nothing is left to say."""
        return []

    def _tasks(self, waiting: Waiting) -> list[PageTask]:
        arrays, num_bytes = waiting
        if num_bytes <= self._page_bytes:  # one page, as a rule
            if not arrays:
                return []
            if len(arrays) == 1:
                return [PageTask(self._column, num_bytes, partial(self._encode_rows, *arrays[0]))]
            # it is joined when its turn comes
            return [PageTask(self._column, num_bytes, partial(self._encode_waiting, waiting))]
        return [
            PageTask(self._column, num_bytes, partial(self._encode_rows, rows, first_row))
            for rows, first_row, num_bytes in self._pages(waiting)
        ]

    def _pages(self, waiting: Waiting) -> Iterator[tuple[pa.Array, int, int]]:
        """Give the rows of each page, the file row of the first one, and their bytes."""
        for array, first_row in joined(waiting):
            for rows, num_bytes in cut_rows(array, self._page_bytes):
                yield rows, first_row, num_bytes
                first_row += len(rows)

    def _encode_waiting(self, waiting: Waiting) -> list[PageDescription]:
        """Encode what waited, which is let go as soon as it is joined: it can be done once."""
        return [
            page for rows, first_row, _ in self._pages(waiting) for page in self._encode_rows(rows, first_row)
        ]

    def _encode_rows(self, rows: pa.Array, first_row: int) -> list[PageDescription]:
        path = self._path
        robust = not self._params.codecs.is_reference
        leaf = leaf_of_array(rows, path, robust=robust) if path.containers else flat_leaf(rows)
        try:
            page = self._encode_leaf(leaf, self._params)
        except DoesNotFit as reason:
            if len(rows) > 1:  # half of the rows may fit, as in a column with long runs of empty lists
                half = len(rows) // 2
                first, second = rows.slice(0, half), rows.slice(half)
                return self._encode_rows(first, first_row) + self._encode_rows(second, first_row + half)
            page = self._encode_one_row(leaf, reason)
        return [PageDescription(self._column, page.buffers, page.message, page.num_rows, first_row)]

    def _encode_leaf(self, leaf: Leaf, params: PageParams) -> EncodedPage:
        try:
            return self._encode(leaf, params)
        except OptionError as error:
            raise OptionError(f"field {self._path.leaf.name!r}: {error}") from None

    def _encode_one_row(self, leaf: Leaf, reason: DoesNotFit) -> EncodedPage:
        """Encode a row that the layout of choice cannot hold."""
        wanted = self._params.structural_encoding
        if wanted is not None:
            raise OptionError(
                f"field {self._path.leaf.name!r}: structural encoding {wanted!r} cannot hold a row: {reason}"
            )
        try:
            return self._encode_leaf(leaf, replace(self._params, structural_encoding="fullzip"))
        except DoesNotFit:  # a dictionary column has no other layout
            raise OptionError(f"field {self._path.leaf.name!r}: no page can hold a row: {reason}") from None


class NestedEncoder(FieldEncoder):
    """Encodes a struct or list: takes arrays apart and gives each leaf's encoder its part.

    Parameters
    ----------
    field
        The field.
    encoders
        One a leaf, depth first; each has its own queue, so pages of the leaves are cut at different rows.
    """

    def __init__(self, field: Field, encoders: Sequence[FieldEncoder]) -> None:
        self._field = field
        self._encoders = encoders

    @property
    def num_columns(self) -> int:
        """Columns of all leaves."""
        return sum(encoder.num_columns for encoder in self._encoders)

    def add(
        self, array: pa.Array, first_row: int, num_rows: int, out_of_line: OutOfLineBuffers
    ) -> list[PageTask]:
        """Queue `array` in all leaves."""
        parts = split_paths(array, self._field)
        return [
            task
            for encoder, part in zip(self._encoders, parts, strict=True)
            for task in encoder.add(part, first_row, num_rows, out_of_line)
        ]

    def flush(self, out_of_line: OutOfLineBuffers) -> list[PageTask]:
        """Give tasks for what waits in any leaf."""
        return [task for encoder in self._encoders for task in encoder.flush(out_of_line)]

    def finish(self) -> list[ColumnEnd]:
        """Describe the ends of all leaves."""
        return [end for encoder in self._encoders for end in encoder.finish()]


def _leaf_encoder(request: FieldRequest, numbering: ColumnNumbering) -> FieldEncoder:
    path = LeafPath(request.field, request.containers) if request.containers else leaf_paths(request.field)[0]
    params = page_params(request)
    column = numbering.take(path.leaf.id)
    arguments = column, params, request.options, request.cache_bytes, path
    if path.is_plain:
        return LeafEncoder(*arguments)
    if is_empty_struct(path.leaf):
        return EmptyStructEncoder(column, path)
    encode = encode_descriptors if path.value_type == DESCRIPTOR_V1 else encode_leaf
    return BlobEncoder(LeafEncoder(*arguments, encode), path)


class StructuralStrategy(EncodingStrategy):
    """The encoders of 2.1 and 2.2."""

    def field_encoder(
        self, request: FieldRequest, numbering: ColumnNumbering, root: EncodingStrategy
    ) -> FieldEncoder:
        """Make the encoder of a leaf, or of a nested field from those that `root` makes of its leaves."""
        field = request.field
        if field.children or not leaf_paths(field)[0].is_plain:  # there is an encoder of any plain leaf
            check_supported(field)
        if is_leaf(field):
            return _leaf_encoder(request, numbering)
        leaves = [
            root.field_encoder(
                replace(
                    request,
                    field=path.leaf,
                    containers=path.containers,
                    column_options=request.leaf_options.get(path.leaf.id, request.column_options),
                ),
                numbering,
                root,
            )
            for path in leaf_paths(field)
        ]
        return NestedEncoder(field, leaves)
