"""Which codec for this block: the rules of compressors.md 7.2 to 7.4 and versions.md 5.5.

Every function looks at the statistics of a block and returns a codec as a *wish*; the codec's ``encode_*`` does the work, and may
still fall back to what it wraps when it does not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lancelet.blocks import Dictionary, FixedSizeList, FixedWidth, Packed, VariableWidth
from lancelet.blocks.stats import Stats
from lancelet.buffers import nbytes
from lancelet.codecs import cost
from lancelet.codecs.base import BlockCodec
from lancelet.codecs.binary import Variable
from lancelet.codecs.bitpack import InlineBitpacking, OutOfLineBitpacking
from lancelet.codecs.bss import ByteStreamSplit
from lancelet.codecs.flat import Flat
from lancelet.codecs.fsl import FixedSizeListCodec
from lancelet.codecs.fsst import TABLE_BYTES, Fsst
from lancelet.codecs.general import General
from lancelet.codecs.packed import PackedField, PackedStruct, VariablePackedStruct
from lancelet.codecs.rle import Rle
from lancelet.errors import UnsupportedError
from lancelet.options import Profile
from lancelet.versions import Version

if TYPE_CHECKING:
    from lancelet.blocks import Block
    from lancelet.buffers import Int64Array
    from lancelet.codecs.base import ChunkCodec, EncodedBlocks, EncodedChunks, EncodedValues, ValueCodec
    from lancelet.codecs.params import CodecParams

__all__ = [
    "FSST_MIN_BYTES",
    "chunk_codec",
    "dictionary_codec",
    "encode_chunks",
    "encode_dictionary",
    "encode_values",
    "level_codec",
    "tries_zstd",
    "value_codec",
    "wants_symbols",
]

#: Symbol tables pay from this size on; smaller pages would be stored with the table switched off.
FSST_MIN_BYTES = 32768

_FSST_MIN_LENGTH = 5
_GENERAL_MIN_LENGTH = 32768
_PACKABLE = (8, 16, 32, 64)

#: What nobody asks for (zstd, bit-packing of dictionaries) has to leave less than this part.
_WORTHWHILE = 0.9

_PACKED_LEVELS, _LEVEL_RUNS, _FLAT_LEVELS = InlineBitpacking(16), Rle(Flat(16), Flat(8)), Flat(16)

_APART = "the indices and items of a dictionary are encoded apart from each other"


def chunk_codec(block: Block, params: CodecParams, stats: Stats | None = None) -> ChunkCodec:
    """Choose the mini-block codec of `block`; its statistics may be known."""
    if isinstance(block, FixedWidth):
        return _fixed_chunk_codec(block, params, stats or Stats(block))
    if isinstance(block, VariableWidth):
        return _variable_chunk_codec(block, params, stats or Stats(block))
    if isinstance(block, FixedSizeList):
        return _list_codec(block)
    if isinstance(block, Dictionary):
        raise TypeError(_APART)
    bits = [child.bits for child in block.children if isinstance(child, FixedWidth)]
    if len(bits) != len(block.children):
        raise UnsupportedError("chunks of packed structs have fields of one width only")
    return PackedStruct(tuple(bits))


def _fixed_chunk_codec(block: FixedWidth, params: CodecParams, stats: Stats) -> ChunkCodec:
    if params.compression == "none":
        return Flat(block.bits)
    return _with_general(_narrowest(block, params, stats), params)


def _narrowest(block: FixedWidth, params: CodecParams, stats: Stats) -> ChunkCodec:
    """Byte stream split (only under general compression), runs, bit-packing or flat: compressors.md 7.2."""
    bits, flat = block.bits, Flat(block.bits)
    if params.compression in ("lz4", "zstd") and bits in (32, 64) and _splits_well(stats, params):
        return ByteStreamSplit(flat)
    sizes = cost.fixed_sizes(stats, params)
    best = min(sizes, key=sizes.__getitem__)
    if best == Rle.name:
        return Rle(flat, Flat(8))
    return InlineBitpacking(bits) if best == InlineBitpacking.name else flat


def _splits_well(stats: Stats, params: CodecParams) -> bool:
    if params.bss == "auto" and len(stats.byte_position_entropy):
        return float(np.mean(stats.byte_position_entropy)) < 4000  # thousandths of a bit
    return params.bss == "on"


def _with_general(inner: ChunkCodec, params: CodecParams) -> ChunkCodec:
    if params.compression in ("lz4", "zstd"):
        return General(params.compression, params.level, inner)
    return inner


def _variable_chunk_codec(block: VariableWidth, params: CodecParams, stats: Stats) -> ChunkCodec:
    plain = Variable(block.offset_bits)
    if wants_symbols(stats, params):
        return Fsst(plain, always=params.is_reference)
    return _with_general(plain, params)


def wants_symbols(stats: Stats, params: CodecParams) -> bool:
    """Tell whether symbol tables are to be tried on text or binary (compressors.md 7.3)."""
    if params.compression is not None:
        return params.compression == "fsst"
    if not params.is_text or params.profile is Profile.FAST:
        return False
    return stats.data_size >= FSST_MIN_BYTES and stats.max_length >= _FSST_MIN_LENGTH


def encode_chunks(block: Block, params: CodecParams, stats: Stats | None = None) -> EncodedChunks:
    """Encode `block` as chunks under the codec of choice; with the profile ``small`` also under zstd, if that pays."""
    codec = chunk_codec(block, params, stats)
    encoded = codec.encode_chunks(block, params.limits)
    if not tries_zstd(block, params):
        return encoded
    inner = codec.values if isinstance(codec, Fsst) else codec
    compressed = General("zstd", None, inner).encode_chunks(block, params.limits)
    return compressed if _pays(_chunk_bytes(compressed), _chunk_bytes(encoded)) else encoded


def encode_values(block: Block, params: CodecParams, stats: Stats | None = None) -> EncodedValues:
    """Encode `block` value by value under the codec of choice; with the profile ``small`` also under zstd, if that pays."""
    encoded = value_codec(block, params, stats).encode_values(block)
    if not isinstance(block, VariableWidth) or not tries_zstd(block, params):
        return encoded
    compressed = General("zstd", 0, Variable(block.offset_bits)).encode_values(block)
    return compressed if _pays(_record_bytes(compressed), _record_bytes(encoded)) else encoded


def encode_dictionary(items: Block, params: CodecParams) -> EncodedBlocks:
    """Encode the values of a dictionary as one block; unless somebody asked for it, compressed only where that makes it smaller."""
    counts = np.array([items.num_values])
    codec = dictionary_codec(items, params)
    if not isinstance(codec, General) or params.dictionary.chosen or params.is_reference:
        return codec.encode_blocks(items, counts)
    inner = codec.values
    if not isinstance(inner, BlockCodec):
        return codec.encode_blocks(items, counts)
    plain = inner.encode_blocks(items, counts)
    encoded = codec.compress_blocks(plain)
    return encoded if nbytes(encoded.data) < nbytes(plain.data) else plain


def tries_zstd(block: Block, params: CodecParams) -> bool:
    """Tell whether `block` is also to be encoded under zstd, whoever wished what."""
    wide = isinstance(block, FixedWidth | VariableWidth)
    return params.profile is Profile.SMALL and params.compression is None and wide


def _pays(compressed_bytes: int, num_bytes: int) -> bool:
    return compressed_bytes < _WORTHWHILE * num_bytes


def _chunk_bytes(encoded: EncodedChunks) -> int:
    symbols = TABLE_BYTES if isinstance(encoded.codec, Fsst) else 0
    return symbols + sum(int(sizes.sum()) for _, sizes in encoded.buffers)


def _record_bytes(encoded: EncodedValues) -> int:
    symbols = TABLE_BYTES if isinstance(encoded.codec, Fsst) else 0
    return symbols + Stats(encoded.records).data_size


def _list_codec(block: FixedSizeList) -> FixedSizeListCodec:
    items = block.items
    if isinstance(items, FixedSizeList):
        return FixedSizeListCodec(block.dimension, _list_codec(items))
    if not isinstance(items, FixedWidth):
        raise UnsupportedError("fixed-size lists hold values of one width only")
    return FixedSizeListCodec(block.dimension, Flat(items.bits))


def value_codec(block: Block, params: CodecParams, stats: Stats | None = None) -> ValueCodec:
    """Choose the per-value codec of `block`, whose statistics may be known: compressors.md 7.4."""
    if isinstance(block, FixedWidth):
        return Flat(block.bits)
    if isinstance(block, FixedSizeList):
        return _list_codec(block)
    if isinstance(block, Packed):
        children = params.children or (params,) * len(block.children)
        fields = zip(block.children, children, strict=True)
        return VariablePackedStruct(tuple(PackedField(value_codec(child, own)) for child, own in fields))
    if isinstance(block, Dictionary):
        raise TypeError(_APART)
    plain = Variable(block.offset_bits)
    if params.compression == "none":
        return plain
    stats = stats or Stats(block)
    if stats.data_size >= FSST_MIN_BYTES and _wants_general(stats, params):
        return General("zstd", params.level or 0, plain)
    return Fsst(plain, always=params.is_reference) if wants_symbols(stats, params) else plain


def _wants_general(stats: Stats, params: CodecParams) -> bool:
    """Tell whether single values are to be compressed: on request, or some are long; zstd is all that readers know there.

    Long values are often compressed already (images), so a sample is looked at first, but for the reference profile.
    """
    if params.compression in ("lz4", "zstd"):
        return True
    long = stats.max_length > _GENERAL_MIN_LENGTH
    if params.is_reference:
        return long
    if not long or params.compression is not None or params.profile is Profile.FAST:
        return False
    return cost.general_ratio(stats.block, "zstd", None) < _WORTHWHILE


def level_codec(levels: FixedWidth, counts: Int64Array, params: CodecParams) -> BlockCodec:
    """Choose the codec of the repetition or definition `levels` of a page, cut into blocks of `counts`: the smallest form."""
    stats = Stats(levels)
    if params.is_reference:
        return _reference_level_codec(stats, params.version)
    width = stats.max_bit_width
    candidates: list[tuple[int, BlockCodec]] = []
    if levels.num_values <= 1024 and len(counts) == 1:
        candidates.append((2 + 128 * width, _PACKED_LEVELS))
    else:
        candidates.append((_out_of_line_bytes(counts, 16, width), OutOfLineBitpacking(16, width)))
    if params.version >= Version.V2_2:
        candidates.append((8 * len(counts) + 3 * stats.rle_entries, _LEVEL_RUNS))
    candidates.append((2 * levels.num_values, _FLAT_LEVELS))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _reference_level_codec(stats: Stats, version: Version) -> BlockCodec:
    """Choose as the reference does, which looks at the page as a whole: runs, bit-packing, flat (versions.md 5.5).

    Its last resort, zstd over blocks above 32 KiB, is out of reach: levels that long have few enough bits to be packed.
    """
    num_levels, width = stats.block.num_values, stats.max_bit_width
    packed, runs = stats.inline_bitpacking_bytes, 8 + 3 * stats.rle_entries
    if version >= Version.V2_2 and runs < stats.data_size and runs <= packed:
        return Rle(Flat(16), Flat(8))
    if width == 16 or (num_levels <= 1024 and 128 * width >= stats.data_size):
        return Flat(16)
    return InlineBitpacking(16) if num_levels <= 1024 else OutOfLineBitpacking(16, width)


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
        packed = _packed_block_codec(items, params)
        if packed is not None:
            return packed
    return plain if compression == "none" else General(compression, params.dictionary.values_level, plain)


def _packed_block_codec(items: FixedWidth, params: CodecParams) -> BlockCodec | None:
    stats = Stats(items)
    width, bits = stats.max_bit_width, items.bits
    if width >= bits:
        return None
    if items.num_values <= 1024:
        # the reference does not count the header of the block
        size = 128 * width if params.is_reference else stats.inline_bitpacking_bytes
        return InlineBitpacking(bits) if size < stats.data_size else None
    size = _out_of_line_bytes(np.array([items.num_values]), bits, width)
    # a bit or two less of each value are not worth a reader's time, and leave compressors nothing to find
    share = 1.0 if params.is_reference else _WORTHWHILE
    return OutOfLineBitpacking(bits, width) if size < share * stats.data_size else None
