"""Ranges are merged by gap and size, and every range keeps its bytes."""

from __future__ import annotations

import io
import random

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import FormatError
from lancelet.storage import fetch
from lancelet.storage.chunked import in_chunks
from lancelet.storage.coalesce import merge_ranges
from lancelet.storage.memory import FileObjectSource, MemorySource

CONTENT = random.Random(5).randbytes(20_000)
BIG = 1 << 40


@pytest.mark.parametrize(
    ("ranges", "gap", "most", "reads"),
    [
        ([], 10, BIG, []),
        ([(128, 10)], 10, BIG, [(128, 10)]),
        ([(0, 10), (20, 5)], 10, BIG, [(0, 25)]),
        ([(0, 10), (64, 5)], 53, BIG, [(0, 10), (64, 5)]),
        ([(0, 10), (64, 5)], 54, BIG, [(0, 69)]),
        ([(64, 5), (0, 64)], 0, BIG, [(0, 69)]),
        ([(0, 100), (10, 20), (100, 1)], 0, BIG, [(0, 101)]),
        ([(0, 100), (0, 100)], 0, BIG, [(0, 100)]),
        ([(0, 64), (64, 64), (128, 64)], 0, 128, [(0, 128), (128, 64)]),
        ([(0, 500), (10, 20), (500, 1)], 0, 100, [(0, 500), (448, 53)]),  # a large range is not divided
        ([(70, 10)], 0, BIG, [(64, 16)]),  # aligned
        ([(0, 0), (5, 0)], 10, BIG, [(0, 5)]),
    ],
)
def test_reads_of_ranges(ranges, gap, most, reads):
    merged = merge_ranges(ranges, gap, most)
    assert merged.reads == reads
    for (position, size), (read, start) in zip(ranges, merged.places, strict=True):
        read_position, read_size = reads[read]
        assert read_position + start == position
        assert start + size <= read_size


@pytest.mark.parametrize("bad", [(-1, 5), (50, -5), (-5, -1)])
def test_negative_ranges_are_refused(bad):
    with pytest.raises(FormatError, match="there are no"):
        merge_ranges([(0, 100), bad], 10, BIG)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("make", [MemorySource, lambda data: FileObjectSource(io.BytesIO(data))])
def test_every_range_gets_its_bytes(seed, make):
    rng = random.Random(seed)
    source = make(CONTENT)
    source.gap_bytes, source.most_bytes = rng.choice([0, 10, 1000]), rng.choice([1, 500, 5000])
    source = in_chunks(source, rng.choice([7, 100_000]))
    positions = [rng.randrange(len(CONTENT)) for _ in range(rng.choice([1, 2, 50]))]
    ranges = [(position, rng.randrange(min(300, len(CONTENT) - position + 1))) for position in positions]
    expected = [CONTENT[position : position + size] for position, size in ranges]
    assert fetch(source, ranges) == expected
    assert fetch(source, tuple(ranges)) == expected


@pytest.mark.parametrize("bad", [(19_999, 2), (20_001, 0), (-1, 1), (5, -2), (1 << 63, 1 << 63)])
def test_ranges_outside_are_refused(bad):
    for source in (MemorySource(CONTENT), FileObjectSource(io.BytesIO(CONTENT))):
        with pytest.raises(FormatError):
            fetch(source, [(0, 10), bad])
        with pytest.raises(FormatError):
            fetch(source, [bad])


def test_what_is_fetched_is_as_aligned_as_in_the_file():
    class Aligned(FileObjectSource):
        def read(self, position, size):
            whole = memoryview(pa.allocate_buffer(size)).cast("B")
            whole[:] = super().read(position, size)
            return whole.toreadonly()

    source = Aligned(io.BytesIO(CONTENT))
    for view, position in zip(fetch(source, [(70, 8), (128, 64), (200, 8)]), (70, 128, 200), strict=True):
        assert np.frombuffer(view, np.uint8).ctypes.data % 64 == position % 64
