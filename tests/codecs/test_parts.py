"""Records that lie apart decode as they do together, whichever codec has a way of its own for them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lancelet.blocks import VariableWidth
from lancelet.buffers import allocate, as_bytes, as_values
from lancelet.codecs.binary import Variable
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.general import General

if TYPE_CHECKING:
    from lancelet.codecs.base import ValueCodec

TEXTS = [b"", b"a", b"the quick brown fox " * 40, bytes(range(256)) * 200, b"fox", b"quick brown " * 3000]


def block(values: list[bytes], bits: int) -> VariableWidth:
    ends = np.cumsum([0, *map(len, values)]).astype(f"<u{bits // 8}")
    return VariableWidth(bits, len(values), ends.view(np.uint8), b"".join(values))


def values_of(found: VariableWidth) -> list[bytes]:
    ends = as_values(found.offsets, found.offset_bits)[: found.num_values + 1].tolist()
    data = as_bytes(found.data).tobytes()
    return [data[start:stop] for start, stop in itertools.pairwise(ends)]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("values", [[], TEXTS, TEXTS * 9], ids=["none", "some", "more"])
@pytest.mark.parametrize("kind", ["variable", "fsst", "lz4", "zstd"])
def test_parts_decode_as_they_do_together(kind: str, values: list[bytes], bits: int) -> None:
    plain = Variable(bits)
    wish: ValueCodec = {
        "variable": plain,
        "fsst": Fsst(plain),
        "lz4": General("lz4", None, plain),
        "zstd": General("zstd", None, plain),
    }[kind]
    encoded = wish.encode_values(block(values, bits))
    assert isinstance(encoded.records, VariableWidth)
    parts = [memoryview(record) for record in values_of(encoded.records)]
    for found in (
        encoded.codec.decode_values(encoded.records, allocate),
        encoded.codec.decode_parts(parts, bits, allocate),
    ):
        assert isinstance(found, VariableWidth)
        assert values_of(found) == values
