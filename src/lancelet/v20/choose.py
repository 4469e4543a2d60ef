"""One array -> one page of a leaf: which encoding it gets (encodings_v2_0.md 6).

==========================================  ====================================================================
values                                      encoding
==========================================  ====================================================================
utf8, few distinct values                   dictionary of text; compression is ignored
(large) utf8 and binary                     fsst, or binary with or without compressed bytes
dictionary                                  dictionary of keys
packed struct                               packed struct
everything else                             nullable over flat, or over a fixed-size list
==========================================  ====================================================================

With ``compact`` also what the reference reads and does not write: bit-packed integers that are not negative, values of one length
without indices, and FSST where the values have 4 MiB and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lancelet.blocks import VariableWidth
from lancelet.blocks.arrow import is_variable_width, to_block, valid_mask
from lancelet.buffers import as_values
from lancelet.pages.base import EncodedPage
from lancelet.v20.binary import encode_binary
from lancelet.v20.dictionary import encode_keys, encode_text_dictionary
from lancelet.v20.fixed_size_binary import encode_fixed_size
from lancelet.v20.fsst import compress_values, encode_fsst
from lancelet.v20.node import PageBuffers
from lancelet.v20.nullable import encode_nullable
from lancelet.v20.packed import encode_packed
from lancelet.v20.rules import DEFAULT_DICTIONARY_THRESHOLD, common_size, deserves_dictionary

if TYPE_CHECKING:
    from lancelet.pb.encodings20_pb2 import ArrayEncoding
    from lancelet.v20.node import Compression

__all__ = ["LeafParams", "encode_leaf"]

#: Bytes of values from which compact pages try a table of symbols.
MIN_FSST_BYTES = 4 << 20

_INDEX_BYTES = 8


@dataclass(frozen=True, slots=True)
class LeafParams:
    """Parameters of the pages of one leaf column.

    Attributes
    ----------
    compression
        What the field's metadata asks for.
    dictionary_threshold
        See :func:`~lancelet.v20.rules.deserves_dictionary`.
    compact
        Also use the encodings that the reference only reads.
    """

    compression: Compression | None = None
    dictionary_threshold: int = DEFAULT_DICTIONARY_THRESHOLD
    compact: bool = False


def encode_leaf(array: pa.Array, params: LeafParams) -> EncodedPage:
    """Encode an `array` of a leaf's storage type as one page.

    Raises
    ------
    OptionError
        Version 2.0 cannot hold the values.
    """
    buffers = PageBuffers()
    message = _encode(array, buffers, params)
    return EncodedPage(tuple(buffers.buffers), message, len(array))


def _encode(array: pa.Array, buffers: PageBuffers, params: LeafParams) -> ArrayEncoding:
    if is_variable_width(array.type):
        is_text = pa.types.is_string(array.type)
        if is_text and deserves_dictionary(array, params.dictionary_threshold):
            return encode_text_dictionary(array, buffers)
        return _encode_variable(array, buffers, params)
    if pa.types.is_dictionary(array.type):
        return encode_keys(array, buffers)
    if pa.types.is_struct(array.type):
        return encode_packed(array, buffers)
    return encode_nullable(array, buffers, pack_integers=params.compact)


def _encode_variable(array: pa.Array, buffers: PageBuffers, params: LeafParams) -> ArrayEncoding:
    valid = valid_mask(array)
    block = to_block(array, valid)
    if not isinstance(block, VariableWidth):
        raise TypeError(f"values of type {array.type} have no lengths")
    compression = params.compression
    # the reference has no symbol tables for 64-bit offsets, and none where everything is null
    can_fsst = block.offset_bits == 32 and array.null_count < len(array)
    if compression is not None and compression.scheme == "fsst":
        return (
            encode_fsst(compress_values(block), valid, buffers)
            if can_fsst
            else encode_binary(block, valid, buffers)
        )
    if compression is not None or not params.compact:
        return encode_binary(block, valid, buffers, compression)
    num_bytes, index_bytes = _value_bytes(block), _INDEX_BYTES * len(array)
    size = common_size([array])
    best = num_bytes + index_bytes if size is None else size * len(array)
    if can_fsst and num_bytes >= MIN_FSST_BYTES:
        compressed = compress_values(block)
        if compressed.num_bytes + index_bytes < best:
            return encode_fsst(compressed, valid, buffers)
    if size is not None and best < num_bytes + index_bytes:
        return encode_fixed_size(block, size, valid, buffers)
    return encode_binary(block, valid, buffers)


def _value_bytes(block: VariableWidth) -> int:
    if block.num_values == 0:
        return 0
    offsets = as_values(block.offsets, block.offset_bits)
    return int(offsets[block.num_values]) - int(offsets[0])
