"""``general``: buffers of another codec under LZ4 or zstd (compressors.md 5.3).

One compressed buffer, every number little endian:

=======  ==========================================================================================
scheme   bytes
=======  ==========================================================================================
lz4      u32 uncompressed size, then one raw LZ4 block
zstd     u64 uncompressed size, then one zstd frame
zstd     a bare frame (older files): fewer than 8 bytes, or ``28 b5 2f fd`` and a fifth byte without bit 4
both     nothing at all: an empty buffer
=======  ==========================================================================================

In chunks only the first buffer is compressed; per value, every record is one compressed buffer; a block is one as a whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.buffers import as_bytes, as_values, nbytes
from lancelet.codecs.base import (
    BlockCodec,
    ChunkCodec,
    Chunks,
    Codec,
    EncodedBlocks,
    EncodedChunks,
    EncodedValues,
    Spans,
    ValueCodec,
)
from lancelet.codecs.flat import Flat
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.blocks import Block, FixedWidth
    from lancelet.buffers import Allocate, Data, Int64Array
    from lancelet.codecs.base import ChunkLimits, Parse, Picks
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

__all__ = [
    "MAX_RAW_BYTES",
    "MIN_PAGE_BYTES",
    "General",
    "compress_buffer",
    "compressed_bytes",
    "decompress_buffer",
]

#: Most bytes that the compressed buffers of one call may declare together.
MAX_RAW_BYTES = 2**31

#: The first buffers of a page's chunks are compressed when they have so many bytes together.
MIN_PAGE_BYTES = 4096

_SCHEMES = {"lz4": 1, "zstd": 2}
_DEFAULT_ZSTD_LEVEL = 3

#: The largest input of an LZ4 block.
_MAX_LZ4_BYTES = 0x7E000000

_LZ4_HEAD = struct.Struct("<I")
_ZSTD_HEAD = struct.Struct("<Q")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

#: One byte of an LZ4 block adds at most 255 bytes of output; a block of a zstd frame takes at least 3 and gives at most 128 KiB.
_LZ4_RATIO = 255
_ZSTD_BLOCK_BYTES = (3, 131072)

_STEP_BYTES = 1 << 20

_OUTSIDE = "a compressed buffer lies outside of the page"
_TOO_MANY = "a compressed buffer declares more bytes than it can hold"
_TOO_LARGE = f"compressed buffers of a page declare more than {MAX_RAW_BYTES} bytes"


@register
@dataclass(frozen=True, slots=True)
class General(ChunkCodec, ValueCodec, BlockCodec):
    """Another codec's buffers, compressed.

    Attributes
    ----------
    scheme
        ``"lz4"`` or ``"zstd"``.
    level
        Level of zstd; ``None`` and 0 are the library's default. LZ4 has none, but the message may state one.
    values
        The codec whose buffers are compressed. It needs the role in which this one is used.
    """

    name: ClassVar[str] = "general"
    scheme: str
    level: int | None
    values: Codec

    def __post_init__(self) -> None:
        if self.scheme not in _SCHEMES:
            raise ValueError(f"the compression is {self.scheme!r}; it may be 'lz4' or 'zstd'")

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec: ``general(compression, values)``."""
        from lancelet.pb.encodings21_pb2 import BufferCompression, CompressiveEncoding
        from lancelet.pb.encodings21_pb2 import General as Message

        compression = BufferCompression(scheme=_SCHEMES[self.scheme], level=self.level)  # type: ignore[arg-type]
        return CompressiveEncoding(general=Message(compression=compression, values=self.values.to_message()))

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> General:
        """Read ``General``.

        Raises
        ------
        FormatError
            The compression or the inner encoding is missing.
        UnsupportedError
            The compression is not known.
        """
        number = message.compression.scheme
        if number == 0 or not message.HasField("values"):
            raise FormatError("a 'general' encoding does not say how it compresses, or what")
        scheme = next((name for name, known in _SCHEMES.items() if known == number), None)
        if scheme is None:
            raise UnsupportedError(f"the compression scheme {number} is not known here")
        level = message.compression.level if message.compression.HasField("level") else None
        return cls(scheme, level, parse(message.values))

    @property
    def num_buffers(self) -> int:
        """As many as the inner codec has."""
        return self._chunk_codec.num_buffers

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Compress the first buffer of every chunk; the inner codec's chunks when that does not pay."""
        encoded = self._chunk_codec.encode_chunks(block, limits)
        (data, sizes), *others = encoded.buffers
        num_bytes = int(sizes.sum())
        if num_bytes < MIN_PAGE_BYTES:
            return encoded
        packed, packed_sizes = self._compress(data, sizes)
        if len(packed) >= num_bytes:
            return encoded
        return EncodedChunks(
            replace(self, values=encoded.codec), ((packed, packed_sizes), *others), encoded.counts
        )

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> Block:
        """Decompress the first buffer of every chunk and decode the chunks."""
        return self._chunk_codec.decode_chunks(self._decompress_chunks(chunks, allocate), allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> Block:
        """Decompress the first buffer of every chunk and decode the chosen values."""
        return self._chunk_codec.pick_chunks(self._decompress_chunks(chunks, allocate), picks, allocate)

    def encode_values(self, block: Block) -> EncodedValues:
        """Compress every record on its own. (The reference knows only zstd here, and never falls back.)"""
        encoded = self._value_codec.encode_values(block)
        records = encoded.records
        if not isinstance(records, VariableWidth):
            raise TypeError("records of one width are never compressed one by one")
        borders = _borders(records)
        data = as_bytes(records.data)[int(borders[0]) : int(borders[-1])]
        packed, packed_sizes = self._compress(data, np.diff(borders))
        return EncodedValues(
            replace(self, values=encoded.codec),
            _variable_width(records.offset_bits, packed, packed_sizes, OptionError),
        )

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> Block:
        """Decompress every record."""
        inner = self._value_codec
        if not isinstance(records, VariableWidth):
            raise FormatError("a 'general' encoding stands in a page of values of one width")
        borders = _borders(records)
        values = self._decompress(Spans(records.data, borders[:-1], np.diff(borders)), None, allocate)
        return inner.decode_values(
            _variable_width(records.offset_bits, values.data, values.sizes, FormatError), allocate
        )

    @property
    def takes_parts(self) -> bool:
        """Frames of zstd are decompressed one by one, wherever they lie."""
        return self.scheme == "zstd"

    def decode_parts(self, parts: Sequence[memoryview], offset_bits: int, allocate: Allocate) -> Block:
        """Decompress every record where it lies, if the scheme allows that."""
        if not self.takes_parts:
            return ValueCodec.decode_parts(self, parts, offset_bits, allocate)
        inner = self._value_codec
        values = _decompress_frames(parts, None, allocate)
        return inner.decode_values(
            _variable_width(offset_bits, values.data, values.sizes, FormatError), allocate
        )

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Compress every block, whether that pays or not."""
        return self.compress_blocks(self._block_codec.encode_blocks(block, counts))

    def compress_blocks(self, encoded: EncodedBlocks) -> EncodedBlocks:
        """Compress blocks that the codec of the values has encoded."""
        codec = self if encoded.codec == self.values else replace(self, values=encoded.codec)
        return EncodedBlocks(codec, *self._compress(encoded.data, encoded.sizes))

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> Block:
        """Decompress every block and decode them."""
        inner = self._block_codec
        return inner.decode_blocks(
            self._decompress(spans, _most_bytes(inner, counts), allocate), counts, allocate
        )

    def _decompress_chunks(self, chunks: Chunks, allocate: Allocate) -> Chunks:
        """Return the chunks of the inner codec."""
        inner = self._chunk_codec
        if len(chunks.buffers) != inner.num_buffers:
            raise FormatError(f"chunks have {len(chunks.buffers)} buffers in place of {inner.num_buffers}")
        first, *others = chunks.buffers
        first = self._decompress(first, _most_bytes(inner, chunks.counts), allocate)
        return Chunks((first, *others), chunks.counts, chunks.num_values)

    @property
    def _chunk_codec(self) -> ChunkCodec:
        if not isinstance(self.values, ChunkCodec):
            raise self._misplaced("chunks")
        return self.values

    @property
    def _value_codec(self) -> ValueCodec:
        if not isinstance(self.values, ValueCodec):
            raise self._misplaced("single values")
        return self.values

    @property
    def _block_codec(self) -> BlockCodec:
        if not isinstance(self.values, BlockCodec):
            raise self._misplaced("blocks")
        return self.values

    def _misplaced(self, what: str) -> UnsupportedError:
        return UnsupportedError(f"the encoding {self.values.name!r} is not one of {what}")

    def _compress(self, data: Data, sizes: Int64Array) -> tuple[bytes, Int64Array]:
        """Compress the parts of `data`, which stand back to back; returns the compressed ones in the same way."""
        if self.scheme == "lz4":
            head, codec = _LZ4_HEAD, pa.Codec("lz4_raw")
            if int(sizes.max(initial=0)) > _MAX_LZ4_BYTES:
                raise OptionError(f"lz4 holds at most {_MAX_LZ4_BYTES} bytes a buffer")
        else:
            head, codec = _ZSTD_HEAD, _zstd(self.level)
        raw = memoryview(as_bytes(data))
        packed: list[bytes] = []
        packed_sizes = np.empty(len(sizes), dtype=np.int64)
        at = 0
        for i, size in enumerate(sizes.tolist()):
            frame = codec.compress(raw[at : at + size], asbytes=True)
            packed += (head.pack(size), frame)
            packed_sizes[i] = head.size + len(frame)
            at += size
        return b"".join(packed), packed_sizes

    def _decompress(self, spans: Spans, most: Int64Array | None, allocate: Allocate) -> Spans:
        """Decompress every part into one buffer; `most` bounds the sizes that they may declare."""
        if self.scheme == "zstd":
            return _decompress_frames(_frames_of(spans), most, allocate)
        if len(spans.sizes) == 1:  # a dictionary
            one = _decompress_one_lz4(spans, most, allocate)
            if one is not None:
                return one
        inside = (
            (spans.offsets >= 0) & (spans.sizes >= 0) & (spans.offsets <= nbytes(spans.data) - spans.sizes)
        )
        if not inside.all():
            raise FormatError(_OUTSIDE)
        return _decompress_lz4(spans, most, allocate)


def compress_buffer(data: Data, scheme: str, level: int | None) -> Data:
    """Compress one buffer; ``none`` leaves it as it is."""
    if scheme == "none":
        return data
    packed, _ = General(scheme, level, Flat(8))._compress(data, np.array([nbytes(data)], dtype=np.int64))
    return packed


def decompress_buffer(data: Data, scheme: str, allocate: Allocate) -> Data:
    """Decompress one buffer of ``lz4`` or ``zstd``.

    Raises
    ------
    FormatError
        The bytes are corrupt, or declare more than they can hold.
    UnsupportedError
        They declare more than :data:`MAX_RAW_BYTES`.
    """
    spans = Spans(data, np.zeros(1, dtype=np.int64), np.array([nbytes(data)], dtype=np.int64))
    return General(scheme, None, Flat(8))._decompress(spans, None, allocate).data


def _most_bytes(codec: Codec, counts: Int64Array) -> Int64Array | None:
    """Return how many bytes `codec` can need at most for buffers of `counts` values; ``None`` where nothing bounds them.

    Blocks of 1024 values are always enough for values of one width; runs take a length a value more, and headers a word.
    """
    bits = _widest(codec)
    if bits is None:
        return None
    most: Int64Array = (counts + 1023) // 1024 * (128 * min(bits, MAX_RAW_BYTES)) + counts + 16
    return most


@lru_cache(maxsize=256)
def _widest(codec: Codec) -> int | None:
    """Return the bits of a value of a codec of values of one width, ``None`` of others."""
    message = codec.to_message()
    while message.WhichOneof("compression") in ("rle", "byte_stream_split"):
        message = message.rle.values if message.HasField("rle") else message.byte_stream_split.values
    if message.HasField("flat"):
        bits = message.flat.bits_per_value
    elif message.HasField("inline_bitpacking"):
        bits = message.inline_bitpacking.uncompressed_bits_per_value
    elif message.HasField("out_of_line_bitpacking"):
        bits = message.out_of_line_bitpacking.uncompressed_bits_per_value
    else:
        return None
    return int(bits)


def _check_sizes(raw: Int64Array, bound: Int64Array, most: Int64Array | None) -> int:
    """Check declared sizes before anything is allocated; returns their sum."""
    if most is not None:
        bound = np.minimum(bound, most)
    if (raw > bound).any() or (raw < 0).any():
        raise FormatError(_TOO_MANY)
    if (raw > MAX_RAW_BYTES).any() or int(raw.sum()) > MAX_RAW_BYTES:
        raise UnsupportedError(_TOO_LARGE)
    return int(raw.sum())


def _read_heads(spans: Spans, head: struct.Struct) -> Int64Array:
    """Read the size at the start of each part, which is long enough; sizes of 2**63 and above become negative."""
    places = spans.offsets[:, np.newaxis] + np.arange(head.size)
    heads: Int64Array = as_bytes(spans.data)[places].view(f"<u{head.size}").ravel().astype(np.int64)
    return heads


def _decompress_one_lz4(spans: Spans, most: Int64Array | None, allocate: Allocate) -> Spans | None:
    """Do what :func:`_decompress_lz4` does with a single part; ``None`` where something is wrong with it, or it is empty."""
    start, size = int(spans.offsets[0]), int(spans.sizes[0])
    if start < 0 or size < _LZ4_HEAD.size or start > nbytes(spans.data) - size:
        return None
    (raw,) = _LZ4_HEAD.unpack_from(memoryview(spans.data), start)
    bound = _LZ4_RATIO * size if most is None else min(_LZ4_RATIO * size, int(most[0]))
    if raw > min(bound, MAX_RAW_BYTES):
        return None
    out = allocate(raw)
    numbers = np.array([start + _LZ4_HEAD.size, size - _LZ4_HEAD.size, 0, raw], dtype=np.int64)
    kernels.lz4_decode(spans.data, numbers[:1], numbers[1:2], out, numbers[2:])
    return Spans(out, numbers[2:3], numbers[3:])


def _decompress_lz4(spans: Spans, most: Int64Array | None, allocate: Allocate) -> Spans:
    if ((spans.sizes > 0) & (spans.sizes < _LZ4_HEAD.size)).any():
        raise FormatError("lz4: a compressed buffer ends inside of its size")
    filled = spans.sizes > 0
    parts = Spans(spans.data, spans.offsets[filled], spans.sizes[filled])
    raw = np.zeros(len(spans.sizes), dtype=np.int64)
    raw[filled] = _read_heads(parts, _LZ4_HEAD)
    total = _check_sizes(raw, _LZ4_RATIO * spans.sizes, most)
    borders = np.concatenate(([0], np.cumsum(raw)))
    out = allocate(total)
    kernels.lz4_decode(
        spans.data,
        parts.offsets + _LZ4_HEAD.size,
        parts.sizes - _LZ4_HEAD.size,
        out,
        np.append(borders[:-1][filled], total),
    )
    return Spans(out, borders[:-1], raw)


def _frames_of(spans: Spans) -> list[memoryview]:
    data = memoryview(as_bytes(spans.data))
    frames = []
    for start, size in zip(spans.offsets.tolist(), spans.sizes.tolist(), strict=True):
        if start < 0 or size < 0 or start > len(data) - size:
            raise FormatError(_OUTSIDE)
        frames.append(data[start : start + size])
    return frames


def _decompress_frames(frames: Sequence[memoryview], most: Int64Array | None, allocate: Allocate) -> Spans:
    raw: list[int] = []
    bare: dict[int, bytes] = {}
    left = MAX_RAW_BYTES
    for i, frame in enumerate(frames):
        num_bytes, size = 0, len(frame)
        if _is_bare(frame):
            bare[i] = _decompress_bare(frame, left)
            num_bytes = len(bare[i])
            left -= num_bytes
        elif size > 0:
            num_bytes = _ZSTD_HEAD.unpack_from(frame)[0]
        if num_bytes > _most_of_frame(size) or (most is not None and num_bytes > most[i]):
            raise FormatError(_TOO_MANY)
        raw.append(num_bytes)
    total = sum(raw)
    if total > MAX_RAW_BYTES:
        raise UnsupportedError(_TOO_LARGE)
    out = allocate(total)
    sizes = np.array(raw, dtype=np.int64)
    taken = bytearray(len(raw))
    if kernels.zstd_copy_raw(frames, sizes, out, taken) < len(raw):
        _decompress_others(frames, raw, bare, taken, memoryview(out).cast("B"))
    return Spans(out, np.cumsum(sizes) - sizes, sizes)


def _decompress_others(
    frames: Sequence[memoryview], raw: list[int], bare: dict[int, bytes], taken: bytearray, target: memoryview
) -> None:
    """Decompress into their places in `target` the frames that are not `taken`: those that hold anything compressed."""
    codec = pa.Codec("zstd")
    at = 0
    for i, size in enumerate(raw):
        if i in bare:
            target[at : at + size] = bare[i]
        elif len(frames[i]) > 0 and not taken[i]:
            target[at : at + size] = _decompress_frame(codec, frames[i][_ZSTD_HEAD.size :], size)
        at += size


def _most_of_frame(size: int) -> int:
    """Return the most bytes that a frame of `size` bytes can give."""
    block_bytes, block_raw = _ZSTD_BLOCK_BYTES
    return (size // block_bytes + 1) * block_raw


def _decompress_frame(codec: pa.Codec, frame: memoryview, size: int) -> memoryview:
    """Decompress a frame that must give exactly `size` bytes and be all there is."""
    try:
        raw = memoryview(codec.decompress(frame, size))
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"zstd: a compressed buffer of {size} bytes is corrupt: {error}") from None
    return raw.cast("B")


def _is_bare(frame: memoryview) -> bool:
    """Whether a buffer is a frame without its size in front, by the rule of the reference's reader."""
    if len(frame) < _ZSTD_HEAD.size:
        return len(frame) > 0
    return frame[:4] == _ZSTD_MAGIC and not frame[4] & 0x10


def _decompress_bare(frame: memoryview, most: int) -> bytes:
    """Decompress a frame of unknown size in steps, so that memory grows only with what is really there."""
    parts: list[bytes] = []
    num_bytes = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(frame), "zstd") as stream:
            while part := stream.read(_STEP_BYTES):
                parts.append(part)
                num_bytes += len(part)
                if num_bytes > most:
                    raise UnsupportedError(
                        f"compressed buffers of a page hold more than {MAX_RAW_BYTES} bytes"
                    )
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"zstd: a compressed buffer is corrupt: {error}") from None
    return b"".join(parts)


