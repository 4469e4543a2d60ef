"""Small mini-block pages of values of one width: the short way of :func:`lancelet.pages.miniblock.encode`.

Tables with thousands of columns have thousands of pages that differ in nothing but their values. One call makes such a page, and
its message is made once for all. The bytes are those of the general way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lancelet import kernels
from lancelet.blocks import FixedWidth
from lancelet.buffers import allocate
from lancelet.codecs.bitpack import BLOCK_VALUES, InlineBitpacking
from lancelet.codecs.flat import Flat, flat_chunk_values
from lancelet.levels import Layer
from lancelet.levels.layers import NO_LEVELS
from lancelet.pages.base import EncodedPage
from lancelet.pb.encodings21_pb2 import PageLayout

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.buffers import Data, Int64Array
    from lancelet.codecs.base import BlockCodec, ChunkCodec, ChunkLimits, EncodedBlocks
    from lancelet.levels import Leaf

    LevelCodec = Callable[[FixedWidth, Int64Array], BlockCodec]

__all__ = ["SMALL_BYTES", "encode_small"]

#: Larger values are not worth the second copy that this way makes of them.
SMALL_BYTES = 64 << 10

_PACKED_LEVELS = InlineBitpacking(16)

#: What a chunk takes beside its values and packed levels: header and padding.
_CHUNK_BYTES = 48


def encode_small(
    leaf: Leaf,
    values: FixedWidth,
    codec: ChunkCodec,
    *,
    limits: ChunkLimits,
    level_codec: LevelCodec,
    large: bool,
    dictionary: tuple[EncodedBlocks, int] | None,
) -> EncodedPage | None:
    """Make a mini-block page of all rows of `leaf`, where that is simple.

    Parameters
    ----------
    leaf
        Rows, layers and levels.
    values
        Its values, or their indices: at least one, no more than :data:`SMALL_BYTES`.
    codec
        Codec of choice of the values, under `limits`.
    level_codec, large, dictionary
        As for :func:`lancelet.pages.miniblock.encode`.

    Returns
    -------
    EncodedPage | None
        ``None`` where the page is made of more than flat or bit-packed values with or without packed levels of the
        items, or breaks a limit: the general way is there for these.
    """
    packed = type(codec) is InlineBitpacking
    num_values, bits, def_ = values.num_values, values.bits, leaf.def_
    if not (packed or type(codec) is Flat) or len(leaf.layers) > 1:
        return None
    chunk_values = BLOCK_VALUES if packed else _flat_chunk_values(bits, limits)
    num_chunks = -(-num_values // chunk_values)
    if def_ is None:
        if leaf.layers[0] is not Layer.ALL_VALID_ITEM:
            return None
    elif num_chunks > 1 or num_values > BLOCK_VALUES:
        return None
    else:
        found = level_codec(FixedWidth(16, num_values, def_), np.array([num_values], dtype=np.int64))
        if found != _PACKED_LEVELS:
            return None
    words = allocate((4 if large else 2) * num_chunks)
    most_bytes = num_chunks * (_CHUNK_BYTES + (bits // 8 * (BLOCK_VALUES + 1) if packed else 0))
    most_bytes += 0 if packed else (num_values * bits + 7) // 8
    most_bytes += 0 if def_ is None else 2 * (BLOCK_VALUES + 1)
    chunks = allocate(most_bytes)
    num_bytes = kernels.miniblock_small(
        values.data,
        num_values,
        bits,
        packed,
        chunk_values,
        NO_LEVELS if def_ is None else def_,
        large,
        words,
        chunks,
    )
    if num_bytes < 0:
        return None
    buffers: tuple[Data, ...] = (words, chunks.slice(0, num_bytes))
    if dictionary is None:
        message = _message(codec, leaf.layers, num_values, large, None, 0)
    else:
        items, num_items = dictionary
        message = _message(codec, leaf.layers, num_values, large, items.codec, num_items)
        buffers = (*buffers, items.data)
    return EncodedPage(buffers, message, leaf.num_rows)


@lru_cache(maxsize=16)
def _flat_chunk_values(bits: int, limits: ChunkLimits) -> int:
    whole_bytes = bits % 8 == 0
    return flat_chunk_values(bits // 8 if whole_bytes else bits, 1 if whole_bytes else 8, limits)


@lru_cache(maxsize=256)
def _message(
    codec: ChunkCodec,
    layers: tuple[Layer, ...],
    num_values: int,
    large: bool,
    item_codec: BlockCodec | None,
    num_items: int,
) -> PageLayout:
    """Return the message of a page, which is not to be changed."""
    message = PageLayout()
    layout = message.mini_block_layout
    layout.value_compression.CopyFrom(codec.to_message())
    layout.layers.extend(layers)  # type: ignore[arg-type]
    layout.num_buffers = codec.num_buffers
    layout.num_items = num_values
    layout.has_large_chunk = large
    if layers[0] is Layer.NULLABLE_ITEM:
        layout.def_compression.CopyFrom(_PACKED_LEVELS.to_message())
    if item_codec is not None:
        layout.num_dictionary_items = num_items
        layout.dictionary.CopyFrom(item_codec.to_message())
    return message
