"""The contract of a codec: three roles, and the shapes that pass through them.

A codec is a frozen dataclass that holds only parameters. On the way down the strategy makes one as a *wish*
(``InlineBitpacking(bits=32)``, ``Fsst(values=Variable(32))``) and calls its ``encode_*``; what comes back carries the codec *as
written*, with everything a reader needs (a trained symbol table, a width). On the way up :func:`~lancelet.codecs.registry.parse`
makes it from its message and calls its ``decode_*``. The roles (compressors.md 1.2):

=============  ==========================================  ==============================================================
role           where                                       form
=============  ==========================================  ==============================================================
ChunkCodec     values of a mini-block page                 one or more buffers a chunk; the number of values is given
ValueCodec     values of a full-zip page                   every value on its own: records of one width, or of any length
BlockCodec     levels of chunks, dictionaries              one buffer a block; the number of values is given
=============  ==========================================  ==============================================================

Whole pages pass in one call: buffers of many chunks are one :class:`Spans`, never a Python loop. A codec may have several roles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from lancelet.blocks import VariableWidth
from lancelet.blocks.selection import picked_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lancelet.blocks import Block, FixedWidth
    from lancelet.buffers import Allocate, Data, Int64Array, UInt16Array
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

    Parse = Callable[[CompressiveEncoding], "Codec"]

__all__ = [
    "BlockCodec",
    "ChunkCodec",
    "ChunkLimits",
    "Chunks",
    "Codec",
    "EncodedBlocks",
    "EncodedChunks",
    "EncodedValues",
    "Picks",
    "Spans",
    "ValueCodec",
    "ZippedRecords",
]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Parts of one buffer: part ``i`` is ``data[offsets[i] : offsets[i] + sizes[i]]``.

    They come from a file: whoever uses them checks that they lie inside (the kernels do).

    Attributes
    ----------
    data
        The bytes.
    offsets, sizes
        ``int64[num_parts]``.
    """

    data: Data
    offsets: Int64Array
    sizes: Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """What a :class:`ChunkCodec` decodes: chunks of one page, all of them or those that a read needs.

    Attributes
    ----------
    buffers
        One :class:`Spans` a value buffer (``num_buffers`` of the codec); part ``i`` belongs to chunk ``i``.
    counts
        ``int64[num_chunks]``, values in each chunk.
    num_values
        Sum of `counts`.
    """

    buffers: tuple[Spans, ...]
    counts: Int64Array
    num_values: int


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Chosen values of :class:`Chunks`, as sorted, disjoint, possibly empty half-open ranges over the values of all chunks.

    Attributes
    ----------
    starts, stops
        ``int64[num_ranges]``.
    num_values
        How many are chosen.
    """

    starts: Int64Array
    stops: Int64Array
    num_values: int


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """What a chunk may hold (structural.md 5.4).

    Attributes
    ----------
    max_values
        Most values a chunk, a power of two (``LANCE_MINIBLOCK_MAX_VALUES``, 4096).
    max_bytes
        Most value bytes a chunk of fixed-width values, padding excluded (8186).
    target_bytes
        Wished size of a chunk of variable-width values, offsets included (``lance-encoding:minichunk-size``, 4096).
    """

    max_values: int = 4096
    max_bytes: int = 8186
    target_bytes: int = 4096


@dataclass(frozen=True, slots=True, eq=False)
class EncodedChunks:
    """What :meth:`ChunkCodec.encode_chunks` gives.

    Attributes
    ----------
    codec
        The codec as written.
    buffers
        One ``(data, sizes)`` a value buffer: the parts of all chunks back to back without padding, and ``int64[num_chunks]`` sizes.
    counts
        ``int64[num_chunks]``: powers of two, at least 2, except for the last chunk.
    """

    codec: ChunkCodec
    buffers: tuple[tuple[Data, Int64Array], ...]
    counts: Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class EncodedValues:
    """What :meth:`ValueCodec.encode_values` gives: the codec as written, and the records."""

    codec: ValueCodec
    records: FixedWidth | VariableWidth


class ZippedRecords(NamedTuple):
    """Records of any length as they lie in a full-zip page: among their levels, each behind its length.

    Attributes
    ----------
    parts
        Buffers of whole rows.
    row_counts
        ``int64[num_parts]``: rows in each.
    row_offsets
        ``int64[num_rows]``: where each row starts in its part.
    form
        Their shape, as :func:`~lancelet.kernels.reference.fullzip.unzip_sizes` has it from ``bits_rep`` on; the width of lengths
        comes last.
    num_slots, num_bytes
        Records, and the bytes of all of them.
    rep, def_
        ``uint16[num_entries]``: where the levels go; empty where there are none.
    """

    parts: Sequence[Data]
    row_counts: Int64Array
    row_offsets: Int64Array
    form: tuple[int, int, int, int, int, int, int]
    num_slots: int
    num_bytes: int
    rep: UInt16Array
    def_: UInt16Array

    @property
    def length_bytes(self) -> int:
        """Width of lengths, and of the offsets of values."""
        return self.form[-1]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBlocks:
    """What :meth:`BlockCodec.encode_blocks` gives.

    Attributes
    ----------
    codec
        The codec as written: one for all blocks.
    data
        The blocks back to back without padding.
    sizes
        ``int64[num_blocks]``.
    """

    codec: BlockCodec
    data: Data
    sizes: Int64Array


@dataclass(frozen=True, slots=True)
class Codec(ABC):
    """Base of all codecs.

    ``name`` is the member of ``CompressiveEncoding`` (``"flat"``), or for a codec from outside the full name of its message.
    """

    name: ClassVar[str]

    @abstractmethod
    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""

    @classmethod
    @abstractmethod
    def from_message(cls, message: Any, parse: Parse) -> Codec:
        """Read the member `message`; `parse` reads a child.

        Raises
        ------
        FormatError
            A parameter is missing or impossible.
        """


@dataclass(frozen=True, slots=True)
class ChunkCodec(Codec):
    """The mini-block role."""

    @property
    @abstractmethod
    def num_buffers(self) -> int:
        """Value buffers per chunk."""

    @abstractmethod
    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Cut `block` into chunks and encode them."""

    @abstractmethod
    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> Block:
        """Decode to one block of ``chunks.num_values`` values; its memory comes from `allocate`, or is a view of the input."""

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> Block:
        """Decode chosen values to one block of ``picks.num_values`` values.

        The chunks are checked as :meth:`decode_chunks` checks them; what is wrong within
        values that were not chosen may stay unseen. Codecs that can address values override this.
        """
        block = self.decode_chunks(chunks, allocate)
        return picked_ranges(block, picks.starts, picks.stops, picks.num_values, allocate)