def _zstd(level: int | None) -> pa.Codec:
    level = level or _DEFAULT_ZSTD_LEVEL
    lowest, highest = pa.Codec.minimum_compression_level("zstd"), pa.Codec.maximum_compression_level("zstd")
    if not lowest <= level <= highest:
        raise OptionError(f"the compression level is {level}; zstd has {lowest} to {highest}")
    return pa.Codec("zstd", compression_level=level)


def compressed_bytes(data: Data, scheme: str, level: int | None) -> int:
    """Return the size of `data` as one compressed buffer without its header."""
    codec = pa.Codec("lz4_raw") if scheme == "lz4" else _zstd(level)
    return len(codec.compress(memoryview(as_bytes(data)), asbytes=True))


def _borders(records: VariableWidth) -> Int64Array:
    """Return the offsets as ``int64``; those of 2**63 and above become negative and fail as parts."""
    offsets = as_values(records.offsets, records.offset_bits)[: records.num_values + 1]
    return offsets.astype(np.int64)


def _variable_width(
    offset_bits: int, data: Data, sizes: Int64Array, error: type[FormatError | OptionError]
) -> VariableWidth:
    """Make values of parts that stand back to back; `error` when their offsets cannot count so far."""
    total = nbytes(data)
    if total >= 1 << (offset_bits - 1):
        raise error(f"{total} bytes of values need wider offsets than {offset_bits} bits")
    offsets = np.zeros(len(sizes) + 1, dtype=f"<u{offset_bits // 8}")
    offsets[1:] = np.cumsum(sizes)
    return VariableWidth(offset_bits, len(sizes), offsets, data)
