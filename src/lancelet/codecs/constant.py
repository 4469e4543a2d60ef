"""Constant: one value, kept in the message, for all (compressors.md 2.3).

=======  ==================================================================
value    bytes
=======  ==================================================================
present  none; every value has these bytes
absent   none; every value is null
=======  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lancelet.blocks import FixedWidth
from lancelet.buffers import EMPTY, as_bytes
from lancelet.codecs.base import BlockCodec, EncodedBlocks, EncodedValues, ValueCodec
from lancelet.codecs.checks import MAX_EXPANDED_BYTES, check_decoded_bytes, expect_fixed
from lancelet.codecs.registry import register
from lancelet.errors import FormatError, OptionError
from lancelet.pb.encodings21_pb2 import CompressiveEncoding
from lancelet.pb.encodings21_pb2 import Constant as ConstantMessage

if TYPE_CHECKING:
    from lancelet.blocks import Block, VariableWidth
    from lancelet.buffers import Allocate, Int64Array
    from lancelet.codecs.base import Parse, Spans

__all__ = ["Constant"]


@register
@dataclass(frozen=True, slots=True)
class Constant(ValueCodec, BlockCodec):
    """One value for all.

    Attributes
    ----------
    value
        Its bytes, at least one; ``None`` when all are null. As a wish ``None`` takes the value of the block.
    """

    name: ClassVar[str] = "constant"

    value: bytes | None = None

    def to_message(self) -> CompressiveEncoding:
        """Describe the codec as written."""
        return CompressiveEncoding(constant=ConstantMessage(value=self.value))

    @classmethod
    def from_message(cls, message: Any, parse: Parse) -> Constant:
        """Read a ``Constant`` message.

        Raises
        ------
        FormatError
            There is a value of no bytes.
        """
        if not message.HasField("value"):
            return cls(None)
        if not message.value:
            raise FormatError("a constant has a value of 0 bytes")
        return cls(message.value)

    def encode_values(self, block: Block) -> EncodedValues:
        """Make records of 0 bits.

        Raises
        ------
        OptionError
            The values of `block` are not equal, or not of whole bytes.
        """
        codec = self._of(block)
        return EncodedValues(codec, FixedWidth(0, block.num_values, EMPTY))

    def decode_values(self, records: FixedWidth | VariableWidth, allocate: Allocate) -> FixedWidth:
        """Repeat the value; without one the block has values of 0 bits, whoever knows their type makes nulls of them.

        Raises
        ------
        FormatError
            The records have bytes, or the values would take more than :data:`~lancelet.codecs.checks.MAX_EXPANDED_BYTES`.
        """
        if not isinstance(records, FixedWidth) or records.bits != 0:
            raise FormatError("the records of a constant have bytes")
        return self._repeat(records.num_values, allocate)

    def encode_blocks(self, block: Block, counts: Int64Array) -> EncodedBlocks:
        """Make blocks of 0 bytes.

        Raises
        ------
        OptionError
            As for :meth:`encode_values`.
        """
        return EncodedBlocks(self._of(block), EMPTY, np.zeros(len(counts), dtype=np.int64))

    def decode_blocks(self, spans: Spans, counts: Int64Array, allocate: Allocate) -> FixedWidth:
        """Repeat the value, as :meth:`decode_values` does.

        Raises
        ------
        FormatError
            A block has bytes, or the values would take too many.
        """
        if spans.sizes.any():
            raise FormatError("a block of a constant has bytes")
        return self._repeat(int(counts.sum()), allocate)

    def _of(self, block: Block) -> Constant:
        """Return the codec with the one value of `block`."""
        if not isinstance(block, FixedWidth) or block.bits % 8 or block.num_values == 0:
            raise OptionError("only values of whole bytes, at least one, can be a constant")
        rows = as_bytes(expect_fixed(block, block.bits).data).reshape(block.num_values, block.bits // 8)
        value = rows[0].tobytes()
        if (rows != rows[0]).any() or self.value not in (None, value):
            raise OptionError("the values are not one constant")
        return replace(self, value=value)

    def _repeat(self, num_values: int, allocate: Allocate) -> FixedWidth:
        if self.value is None:
            return FixedWidth(0, num_values, EMPTY)
        num_bytes = num_values * len(self.value)
        check_decoded_bytes(num_bytes, MAX_EXPANDED_BYTES, self.name)
        out = allocate(num_bytes)
        as_bytes(out).reshape(num_values, len(self.value))[:] = np.frombuffer(self.value, dtype=np.uint8)
        return FixedWidth(8 * len(self.value), num_values, out)