@dataclass(frozen=True, slots=True)
class ValueCodec(Codec):
    """The per-value role."""

    @abstractmethod
    def encode_values(self, block: Block) -> EncodedValues:
        """Encode every value of `block` on its own: record ``i`` belongs to value ``i``."""

    @abstractmethod
    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> Block:
        """Decode records, which may be any selection of those written."""

    def decode_zipped(self, records: ZippedRecords, allocate: Allocate) -> VariableWidth | None:
        """Take the levels out of `records`, and decode the values where they lie, as :meth:`decode_values` does.

        Returns
        -------
        VariableWidth or None
            ``None``: they must be copied out of their page first; the levels may be written or not.
        """
        return None

    @property
    def takes_parts(self) -> bool:
        """Whether :meth:`decode_parts` saves a copy of large records."""
        return False

    def decode_parts(self, parts: Sequence[memoryview], offset_bits: int, allocate: Allocate) -> Block:
        """Decode records of any length that lie apart, as :meth:`decode_values` does.

        Parameters
        ----------
        parts
            One record each, as bytes.
        offset_bits
            Width of the offsets that the records have when they lie together.
        allocate
            Where memory comes from.
        """
        ends = np.cumsum([0, *map(len, parts)]).astype(f"<u{offset_bits // 8}")
        records = VariableWidth(offset_bits, len(parts), ends.view(np.uint8), b"".join(parts))
        return self.decode_values(records, allocate)


@dataclass(frozen=True, slots=True)
class BlockCodec(Codec):
    """The whole-block role."""

    @abstractmethod
    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Encode `block` as ``len(counts)`` blocks of ``counts[i]`` values each, in order; the counts add up to its length."""

    @abstractmethod
    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> Block:
        """Decode the blocks in `spans`, of ``counts[i]`` values each, to one block."""
