"""Checks that the codecs of fixed-width values share (compressors.md 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lancelet.blocks import FixedWidth
from lancelet.buffers import nbytes
from lancelet.errors import FormatError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sized

    from lancelet.blocks import Block
    from lancelet.codecs.base import Chunks, Spans

__all__ = [
    "MAX_EXPANDED_BYTES",
    "WORD_BITS",
    "check_decoded_bytes",
    "check_word_bits",
    "expect_buffers",
    "expect_fixed",
    "only_buffer",
    "refuse_compression",
]

#: Widths that bit-packing and run-length encoding handle.
WORD_BITS = (8, 16, 32, 64)

#: Most bytes that a block may expand to where its own bytes set no bound (constants, runs of 32-bit lengths).
MAX_EXPANDED_BYTES = 1 << 31


def check_word_bits(bits: int, name: str) -> None:
    """Refuse a message of the encoding `name` whose width is none of :data:`WORD_BITS`.

    Raises
    ------
    UnsupportedError
        The width is 128: file version 2.3 allows it.
    FormatError
        Any other width.
    """
    if bits == 128:
        raise UnsupportedError(f"{name} of 128-bit values is not handled")
    if bits not in WORD_BITS:
        raise FormatError(f"{name} of {bits}-bit values: 8, 16, 32 or 64 were expected")


def refuse_compression(message: Any, field: str, name: str) -> None:
    """Refuse a leaf whose buffer is said to be compressed: no writer does that and other readers ignore it.

    Raises
    ------
    UnsupportedError
        `field` of `message` is present.
    """
    if message.HasField(field):
        raise UnsupportedError(f"{name} with a compression of its own is not handled")


def expect_fixed(block: Block, bits: int) -> FixedWidth:
    """Return `block`, which must be of `bits` bits a value and hold as many bytes as that needs.

    Raises
    ------
    OptionError
        It is another kind of block: the codec does not suit it.
    """
    if not isinstance(block, FixedWidth) or block.bits != bits:
        raise OptionError(
            f"a codec of {bits}-bit values cannot encode {type(block).__name__} blocks of another width"
        )
    if nbytes(block.data) != -(-block.num_values * bits // 8):
        raise OptionError(f"{block.num_values} values of {bits} bits do not take {nbytes(block.data)} bytes")
    return block


def only_buffer(chunks: Chunks, name: str) -> Spans:
    """Return the one buffer of `chunks`.

    Raises
    ------
    FormatError
        There is not exactly one buffer a chunk.
    """
    expect_buffers(chunks.buffers, 1, name)
    return chunks.buffers[0]


def expect_buffers(buffers: Sized, number: int, name: str) -> None:
    """Check the number of buffers a chunk of the encoding `name`.

    Raises
    ------
    FormatError
        It is another one.
    """
    if len(buffers) != number:
        raise FormatError(f"{name} has {number} buffers a chunk, the page has {len(buffers)}")


def check_decoded_bytes(num_bytes: int, bound: int, name: str) -> None:
    """Check a decoded size against the most that the encoded bytes can give, before memory is taken.

    Raises
    ------
    FormatError
        `num_bytes` is larger than `bound`, or negative.
    """
    if not 0 <= num_bytes <= bound:
        raise FormatError(f"{name} of this size cannot hold {num_bytes} bytes of values, but at most {bound}")
