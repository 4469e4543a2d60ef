from __future__ import annotations

import numpy as np
import pytest

from lancelet.container.metadata import PageMetadata, encode_page, encode_page_tail, make_ref
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def joined(kernels, buffers, position, alignment, tail, room=1 << 16, record_room=1 << 12):
    out, record = bytearray(room), bytearray(record_room)
    num_bytes, record_bytes = kernels.join_page(buffers, position, alignment, tail, out, record)
    return None if num_bytes < 0 else (bytes(out[:num_bytes]), bytes(record[:record_bytes]))


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (64, 0, 65), (3, 200, 5000, 1)])
@pytest.mark.parametrize("position", [0, 64, 8192, 1 << 40])
@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_join_page_is_the_general_way(kernels, sizes, position, alignment):
    position = -(-position // alignment) * alignment
    buffers = [bytes([i + 1]) * size for i, size in enumerate(sizes)]
    pieces, refs, start = b"", [], position
    for buffer in buffers:
        refs.append(make_ref((start, len(buffer))))
        padded = -(-len(buffer) // alignment) * alignment
        pieces += buffer.ljust(padded, b"H")
        start += padded
    tail = encode_page_tail(1000, 70_000, "some.Layout", b"\x0a\x01\x02")
    page = encode_page(PageMetadata(tuple(refs), 1000, 70_000, "some.Layout", b"\x0a\x01\x02"))
    assert joined(kernels, buffers, position, alignment, tail) == (pieces, page)


def test_join_page_says_what_does_not_fit(kernels):
    buffers = [b"abc", np.arange(100, dtype=np.uint8)]
    fits = joined(kernels, buffers, 0, 64, b"tail", 192, 19)
    assert fits is not None
    record = len(fits[1])
    assert joined(kernels, buffers, 0, 64, b"tail", 192, record) == fits
    assert joined(kernels, buffers, 0, 64, b"tail", 191, record) is None
    assert joined(kernels, buffers, 0, 64, b"tail", 192, record - 1) is None


@pytest.mark.parametrize(("position", "alignment"), [(0, 0), ((1 << 62) + 1, 8)])
def test_join_page_refuses_impossible_places(kernels, position, alignment):
    with pytest.raises(ValueError):
        joined(kernels, [b"abc"], position, alignment, b"")
