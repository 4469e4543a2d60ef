from __future__ import annotations

import numpy as np
import pytest

from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

both = pytest.mark.parametrize("kernels", [native, reference], ids=["native", "reference"])


def pad(kernels, data, starts, sizes, room, alignment=4, fill=0x48):
    out = np.zeros(room, np.uint8)
    kernels.pad_parts(data, np.array(starts, np.int64), np.array(sizes, np.int64), alignment, fill, out)
    return out.tobytes()


@both
def test_example(kernels):
    assert pad(kernels, b"abcdefg", [0, 2, 7], [2, 5, 0], 12) == b"abHHcdefgHHH"
    assert pad(kernels, b"abcd", [0, 1], [4, 2], 6, alignment=1) == b"abcdbc"
    assert pad(kernels, b"", [], [], 0) == b""
    assert pad(kernels, b"abc", [1], [1], 64, alignment=64, fill=0) == b"b" + bytes(63)


def test_both_do_the_same():
    rng = np.random.default_rng(0)
    data = rng.bytes(5000)
    for alignment in (1, 8, 64):
        starts = rng.integers(0, 4800, 300)
        sizes = rng.integers(0, 200, 300)
        room = int((-(-sizes // alignment) * alignment).sum())
        found = [pad(kernels, data, starts, sizes, room, alignment) for kernels in (native, reference)]
        assert found[0] == found[1]


@both
@pytest.mark.parametrize(
    ("starts", "sizes", "room", "alignment", "fill"),
    [
        ([0], [1, 2], 4, 4, 0),
        ([0], [9], 12, 4, 0),
        ([9], [0], 0, 4, 0),
        ([-1], [1], 4, 4, 0),
        ([0], [-1], 4, 4, 0),
        ([1], [2**63 - 1], 4, 4, 0),
        ([2**63 - 1], [2**63 - 1], 4, 4, 0),
        ([0], [4], 3, 4, 0),
        ([0], [1], 3, 4, 0),
        ([0], [1], 5, 4, 0),
        ([0], [1], 4, 3, 0),
        ([0], [1], 4, 0, 0),
        ([0], [1], 4, -4, 0),
        ([0], [1], 4, 4, 256),
        ([0], [1], 4, 4, -1),
    ],
)
def test_broken_contracts(kernels, starts, sizes, room, alignment, fill):
    with pytest.raises(ValueError, match="pad_parts"):
        pad(kernels, b"abcdefgh", starts, sizes, room, alignment, fill)
