"""Distinct values and gathers, native and reference."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.errors import FormatError
from lancelet.kernels import reference


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


def join(values, bits, first=0):
    offsets = np.cumsum([first, *map(len, values)]).astype(f"<u{bits // 8}")
    return np.frombuffer(b"?" * first + b"".join(values), dtype=np.uint8).copy(), offsets


def unique_fixed(kernels, data, value_bytes, max_entries):
    indices = np.empty(len(bytes(data)) // value_bytes, dtype=np.uint32)
    first = np.empty(max_entries, dtype=np.int64)
    num = kernels.unique_fixed(data, value_bytes, max_entries, indices, first)
    return num, None if num < 0 else (indices.tolist(), first[:num].tolist())


def unique_variable(kernels, values, bits, max_entries, max_bytes=2**40, first_offset=0):
    indices = np.empty(len(values), dtype=np.uint32)
    first = np.empty(max_entries, dtype=np.int64)
    data, offsets = join(values, bits, first_offset)
    num = kernels.unique_variable(data, offsets, bits, max_entries, max_bytes, indices, first)
    return num, None if num < 0 else (indices.tolist(), first[:num].tolist())


def expected(values):
    numbers = {}
    indices = [numbers.setdefault(value, len(numbers)) for value in values]
    return len(numbers), (indices, [values.index(value) for value in numbers])


@pytest.mark.parametrize("value_bytes", [4, 8, 16])
def test_order_of_first_occurrence(kernels, value_bytes):
    values = [number.to_bytes(value_bytes, "little") for number in (7, 0, 7, 9, 0, 1 << 31, 9, 7)]
    assert unique_fixed(kernels, b"".join(values), value_bytes, 4) == expected(values)
    assert unique_fixed(kernels, b"".join(values), value_bytes, 3) == (-1, None)
    assert unique_fixed(kernels, b"".join(values), value_bytes, 0) == (-1, None)
    assert unique_fixed(kernels, b"", value_bytes, 0) == (0, ([], []))


def test_bit_patterns_are_compared(kernels):
    values = np.array([0.0, -0.0, np.nan, np.nan, 0.0])
    values.view(np.uint64)[3] += 1
    assert unique_fixed(kernels, values, 8, 5) == (4, ([0, 1, 2, 3, 0], [0, 1, 2, 3]))


def test_both_halves_of_wide_values_count(kernels):
    values = np.array([1, 2, 2, 1, 1, 3, 3, 1, 1, 2], dtype=np.uint64)
    assert unique_fixed(kernels, values, 16, 9) == (4, ([0, 1, 2, 3, 0], [0, 1, 2, 3]))


@pytest.mark.parametrize("bits", [32, 64])
def test_variable(kernels, bits):
    values = [b"b", b"", b"a", b"b", b"", b"ab", b"a\0", b"a", b"longer than eight", b"longer than eighT"]
    values += [bytes([i]) * n for n in range(20) for i in (0, 1, 0)]
    num, found = expected(values)
    num_bytes = sum(map(len, set(values)))
    assert unique_variable(kernels, values, bits, num, num_bytes, 13) == (num, found)
    assert unique_variable(kernels, values, bits, num - 1, num_bytes) == (-1, None)
    assert unique_variable(kernels, values, bits, num, num_bytes - 1) == (-1, None)
    assert unique_variable(kernels, [], bits, 0, 0) == (0, ([], []))
    assert unique_variable(kernels, [b""] * 3, bits, 1, 0) == (1, ([0, 0, 0], [0]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=60), st.integers(0, 40), st.integers(0, 200))
def test_any_values(values, max_entries, max_bytes):
    native = pytest.importorskip("lancelet._native")
    results = [unique_variable(module, values, 32, max_entries, max_bytes) for module in (native, reference)]
    assert results[0] == results[1]


@pytest.mark.parametrize("value_bytes", [4, 8, 16])
@pytest.mark.parametrize("num_distinct", [1, 600, 20_000])
def test_many_values_grow_the_table(value_bytes, num_distinct):
    native = pytest.importorskip("lancelet._native")
    rng = np.random.default_rng(num_distinct)
    pool = rng.integers(0, 256, (num_distinct, value_bytes), dtype=np.uint8)
    data = pool[rng.integers(0, num_distinct, 60_000)].reshape(-1)
    assert unique_fixed(native, data, value_bytes, 20_000) == unique_fixed(
        reference, data, value_bytes, 20_000
    )
    values = [bytes(row) for row in data.reshape(-1, value_bytes)]
    assert unique_variable(native, values, 32, 20_000) == unique_fixed(reference, data, value_bytes, 20_000)


@pytest.mark.parametrize("step", [1 << 20, 1 << 32, 1 << 44, (1 << 54) + (1 << 10)])
def test_regular_values_do_not_collide(step):
    """Values that differ in high bits only must cost what consecutive ones cost, not a search through all others."""
    native = pytest.importorskip("lancelet._native")

    def seconds(values):
        start = time.perf_counter()
        num, _ = unique_fixed(native, values, 8, len(values))
        assert num == len(values)
        return time.perf_counter() - start

    numbers = np.arange(100_000, dtype=np.uint64)
    consecutive = min(seconds(numbers) for _ in range(3))
    assert min(seconds(numbers * np.uint64(step)) for _ in range(3)) < 20 * consecutive + 0.1


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("numbers", [[0, 3, 2], [0, 6], [2, 1]])
def test_corrupt_offsets(kernels, numbers, bits):
    data, offsets = np.zeros(5, dtype=np.uint8), np.array(numbers, dtype=f"<u{bits // 8}")
    indices, first = np.empty(len(numbers) - 1, dtype=np.uint32), np.empty(4, dtype=np.int64)
    with pytest.raises(FormatError):
        kernels.unique_variable(data, offsets, bits, 4, 100, indices, first)
    lookup = (offsets, bits, np.zeros(1, dtype=np.uint8), 8, b"")
    out_offsets, out = np.zeros(2, dtype=offsets.dtype), np.empty(0, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.gather_variable(data, *lookup, out_offsets, out)


def test_descending_offsets_have_no_lengths(kernels):
    offsets = np.array([0, 3, 2], dtype=np.uint64)
    with pytest.raises(FormatError):
        kernels.gather_variable_offsets(offsets, 64, b"\0", 8, b"", np.empty(2, dtype=np.uint64))


def test_broken_contracts(kernels):
    indices, first = np.empty(2, dtype=np.uint32), np.empty(2, dtype=np.int64)
    offsets, two = np.zeros(3, dtype=np.uint32), b"\0" * 16
    out_offsets, out = np.zeros(3, dtype=np.uint32), np.empty(16, dtype=np.uint8)
    calls = [
        lambda: kernels.unique_fixed(two, 5, 2, indices, first),
        lambda: kernels.unique_fixed(two[1:], 8, 2, indices, first),
        lambda: kernels.unique_fixed(two, 8, 2, indices[1:], first),
        lambda: kernels.unique_fixed(two, 8, 2, indices, first[1:]),
        lambda: kernels.unique_fixed(two, 8, -1, indices, first[:0]),
        lambda: kernels.unique_variable(b"", offsets, 32, 2, -1, indices, first),
        lambda: kernels.unique_variable(b"", offsets, 8, 2, 1, indices, first),
        lambda: kernels.gather_fixed(two, 8, b"\0\0", 24, b"", out),
        lambda: kernels.gather_fixed(two, 0, b"\0\0", 8, b"", out),
        lambda: kernels.gather_fixed(two, 8, b"\0\0", 8, b"", out[1:]),
        lambda: kernels.gather_fixed(two, 7, b"\0\0", 8, b"", out[2:]),
        lambda: kernels.gather_fixed(two, 8, b"\0\0\0", 16, b"", out),
        lambda: kernels.gather_fixed(two, 1, b"\0" * 9, 8, b"\0", out[:9]),
        lambda: kernels.gather_variable_offsets(offsets, 32, b"\0\0", 8, b"", out_offsets[1:]),
        lambda: kernels.gather_variable(b"", offsets, 32, b"\0\0", 8, b"", out_offsets, out),
        lambda: kernels.gather_variable(b"", offsets, 32, b"\0\0", 8, b"", out_offsets[1:], out[:0]),
        lambda: kernels.gather_variable(b"", offsets, 32, b"\0\0", 8, b"", out_offsets + 1, out[:0]),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def bitmap(valid):
    return np.packbits(valid, bitorder="little")


@pytest.mark.parametrize("index_bits", [8, 16, 32, 64])
@pytest.mark.parametrize("value_bytes", [1, 2, 3, 4, 8, 16, 24])
def test_gather_fixed(kernels, value_bytes, index_bits):
    rng = np.random.default_rng(value_bytes)
    items = rng.integers(0, 256, (40, value_bytes), dtype=np.uint8)
    indices = rng.integers(0, 40, 101).astype(f"<u{index_bits // 8}")
    out = np.empty((101, value_bytes), dtype=np.uint8)
    kernels.gather_fixed(items, value_bytes, indices, index_bits, b"", out)
    assert (out == items[indices.astype(int)]).all()
    valid = rng.integers(0, 2, 101).astype(bool)
    indices[~valid] = 255
    kernels.gather_fixed(items, value_bytes, indices, index_bits, bitmap(valid), out)
    assert (out[valid] == items[indices[valid].astype(int)]).all()
    assert not out[~valid].any()


def gather_variable(kernels, values, bits, indices, index_bits, validity=b"", first=0):
    data, offsets = join(values, bits, first)
    indices = np.array(indices, dtype=f"<u{index_bits // 8}")
    out_offsets = np.empty(len(indices) + 1, dtype=offsets.dtype)
    lookup = (offsets, bits, indices, index_bits, validity)
    out = np.empty(kernels.gather_variable_offsets(*lookup, out_offsets), dtype=np.uint8)
    kernels.gather_variable(data, *lookup, out_offsets, out)
    return [bytes(out[int(a) : int(b)]) for a, b in pairwise(out_offsets)]


@pytest.mark.parametrize("index_bits", [8, 16, 32, 64])
@pytest.mark.parametrize("bits", [32, 64])
def test_gather_variable(kernels, bits, index_bits):
    rng = np.random.default_rng(bits)
    items = [rng.bytes(n) for n in (0, 3, 15, 16, 17, 40, 0, 1)]
    indices = rng.integers(0, 8, 77)
    assert gather_variable(kernels, items, bits, indices, index_bits, first=9) == [items[i] for i in indices]
    valid = rng.integers(0, 2, 77).astype(bool)
    indices[~valid] = 200
    found = gather_variable(kernels, items, bits, indices, index_bits, bitmap(valid))
    assert found == [items[i] if ok else b"" for i, ok in zip(indices, valid, strict=True)]


@pytest.mark.parametrize("index_bits", [8, 16, 32, 64])
@pytest.mark.parametrize("index", [3, -1])
def test_indices_outside_of_the_dictionary(kernels, index, index_bits):
    indices = np.array([0, index, 2]).astype(f"<u{index_bits // 8}")
    for validity in (b"", b"\x07", b"\x02"):
        with pytest.raises(FormatError):
            kernels.gather_fixed(b"abc", 1, indices, index_bits, validity, np.empty(3, dtype=np.uint8))
        with pytest.raises(FormatError):
            gather_variable(kernels, [b"a", b"b", b"c"], 32, indices, index_bits, validity)
    assert gather_variable(kernels, [b"a", b"b", b"c"], 32, indices, index_bits, b"\x05") == [b"a", b"", b"c"]


def test_empty_dictionaries(kernels):
    out = np.full(3, 9, dtype=np.uint8)
    kernels.gather_fixed(b"", 1, b"\0\xff\0", 8, b"\0", out)
    assert not out.any()
    assert gather_variable(kernels, [], 32, [0, 255, 7], 8, b"\0") == [b""] * 3
    assert gather_variable(kernels, [], 64, [], 8) == []
    with pytest.raises(FormatError):
        kernels.gather_fixed(b"", 1, b"\0\xff\0", 8, b"\x01", out)
    with pytest.raises(FormatError):
        gather_variable(kernels, [], 32, [0], 8, b"\x01")


def test_totals_that_32_bit_offsets_cannot_count(kernels):
    offsets = np.array([0, 2**30], dtype=np.uint32)
    out_offsets = np.empty(3, dtype=np.uint32)
    with pytest.raises(FormatError):
        kernels.gather_variable_offsets(offsets, 32, b"\0\0", 8, b"", out_offsets)
    wide = np.empty(3, dtype=np.uint64)
    assert kernels.gather_variable_offsets(offsets.astype(np.uint64), 64, b"\0\0", 8, b"", wide) == 2**31


def test_totals_that_64_bit_offsets_cannot_count(kernels):
    offsets = np.array([0, 2**62], dtype=np.uint64)
    with pytest.raises(FormatError):
        kernels.gather_variable_offsets(offsets, 64, b"\0" * 5, 8, b"", np.empty(6, dtype=np.uint64))
    too_far = offsets * np.uint64(3)
    with pytest.raises(FormatError):
        kernels.gather_variable_offsets(too_far, 64, b"\0", 8, b"", np.empty(2, dtype=np.uint64))
