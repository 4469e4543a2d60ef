"""Ranges of files, native and reference: merged, read, and found among copies."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tiers import sample_or_full

CONTENT = bytes(range(256)) * 40


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


@pytest.fixture
def descriptor(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    found = os.open(path, os.O_RDONLY)
    yield found
    os.close(found)


def near(kernels, ranges, gap):
    return kernels.near_ranges(np.array(ranges, np.int64).reshape(-1, 2), gap)


def test_ranges_that_lie_close_together(kernels):
    ranges = [(300, 10), (0, 100), (50, 20), (327, 5), (310, 0), (400, 1)]
    assert near(kernels, ranges, 0) == [(0, 100), (300, 10), (327, 5), (400, 1)]
    assert near(kernels, ranges, 16) == near(kernels, ranges, 0)
    assert near(kernels, ranges, 17) == [(0, 100), (300, 32), (400, 1)]
    assert near(kernels, ranges, 1 << 61) == [(0, 401)]
    assert near(kernels, [(5, 3), (8, 1), (9, 0)], 0) == [(5, 4)]
    assert near(kernels, [(7, 0)], 0) == near(kernels, [], 0) == []


@pytest.mark.parametrize("seed", range(sample_or_full(20, 500)))
def test_merged_ranges_cover_the_same_bytes(kernels, seed):
    rng = np.random.default_rng(seed)
    ranges = np.stack([rng.integers(0, 500, 30), rng.integers(0, 12, 30)], axis=1)
    gap = int(rng.integers(0, 9))
    merged = near(kernels, ranges, gap)
    wanted = {byte for at, size in ranges.tolist() for byte in range(at, at + size)}
    covered = {byte for at, size in merged for byte in range(at, at + size)}
    assert wanted <= covered
    edges = [edge for at, size in merged for edge in (at, at + size)]
    assert edges == sorted(edges)
    assert all(start - stop > gap for stop, start in zip(edges[1::2], edges[2::2], strict=False))
    assert all({at, at + size - 1} <= wanted for at, size in merged)


@pytest.mark.parametrize(
    "ranges", [[(-1, 5)], [(5, -1)], [(2**62, 1)], [(1, 2**62)], [(2**63 - 1, 2**63 - 1)]]
)
def test_ranges_that_do_not_exist(kernels, ranges):
    with pytest.raises(ValueError, match="no such place"):
        near(kernels, ranges, 0)
    for gap in (-1, 2**62):
        with pytest.raises(ValueError, match="a gap"):
            near(kernels, [(0, 1)], gap)
    with pytest.raises(ValueError, match="two numbers"):
        kernels.near_ranges(np.zeros(3, np.int64), 0)


@pytest.mark.parametrize("wait", [True, False])
def test_ranges_that_are_read(kernels, descriptor, wait):
    out = np.zeros(9, np.uint8)
    ranges = [(300, 4), (0, 0), (7, 5)]
    assert kernels.read_ranges(descriptor, ranges, wait, out) == 3
    assert bytes(out) == CONTENT[300:304] + CONTENT[7:12]
    assert kernels.read_ranges(descriptor, [], wait, bytearray()) == 0
    ends = [(0, 3), (len(CONTENT) - 2, 4), (5, 2)]
    assert kernels.read_ranges(descriptor, ends, wait, out) == 1, "the file ends in the second"
    assert kernels.read_ranges(descriptor, [(1 << 50, 9)], wait, out) == 0


def test_ranges_that_cannot_be_read(kernels, descriptor, tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="irectory"):
            kernels.read_ranges(folder, [(0, 4)], True, bytearray(4))
        assert kernels.read_ranges(folder, [(0, 4)], False, bytearray(4)) == 0
    finally:
        os.close(folder)
    for ranges in ([(-1, 4)], [(0, -4)], [(0, 4), (0, -4)]):
        with pytest.raises(ValueError, match="no such place"):
            kernels.read_ranges(descriptor, ranges, True, bytearray(4))
    for ranges in ([(0, 3)], [(0, 5)], [], [(0, 2**63 - 1), (0, 2**63 - 1), (0, 6)]):
        with pytest.raises(ValueError, match="another size"):
            kernels.read_ranges(descriptor, ranges, True, bytearray(4))
