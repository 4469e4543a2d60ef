"""Roaring bitmaps, held against an independent implementation."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from lancelet.errors import FormatError
from lancelet.table.formats.bitmap import NumberSet, count_numbers, decode_bitmap, encode_bitmap


def array(values) -> np.ndarray:
    return np.array(sorted(set(values)), np.uint32)


CASES = {
    "empty": [],
    "zero": [0],
    "last": [(1 << 32) - 1],
    "sparse": range(0, 1 << 20, 1000),
    "dense": range(100_000),
    "array at its limit": range(0, 8192, 2),
    "bit set from its limit on": range(0, 8194, 2),
    "full container": range(1 << 16),
    "mixed": [*range(5), *range(70_000, 140_000, 3), *range(1 << 31, (1 << 31) + 70_000)],
    "many keys": range(0, 1 << 32, 1 << 16),
}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("with_runs", [False, True])
def test_both_ways(values, with_runs):
    numbers = array(values)
    encoded = encode_bitmap(numbers)
    theirs = BitMap(numbers, optimize=False)
    assert BitMap.deserialize(encoded) == theirs
    assert encoded == theirs.serialize()
    if with_runs:
        theirs.run_optimize()
    data = theirs.serialize()
    decoded = decode_bitmap(data)
    assert decoded.dtype == np.uint32
    assert np.array_equal(decoded, numbers)
    assert count_numbers(data) == len(numbers)
    kept = NumberSet(data)
    assert list(kept) == numbers.tolist()
    assert (len(kept), kept.highest) == (len(numbers), max(numbers.tolist(), default=-1))


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5, 9])
def test_runs_with_and_without_positions(num):
    """Positions of containers stand behind the cookie with runs only from four containers on."""
    numbers = array(key << 16 | low for key in range(num) for low in range(key + 1, 60_000, 1 + key % 2))
    theirs = BitMap(numbers, optimize=False)
    assert theirs.run_optimize()
    assert np.array_equal(decode_bitmap(theirs.serialize()), numbers)


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(1, 9000)), max_size=6), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_any_bitmap(runs, with_runs):
    numbers = array(
        value for start, length in runs for value in range(start, min(start + length, 1 << 32), 1 + start % 3)
    )
    theirs = BitMap(numbers, optimize=False)
    if with_runs:
        theirs.run_optimize()
    assert np.array_equal(decode_bitmap(theirs.serialize()), numbers)
    assert encode_bitmap(decode_bitmap(encode_bitmap(numbers))) == BitMap(numbers, optimize=False).serialize()


def test_what_is_given_may_be_any_bytes():
    encoded = encode_bitmap(array(range(10)))
    for data in (encoded, bytearray(encoded), memoryview(encoded)):
        assert decode_bitmap(data).tolist() == list(range(10))


def mixed(with_runs: bool) -> bytes:
    values = [*range(0, 40, 3), *range(1 << 16, (1 << 16) + 9000, 2), *range(1 << 20, (1 << 20) + 50)]
    bitmap = BitMap(values, optimize=False)
    if with_runs:
        bitmap.run_optimize()
    return bitmap.serialize()


@pytest.mark.parametrize("with_runs", [False, True])
def test_cut_or_extended(with_runs):
    data = mixed(with_runs)
    for size in [*range(200), *range(200, len(data), 97), len(data) - 1]:
        with pytest.raises(FormatError):
            decode_bitmap(data[:size])
    with pytest.raises(FormatError, match="end at"):
        decode_bitmap(data + b"\0")


@pytest.mark.parametrize("with_runs", [False, True])
def test_flipped_bits_end_in_an_error_or_in_ascending_numbers(with_runs):
    data = mixed(with_runs)
    refused = 0
    for position in [*range(120), *range(120, len(data), 53)]:
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                found = decode_bitmap(bytes(damaged))
            except FormatError:
                refused += 1
                with pytest.raises(FormatError):
                    NumberSet(bytes(damaged))
            else:
                assert (np.diff(found.astype(np.int64)) > 0).all()
    assert refused > 300


def plain(keys_and_counts, *containers: bytes) -> bytes:
    header = struct.pack("<II", 12346, len(keys_and_counts))
    header += b"".join(struct.pack("<HH", key, count - 1) for key, count in keys_and_counts)
    return header + bytes(4 * len(keys_and_counts)) + b"".join(containers)


def runs(*pairs, count) -> bytes:
    body = b"".join(struct.pack("<HH", start, length - 1) for start, length in pairs)
    return struct.pack("<IBHH", 12347, 1, 0, count - 1) + struct.pack("<H", len(pairs)) + body


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "ends within"),
        (struct.pack("<I", 12345), "no kind"),
        (struct.pack("<II", 12346, 1 << 31), "containers"),
        (plain([(1, 1), (1, 1)], b"\0\0\0\0"), "keys"),
        (plain([(2, 1), (1, 1)], b"\0\0\0\0"), "keys"),
        (plain([(0, 2)], b"\1\0\1\0"), "do not ascend"),
        (plain([(0, 2)], b"\2\0\1\0"), "do not ascend"),
        (plain([(0, 5000)], bytes(8192)), "in place of"),
        (runs((5, 3), (7, 2), count=5), "overlap"),
        (runs((5, 3), (1, 2), count=5), "overlap"),
        (runs((65535, 2), count=2), "overlap"),
        (runs((5, 3), count=4), "in place of"),
        (struct.pack("<IBHHH", 12347, 1, 0, 0, 0), "in place of"),
    ],
)
def test_rules_that_are_broken(data, match):
    for read in (decode_bitmap, NumberSet):
        with pytest.raises(FormatError, match=match):
            read(data)


def test_runs_that_touch_are_legal():
    assert decode_bitmap(runs((5, 3), (8, 2), count=5)).tolist() == [5, 6, 7, 8, 9]


def test_more_numbers_than_possible_are_refused_before_they_are_made():
    full = b"".join(struct.pack("<HHH", 1, 0, 65535) for _ in range(1 << 16))
    header = b"".join(struct.pack("<HH", key, 65535) for key in range(1 << 16))
    data = struct.pack("<I", 12347 | 65535 << 16) + b"\xff" * 8192 + header + bytes(4 << 16) + full
    with pytest.raises(FormatError, match="4294967296 numbers"):
        decode_bitmap(data)
    with pytest.raises(FormatError, match="more than the 9"):
        decode_bitmap(encode_bitmap(array(range(10))), limit=9)


def full_bitmap(num_containers: int) -> bytes:
    """All numbers of the first containers, as runs."""
    header = b"".join(struct.pack("<HH", key, 65535) for key in range(num_containers))
    flags = b"\xff" * ((num_containers + 7) // 8)
    body = struct.pack("<HHH", 1, 0, 65535) * num_containers
    return (
        struct.pack("<I", 12347 | (num_containers - 1) << 16)
        + flags
        + header
        + bytes(4 * num_containers)
        + body
    )


def test_a_set_of_all_numbers_takes_little_memory():
    data = full_bitmap(1 << 16)
    tracemalloc.start()
    try:
        kept = NumberSet(data)
        assert tracemalloc.get_traced_memory()[1] < 40 * len(data)
    finally:
        tracemalloc.stop()
    assert (len(kept), kept.highest) == (1 << 32, (1 << 32) - 1)
    assert {5, (1 << 32) - 1} <= kept
    assert (1 << 32) not in kept
    assert -1 not in kept
    assert {5, 1 << 32} & kept == {5}
    assert not kept.isdisjoint({7})


def test_a_set_goes_with_other_sets():
    kept = NumberSet(encode_bitmap(array([1, 2, 3, 70_000])))
    assert kept == {1, 2, 3, 70_000}
    assert kept & {3, 4} == {3, 4} & kept == {3}
    assert kept - {1, 2} == {3, 70_000}
    assert kept.isdisjoint({0, 4, 69_999, 70_001})
    assert "1" not in kept
    assert not NumberSet(encode_bitmap(array([])))
