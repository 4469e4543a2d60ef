"""The kernels as slow, obvious NumPy twins; their docstrings are the contract of both implementations."""

from lancelet.kernels.reference.bitpack import (
    bit_widths,
    block_widths,
    inline_pack,
    inline_unpack,
    out_of_line_pack,
    out_of_line_unpack,
)
from lancelet.kernels.reference.runs import (
    bss_decode,
    bss_encode,
    flat_bits_decode,
    flat_bits_encode,
    flat_gather,
    records_get,
    records_put,
    rle_cut,
    rle_decode,
    rle_decode_blocks,
    rle_encode,
    rle_encode_blocks,
    rle_entries,
)

__all__ = [
    "bit_widths",
    "block_widths",
    "bss_decode",
    "bss_encode",
    "flat_bits_decode",
    "flat_bits_encode",
    "flat_gather",
    "inline_pack",
    "inline_unpack",
    "out_of_line_pack",
    "out_of_line_unpack",
    "records_get",
    "records_put",
    "rle_cut",
    "rle_decode",
    "rle_decode_blocks",
    "rle_encode",
    "rle_encode_blocks",
    "rle_entries",
]
