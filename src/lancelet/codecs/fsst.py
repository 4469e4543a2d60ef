"""``fsst``: text by a table of up to 255 short symbols (compressors.md 4).

Every value is compressed on its own; the compressed values then take the form of :class:`~lancelet.codecs.binary.Variable`. The
symbol table, 2312 bytes, travels in the message: one a page. Its bytes are described with
:func:`~lancelet.kernels.reference.fsst.fsst_decode`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet import kernels
from lancelet.blocks import VariableWidth
from lancelet.buffers import EMPTY, allocate, as_bytes, as_values, nbytes
from lancelet.codecs.base import ChunkCodec, EncodedChunks, EncodedValues, ValueCodec
from lancelet.codecs.binary import Variable
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from lancelet.blocks import Block, FixedWidth
    from lancelet.buffers import Allocate
    from lancelet.codecs.base import ChunkLimits, Chunks, Parse, Picks, ZippedRecords
    from lancelet.pb.encodings21_pb2 import CompressiveEncoding

__all__ = ["MIN_VALUE_BYTES", "TABLE_BYTES", "Fsst"]

#: Pages with fewer value bytes (offsets not counted) are left alone: the reference would switch the table off for them.
MIN_VALUE_BYTES = 32768

#: Size of a symbol table.
TABLE_BYTES = 2312

# Values are decompressed in one pass from so many bytes on; the first ones tell how much room they take, and some more.
_MANY_BYTES, _SAMPLE_VALUES, _MARGIN = 64 << 10, 64, 1.1

_NO_LEVELS = np.empty(0, dtype=np.uint16)

_SWITCH = 3
_OFF = bytes(4) + (0x46535354).to_bytes(4, "little") + bytes(TABLE_BYTES - 8)


@register
@dataclass(frozen=True, slots=True)
class Fsst(ChunkCodec, ValueCodec):
    """Values compressed with a symbol table.

    Attributes
    ----------
    values
        How the compressed values are stored.
    symbol_table
        2312 bytes; ``None`` in a wish: a table is trained on the page.
    always
        A wish to write a symbol table whether that pays or not, as the reference does: switched off for few bytes.
    """

    name: ClassVar[str] = "fsst"
    values: Variable
    symbol_table: bytes | None = field(default=None, repr=False)
    always: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.symbol_table is not None and len(self.symbol_table) != TABLE_BYTES:
            raise ValueError(f"a symbol table has {TABLE_BYTES} bytes, not {len(self.symbol_table)}")

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec: ``fsst(symbol_table, values = variable(..))``."""
        from lancelet.pb.encodings21_pb2 import CompressiveEncoding
        from lancelet.pb.encodings21_pb2 import Fsst as Message

        message = Message(symbol_table=self._table(), values=self.values.to_message())
        return CompressiveEncoding(fsst=message)

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> Fsst:
        """Read ``Fsst`` and check its symbol table.

        Raises
        ------
        FormatError
            The symbol table is corrupt, or the values are missing.
        UnsupportedError
            The compressed values are not stored as ``variable``.
        """
        table = message.symbol_table
        if len(table) != TABLE_BYTES:
            raise FormatError(f"fsst: the symbol table has {len(table)} bytes in place of {TABLE_BYTES}")
        if not message.HasField("values"):
            raise FormatError("fsst: the encoding of the compressed values is missing")
        values = parse(message.values)
        if not isinstance(values, Variable):
            raise UnsupportedError(f"fsst: compressed values are encoded as {values.name!r}")
        no_values = np.zeros(1, dtype=np.uint32)
        kernels.fsst_decode_offsets(table, EMPTY, no_values, 32, no_values.copy())
        return cls(values, table)

    @property
    def num_buffers(self) -> int:
        """One, as for plain values."""
        return self.values.num_buffers

    def encode_chunks(self, block: Block, limits: ChunkLimits) -> EncodedChunks:
        """Compress, then cut into chunks by compressed bytes; plain chunks when that does not pay."""
        codec, compressed = self._compress(block)
        if codec is None:
            return self.values.encode_chunks(block, limits)
        encoded = self.values.encode_chunks(compressed, limits)
        return EncodedChunks(codec, encoded.buffers, encoded.counts)

    def decode_chunks(self, chunks: Chunks, allocate: Allocate) -> VariableWidth:
        """Decode the chunks, then decompress all of their values."""
        return self._decompress(self.values.decode_chunks(chunks, allocate), allocate)

    def pick_chunks(self, chunks: Chunks, picks: Picks, allocate: Allocate) -> VariableWidth:
        """Decompress the chosen values only."""
        return self._decompress(self.values.pick_chunks(chunks, picks, allocate), allocate)

    def encode_values(self, block: Block) -> EncodedValues:
        """Compress; plain records when that does not pay."""
        codec, compressed = self._compress(block)
        encoded = self.values.encode_values(compressed)
        return encoded if codec is None else EncodedValues(codec, encoded.records)

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> VariableWidth:
        """Decompress the records."""
        return self._decompress(self.values.decode_values(records, allocate), allocate)

    def decode_zipped(self, records: ZippedRecords, allocate: Allocate) -> VariableWidth | None:
        """Decompress many records in one pass; few ones, and those that need more room than the first ones promise, are left."""
        room = self._zipped_room(records)
        if not room:
            return None
        offsets, data = allocate((records.num_slots + 1) * records.length_bytes), allocate(room)
        num_bytes, is_ascii = kernels.unzip_fsst(
            records.parts,
            records.row_counts,
            records.row_offsets,
            *records.form,
            self._table(),
            records.rep,
            records.def_,
            offsets,
            data,
        )
        if num_bytes < 0:
            return None
        return VariableWidth(
            8 * records.length_bytes, records.num_slots, offsets, data.slice(0, num_bytes), is_ascii
        )

    def _table(self) -> bytes:
        if self.symbol_table is None:
            raise ValueError("the symbol table is not trained yet")
        return self.symbol_table

    def _compress(self, block: Block) -> tuple[Fsst | None, Block]:
        """Return the codec as written and the compressed values; ``None`` and `block` itself when it does not pay."""
        if not isinstance(block, VariableWidth) or block.offset_bits != self.values.offset_bits:
            raise TypeError(f"fsst cannot encode a {type(block).__name__} of another kind or width")
        bits = block.offset_bits
        offsets = as_bytes(block.offsets)[: (block.num_values + 1) * bits // 8]
        borders = offsets.view(f"<u{bits // 8}")
        num_bytes = int(borders[-1]) - int(borders[0])
        if num_bytes < MIN_VALUE_BYTES:
            return (Fsst(self.values, _OFF), block) if self.always else (None, block)
        table = self.symbol_table
        if table is None:
            trained = np.empty(TABLE_BYTES, dtype=np.uint8)
            kernels.fsst_train(block.data, offsets, bits, trained)
            table = trained.tobytes()
        out_offsets, out = allocate(len(offsets)), allocate(2 * num_bytes)
        written = kernels.fsst_encode(table, block.data, offsets, bits, out_offsets, out)
        if written + TABLE_BYTES >= num_bytes and not self.always:
            return None, block
        return Fsst(self.values, table), VariableWidth(
            bits, block.num_values, out_offsets, out.slice(0, written)
        )

    def _decompress(self, values: VariableWidth, allocate: Allocate) -> VariableWidth:
        table = self._table()
        if table[_SWITCH] == 0:
            return values
        parts = (table, values.data, values.offsets, values.offset_bits)
        offsets = allocate(nbytes(values.offsets))
        room = self._room(values, table)
        if room:
            data = allocate(room)
            num_bytes, is_ascii = kernels.fsst_decode_values(*parts, offsets, data)
            if num_bytes >= 0:
                decoded = data.slice(0, num_bytes)
                return VariableWidth(values.offset_bits, values.num_values, offsets, decoded, is_ascii)
        data = allocate(kernels.fsst_decode_offsets(*parts, offsets))
        kernels.fsst_decode(*parts, data)
        return VariableWidth(values.offset_bits, values.num_values, offsets, data)

    def _zipped_room(self, records: ZippedRecords) -> int:
        """Guess, as :meth:`_room` does, the bytes of records that are still in their page, from the first rows of it."""
        table = self._table()
        if (
            table[_SWITCH] == 0
            or records.num_bytes < _MANY_BYTES
            or int(records.row_counts[0]) < 2 * _SAMPLE_VALUES
        ):
            return 0
        rows, row_offsets = np.array([_SAMPLE_VALUES]), records.row_offsets[:_SAMPLE_VALUES]
        sample = [memoryview(records.parts[0]).cast("B")[: max(int(records.row_offsets[_SAMPLE_VALUES]), 0)]]
        _, num_slots, num_sampled = kernels.unzip_sizes(sample, rows, row_offsets, *records.form)
        if not 0 < num_sampled <= records.num_bytes:
            return 0
        offsets, values = bytearray((num_slots + 1) * records.length_bytes), bytearray(8 * num_sampled)
        num_bytes, _ = kernels.unzip_fsst(
            sample, rows, row_offsets, *records.form, table, _NO_LEVELS, _NO_LEVELS, offsets, values
        )
        return int(records.num_bytes * (num_bytes / num_sampled) * _MARGIN)

    @staticmethod
    def _room(values: VariableWidth, table: bytes) -> int:
        """Guess the bytes that many values take, a little too large, from the first of them; 0: they are too few to guess.

        To find out costs half as much as to decompress, which can be done in one pass where there is room.
        """
        if values.num_values < 2 * _SAMPLE_VALUES:
            return 0
        width = values.offset_bits // 8
        borders = as_bytes(values.offsets)[: (values.num_values + 1) * width]
        sample = borders[: (_SAMPLE_VALUES + 1) * width]
        ends = as_values(borders, values.offset_bits)
        num_compressed, num_sampled = int(ends[-1]) - int(ends[0]), int(ends[_SAMPLE_VALUES]) - int(ends[0])
        if not 0 < num_sampled <= num_compressed <= nbytes(values.data) or num_compressed < _MANY_BYTES:
            return 0
        num_bytes = kernels.fsst_decode_offsets(
            table, values.data, sample, values.offset_bits, bytearray(sample)
        )
        return int(num_compressed * (num_bytes / num_sampled) * _MARGIN)
