"""Which codec for this block: the rules of compressors.md 7.2 to 7.4 and versions.md 5.5.

Every function looks at the statistics of a block and returns a codec as a *wish*; the codec's ``encode_*`` does the work, and may
still fall back to what it wraps when it does not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.blocks import FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks.stats import Stats
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking, OutOfLineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsl import FixedSizeListCodec
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.general import General
from lancelet.codecs.packed import PackedField, PackedStruct, VariablePackedStruct
from lancelet.codecs.rle import Rle
from lancelet.errors import UnsupportedError
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Int64Array
    from lancelet.codecs.base import BlockCodec, ChunkCodec, ValueCodec
    from lancelet.codecs.params import CodecParams

__all__ = ["FSST_MIN_BYTES", "chunk_codec", "dictionary_codec", "level_codec", "value_codec"]

#: Symbol tables pay from this size on; smaller pages would be stored with the table switched off.
FSST_MIN_BYTES = 32768

_FSST_MIN_LENGTH = 5
_GENERAL_MIN_LENGTH = 32768
_PACKABLE = (8, 16, 32, 64)


def chunk_codec(block: Block, params: CodecParams) -> ChunkCodec:
    """Choose the mini-block codec of `block`."""
    if isinstance(block, FixedWidth):
        return _fixed_chunk_codec(block, params)
    if isinstance(block, VariableWidth):
        return _variable_chunk_codec(block, params)
    if isinstance(block, FixedSizeList):
        return _list_codec(block)
    bits = [child.bits for child in block.children if isinstance(child, FixedWidth)]
    if len(bits) != len(block.children):
        raise UnsupportedError("chunks of packed structs have fields of one width only")
    return PackedStruct(tuple(bits))


def _fixed_chunk_codec(block: FixedWidth, params: CodecParams) -> ChunkCodec:
    flat = Flat(block.bits)
    if params.compression == "none":
        return flat
    inner = _narrowest(block, params)
    return _with_general(inner, params)


def _narrowest(block: FixedWidth, params: CodecParams) -> ChunkCodec:
    """Byte stream split (only under general compression), runs, bit-packing or flat: compressors.md 7.2."""
    bits, flat = block.bits, Flat(block.bits)
    if bits not in _PACKABLE or block.num_values == 0:
        return flat
    stats = Stats(block)
    if params.compression in ("lz4", "zstd") and bits in (32, 64) and _splits_well(stats, params):
        return ByteStreamSplit(flat)
    raw = stats.data_size
    packed = stats.inline_bitpacking_bytes
    runs = stats.rle_entries * (bits // 8 + 1)
    few_runs = params.rle_threshold is None or stats.run_count < block.num_values * params.rle_threshold
    if runs < raw and runs <= packed and few_runs:
        return Rle(flat, Flat(8))
    return InlineBitpacking(bits) if packed < raw else flat


def _splits_well(stats: Stats, params: CodecParams) -> bool:
    if params.bss == "auto":
        return float(np.mean(stats.byte_position_entropy)) < 4000  # thousandths of a bit
    return params.bss == "on"


def _with_general(inner: ChunkCodec, params: CodecParams) -> ChunkCodec:
    if params.compression in ("lz4", "zstd"):
        return General(params.compression, params.level, inner)
    return inner


def _variable_chunk_codec(block: VariableWidth, params: CodecParams) -> ChunkCodec:
    plain = Variable(block.offset_bits)
    if _wants_fsst(block, params):
        return Fsst(plain)
    return _with_general(plain, params)


def _wants_fsst(block: VariableWidth, params: CodecParams) -> bool:
    if params.compression is not None:
        return params.compression == "fsst"
    stats = Stats(block)
    return params.is_text and stats.max_length >= _FSST_MIN_LENGTH and stats.data_size >= FSST_MIN_BYTES


def _list_codec(block: FixedSizeList) -> FixedSizeListCodec:
    items = block.items
    if isinstance(items, FixedSizeList):
        return FixedSizeListCodec(block.dimension, _list_codec(items))
    if not isinstance(items, FixedWidth):
        raise UnsupportedError("fixed-size lists hold values of one width only")
    return FixedSizeListCodec(block.dimension, Flat(items.bits))


def value_codec(block: Block, params: CodecParams) -> ValueCodec:
    """Choose the per-value codec of `block`: compressors.md 7.4."""
    if isinstance(block, FixedWidth):
        return Flat(block.bits)
    if isinstance(block, FixedSizeList):
        return _list_codec(block)
    if isinstance(block, Packed):
        children = params.children or (params,) * len(block.children)
        fields = zip(block.children, children, strict=True)
        return VariablePackedStruct(tuple(PackedField(value_codec(child, own)) for child, own in fields))
    plain = Variable(block.offset_bits)
    if params.compression == "none":
        return plain
    stats = Stats(block)
    if stats.data_size >= FSST_MIN_BYTES:
        asked = params.compression in ("lz4", "zstd")
        if asked or (params.compression is None and stats.max_length > _GENERAL_MIN_LENGTH):
            return General("zstd", params.level or 0, plain)
    return Fsst(plain) if _wants_fsst(block, params) else plain


def level_codec(levels: FixedWidth, counts: Int64Array, version: Version) -> BlockCodec:
    """Choose the codec of the repetition or definition `levels` of a page, cut into blocks of `counts`: the smallest form."""
    stats = Stats(levels)
    width = stats.max_bit_width
    candidates: list[tuple[int, BlockCodec]] = []
    if levels.num_values <= 1024 and len(counts) == 1:
        candidates.append((2 + 128 * width, InlineBitpacking(16)))
    else:
        candidates.append((_out_of_line_bytes(counts, 16, width), OutOfLineBitpacking(16, width)))
    if version >= Version.V2_2:
        candidates.append((8 * len(counts) + 3 * stats.rle_entries, Rle(Flat(16), Flat(8))))
    candidates.append((2 * levels.num_values, Flat(16)))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _out_of_line_bytes(counts: Int64Array, bits: int, width: int) -> int:
    """Size of out-of-line bit-packing: whole blocks, and tails packed or raw, whichever is smaller (compressors.md 3.3)."""
    words = 1024 * width // bits
    return int((counts // 1024 * words + np.minimum(counts % 1024, words)).sum()) * bits // 8


def dictionary_codec(items: Block, params: CodecParams) -> BlockCodec:
    """Choose the codec of the values of a dictionary: plain in 2.1, bit-packed or compressed from 2.2 on (versions.md 5.4)."""
    if isinstance(items, VariableWidth):
        plain: BlockCodec = Variable(items.offset_bits)
    elif isinstance(items, FixedWidth):
        plain = Flat(items.bits)
    else:
        raise UnsupportedError("a dictionary holds values of one width, or text and binary")
    compression = params.dictionary.values_compression
    if params.version < Version.V2_2:
        return plain
    if isinstance(items, FixedWidth) and items.bits in _PACKABLE:
        packed = _packed_block_codec(items)
        if packed is not None:
            return packed
    return plain if compression == "none" else General(compression, params.dictionary.values_level, plain)


def _packed_block_codec(items: FixedWidth) -> BlockCodec | None:
    stats = Stats(items)
    width, bits = stats.max_bit_width, items.bits
    if width >= bits:
        return None
    if items.num_values <= 1024:
        return InlineBitpacking(bits) if stats.inline_bitpacking_bytes < stats.data_size else None
    size = _out_of_line_bytes(np.array([items.num_values]), bits, width)
    return OutOfLineBitpacking(bits, width) if size < stats.data_size else None
