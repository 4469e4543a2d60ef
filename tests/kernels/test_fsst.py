"""FSST kernels, native and reference: the specification's vector, round trips, corrupt tables and streams."""

from __future__ import annotations

import importlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.errors import FormatError
from lancelet.kernels import reference

TABLE_BYTES = 2312

#: compressors.md 4.2: symbols "ab" and "the ".
VECTOR_TABLE = bytes.fromhex("0200000154535346 6162000000000000 7468652000000000 0204").ljust(
    TABLE_BYTES, b"\0"
)
SWITCHED_OFF = VECTOR_TABLE[:3] + b"\0" + VECTOR_TABLE[4:]
VECTOR_STREAM = bytes.fromhex("0100ff7a00")
VECTOR_VALUE = b"the abzab"


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request):
    return pytest.importorskip(request.param)


def join(values, bits, first=0):
    """Return data and offsets, with `first` bytes of something else in front."""
    offsets = np.cumsum([first, *map(len, values)]).astype(f"<u{bits // 8}")
    data = np.frombuffer(b"?" * first + b"".join(values), dtype=np.uint8).copy()
    return data, offsets


def split(data, offsets):
    return [bytes(data[int(a) : int(b)]) for a, b in pairwise(offsets)]


def train(kernels, values, bits=32, first=0):
    table = np.full(TABLE_BYTES, 7, dtype=np.uint8)
    num_symbols = kernels.fsst_train(*join(values, bits, first), bits, table)
    assert num_symbols == table[0]
    return table


def encode(kernels, table, values, bits=32, first=0):
    data, offsets = join(values, bits, first)
    out_offsets = np.empty_like(offsets)
    out = np.empty(2 * (len(data) - first), dtype=np.uint8)
    total = kernels.fsst_encode(table, data, offsets, bits, out_offsets, out)
    assert out_offsets[0] == 0
    assert out_offsets[-1] == total
    return split(out, out_offsets)


def decode(kernels, table, values, bits=32, first=0):
    data, offsets = join(values, bits, first)
    out_offsets = np.empty_like(offsets)
    out = np.empty(kernels.fsst_decode_offsets(table, data, offsets, bits, out_offsets), dtype=np.uint8)
    kernels.fsst_decode(table, data, offsets, bits, out)
    if table[3]:
        check_one_pass(kernels, table, data, offsets, bits, out_offsets, out)
    return split(out, out_offsets)


def check_one_pass(kernels, table, data, offsets, bits, out_offsets, out):
    for spare in (0, 1, 31, 32, 100):
        same_offsets, same = np.full_like(offsets, 7), np.empty(len(out) + spare, dtype=np.uint8)
        size, is_ascii = kernels.fsst_decode_values(table, data, offsets, bits, same_offsets, same)
        assert size == len(out)
        assert not is_ascii or bytes(out).isascii()
        assert (same_offsets == out_offsets).all()
        assert (same[: len(out)] == out).all()
    for missing in {1, len(out) // 2, len(out)} - {0}:
        if missing <= len(out):
            small = np.empty(len(out) - missing, dtype=np.uint8)
            size, _ = kernels.fsst_decode_values(table, data, offsets, bits, np.empty_like(offsets), small)
            assert size == -1


def text(num_values, seed):
    rng = np.random.default_rng(seed)
    words = [rng.bytes(int(n)).hex().encode() for n in rng.integers(1, 5, 200)]
    return [b" ".join(words[i] for i in rng.zipf(1.5, int(n)) % 200) for n in rng.integers(0, 9, num_values)]


VALUES = {
    "no values": [],
    "one empty": [b""],
    "empties": [b""] * 100,
    "one byte": [b"x"],
    "all bytes": [bytes(range(256)), bytes(range(255, -1, -1))] * 20,
    "zeros": [b"\0" * n for n in range(40)],
    "escapes": [b"\xff" * n for n in range(40)],
    "runs": [b"abcdefgh" * n for n in range(40)],
    "short": [bytes([97 + i % 26]) * (i % 3) for i in range(500)],
    "text": text(3000, 1),
    "random": [np.random.default_rng(i).bytes(37) for i in range(800)],
}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", VALUES)
def test_round_trip(kernels, name, bits):
    values = VALUES[name]
    table = train(kernels, values, bits, first=3)
    compressed = encode(kernels, table, values, bits, first=5)
    assert decode(kernels, table, compressed, bits, first=11) == values


@pytest.mark.parametrize("name", VALUES)
def test_native_and_reference_give_the_same_bytes(name):
    native = pytest.importorskip("lancelet._native")
    values = VALUES[name]
    table = train(native, values)
    assert bytes(table) == bytes(train(reference, values))
    assert encode(native, table, values) == encode(reference, table, values)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(max_size=30) | st.text(alphabet="abcd \0", max_size=40).map(str.encode), max_size=40)
)
def test_any_values(values):
    native = importlib.import_module("lancelet._native")
    table = train(native, values)
    assert bytes(table) == bytes(train(reference, values))
    compressed = encode(native, table, values)
    assert compressed == encode(reference, table, values)
    assert decode(native, table, compressed) == decode(reference, table, compressed) == values


def test_vector(kernels):
    assert decode(kernels, VECTOR_TABLE, [VECTOR_STREAM, b"", b"\x01"]) == [VECTOR_VALUE, b"", b"the "]
    assert encode(kernels, VECTOR_TABLE, [VECTOR_VALUE]) == [VECTOR_STREAM]


def test_the_longest_symbol_wins(kernels):
    symbols = [b"a", b"ab", b"abcd", b"abc", b"abcdefgh", b"ab"]
    table = bytes([len(symbols), 0, 0, 1]) + b"TSSF" + b"".join(s.ljust(8, b"\0") for s in symbols)
    table = (table + bytes(map(len, symbols))).ljust(TABLE_BYTES, b"\0")
    assert encode(kernels, table, [b"abcdefghabcdefgabcaba", b"abcdefg", b"abc", b"ab", b"a"]) == [
        b"\x04\x02\xffe\xfff\xffg\x03\x01\x00",
        b"\x02\xffe\xfff\xffg",
        b"\x03",
        b"\x01",
        b"\x00",
    ]


def test_symbols_never_reach_past_a_value(kernels):
    table = bytes([1, 0, 0, 1]) + b"TSSF" + b"a\0\0\0\0\0\0\0" + b"\x04"
    assert encode(kernels, table.ljust(TABLE_BYTES, b"\0"), [b"a", b"\0\0\0", b"a\0\0\0"]) == [
        b"\xffa",
        b"\xff\0\xff\0\xff\0",
        b"\0",
    ]


def test_training_learns(kernels):
    values = [b"http://www.example.org/page/%d" % (i * 7919 % 10000) for i in range(2000)]
    table = train(kernels, values)
    compressed = encode(kernels, table, values)
    assert sum(map(len, compressed)) * 3 < sum(map(len, values))
    num_symbols = int(table[0])
    symbols = [bytes(table[8 + 8 * i : 16 + 8 * i]) for i in range(num_symbols)]
    lengths = [int(n) for n in table[8 + 8 * num_symbols : 8 + 9 * num_symbols]]
    assert bytes(table[2:8]) == b"\0\x01TSSF"
    assert not table[8 + 9 * num_symbols :].any()
    assert all(not any(symbol[n:]) for symbol, n in zip(symbols, lengths, strict=True))
    assert sorted(lengths, key=lambda n: (n == 1, n)) == lengths
    assert not any(int(table[1]) in symbol[:n] for symbol, n in zip(symbols, lengths, strict=True) if n > 1)


def test_training_does_not_depend_on_what_surrounds_the_values(kernels):
    values = text(2000, 3)
    assert bytes(train(kernels, values, 32)) == bytes(train(kernels, values, 64, first=1000))


def test_a_table_of_nothing_is_switched_off(kernels):
    assert bytes(train(kernels, [b"", b""])) == b"\0\0\0\0TSSF".ljust(TABLE_BYTES, b"\0")


def test_switched_off_tables_copy(kernels):
    table = b"\x09\0\0\0TSSF".ljust(TABLE_BYTES, b"\0")
    values = [b"", b"\xff", b"as it is"]
    assert encode(kernels, table, values, first=2) == values
    assert decode(kernels, table, values, first=2) == values


def test_one_large_value():
    native = pytest.importorskip("lancelet._native")
    value = b"0123456789 the quick brown fox " * (40_000_000 // 31)
    table = train(native, [value])
    compressed = encode(native, table, [value])
    assert len(compressed[0]) * 5 < len(value)
    assert decode(native, table, compressed) == [value]


def corrupt(position, byte):
    table = bytearray(VECTOR_TABLE)
    table[position] = byte
    return bytes(table)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(corrupt(4, 0), id="magic"),
        pytest.param(corrupt(7, 0x52), id="end of magic"),
        pytest.param(corrupt(3, 2), id="switch"),
        pytest.param(corrupt(24, 0), id="length 0"),
        pytest.param(corrupt(25, 9), id="length 9"),
        pytest.param(corrupt(0, 3), id="length missing"),
        pytest.param(corrupt(0, 255), id="many lengths missing"),
    ],
)
def test_corrupt_tables(kernels, table):
    data, offsets = join([b"\x00"], 32)
    out_offsets, out = np.empty_like(offsets), np.empty(2, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.fsst_decode_offsets(table, data, offsets, 32, out_offsets)
    with pytest.raises(FormatError):
        kernels.fsst_decode(table, data, offsets, 32, out)
    with pytest.raises(FormatError):
        kernels.fsst_decode_values(table, data, offsets, 32, out_offsets, out)
    with pytest.raises(FormatError):
        kernels.fsst_encode(table, data, offsets, 32, out_offsets, out)


@pytest.mark.parametrize("padding", [0, 3, 4, 7, 8, 40])
@pytest.mark.parametrize("stream", [b"\x02", b"\xfe", b"\xff", b"\x01\xff", b"\xff\xff\xff"])
def test_corrupt_streams(kernels, stream, padding):
    data, offsets = join([b"\x00" * padding + stream], 32)
    with pytest.raises(FormatError):
        kernels.fsst_decode_offsets(VECTOR_TABLE, data, offsets, 32, np.empty_like(offsets))
    with pytest.raises(FormatError):
        kernels.fsst_decode(VECTOR_TABLE, data, offsets, 32, np.empty(1000, dtype=np.uint8))
    out_offsets, out = np.empty_like(offsets), np.empty(1000, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.fsst_decode_values(VECTOR_TABLE, data, offsets, 32, out_offsets, out)


def test_an_escape_does_not_cross_values(kernels):
    data, offsets = join([b"\x00\xff", b"\x00"], 32)
    with pytest.raises(FormatError):
        kernels.fsst_decode_offsets(VECTOR_TABLE, data, offsets, 32, np.empty_like(offsets))
    out_offsets, out = np.empty_like(offsets), np.empty(100, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.fsst_decode_values(VECTOR_TABLE, data, offsets, 32, out_offsets, out)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("numbers", [[0, 3, 2], [0, 1, 6], [7, 7], [2, 1]])
def test_corrupt_offsets(kernels, numbers, bits):
    data, offsets = np.zeros(5, dtype=np.uint8), np.array(numbers, dtype=f"<u{bits // 8}")
    out_offsets, out = np.empty_like(offsets), np.empty(100, dtype=np.uint8)
    with pytest.raises(FormatError):
        kernels.fsst_train(data, offsets, bits, np.empty(TABLE_BYTES, dtype=np.uint8))
    with pytest.raises(FormatError):
        kernels.fsst_encode(VECTOR_TABLE, data, offsets, bits, out_offsets, out)
    with pytest.raises(FormatError):
        kernels.fsst_decode_offsets(VECTOR_TABLE, data, offsets, bits, out_offsets)
    with pytest.raises(FormatError):
        kernels.fsst_decode(VECTOR_TABLE, data, offsets, bits, out)
    with pytest.raises(FormatError):
        kernels.fsst_decode_values(VECTOR_TABLE, data, offsets, bits, out_offsets, out)


def test_totals_that_32_bit_offsets_cannot_count():
    native = pytest.importorskip("lancelet._native")
    table = bytes([1, 0, 0, 1]) + b"TSSF" + b"abcdefgh" + b"\x08"
    table = table.ljust(TABLE_BYTES, b"\0")
    data = np.zeros(2**28, dtype=np.uint8)
    offsets = np.array([0, len(data)], dtype=np.uint32)
    with pytest.raises(FormatError):
        native.fsst_decode_offsets(table, data, offsets, 32, np.empty_like(offsets))
    wide = offsets.astype(np.uint64)
    assert native.fsst_decode_offsets(table, data, wide, 64, np.empty_like(wide)) == 2**31
    offsets[1] -= 1
    assert native.fsst_decode_offsets(table, data, offsets, 32, np.empty_like(offsets)) == 2**31 - 8


@pytest.mark.parametrize("size", [0, 8, 10, 33])
def test_out_of_another_size(kernels, size):
    data, offsets = join([VECTOR_STREAM], 32)
    with pytest.raises(ValueError):
        kernels.fsst_decode(VECTOR_TABLE, data, offsets, 32, np.empty(size, dtype=np.uint8))


def test_broken_contracts(kernels):
    data, offsets = join([b"abcd"], 32)
    out_offsets, out = np.empty_like(offsets), np.empty(8, dtype=np.uint8)
    table = np.empty(TABLE_BYTES, dtype=np.uint8)
    calls = [
        lambda: kernels.fsst_train(data, offsets, 16, table),
        lambda: kernels.fsst_train(data, offsets, 32, table[1:]),
        lambda: kernels.fsst_train(data, b"", 32, table),
        lambda: kernels.fsst_train(data, b"\0" * 7, 32, table),
        lambda: kernels.fsst_encode(VECTOR_TABLE[1:], data, offsets, 32, out_offsets, out),
        lambda: kernels.fsst_encode(VECTOR_TABLE, data, offsets, 32, out_offsets, out[1:]),
        lambda: kernels.fsst_encode(VECTOR_TABLE, data, offsets, 32, out_offsets[1:], out),
        lambda: kernels.fsst_decode_offsets(VECTOR_TABLE, data, offsets, 32, out_offsets[1:]),
        lambda: kernels.fsst_decode_offsets(VECTOR_TABLE[1:], data, offsets, 32, out_offsets),
        lambda: kernels.fsst_decode_values(VECTOR_TABLE, data, offsets, 32, out_offsets[1:], out),
        lambda: kernels.fsst_decode_values(VECTOR_TABLE[1:], data, offsets, 32, out_offsets, out),
        lambda: kernels.fsst_decode_values(SWITCHED_OFF, data, offsets, 32, out_offsets, out),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_mutated_streams_agree():
    native = pytest.importorskip("lancelet._native")
    rng = np.random.default_rng(11)
    values = text(60, 4)
    table = train(native, values)
    data, offsets = join(encode(native, table, values), 32)
    for _ in range(300):
        bad_table, bad_data, bad_offsets = bytearray(table), data.copy(), offsets.copy()
        for _ in range(int(rng.integers(1, 4))):
            target = (bad_table, bad_data, bad_offsets.view(np.uint8))[int(rng.integers(3))]
            target[int(rng.integers(len(target)))] = int(rng.integers(256))
        results = []
        for module in (native, reference):
            out_offsets = np.empty_like(bad_offsets)
            try:
                total = module.fsst_decode_offsets(bytes(bad_table), bad_data, bad_offsets, 32, out_offsets)
                out = np.empty(total, dtype=np.uint8)
                module.fsst_decode(bytes(bad_table), bad_data, bad_offsets, 32, out)
                results.append(bytes(out_offsets) + bytes(out))
            except FormatError as error:
                results.append(str(error))
        assert results[0] == results[1]


@pytest.mark.parametrize(
    ("values", "is_ascii"),
    [([b"abab", b"the "], True), ([b"a\xc3\xa4b"], False), ([b"z", b"\x7f"], True), ([b"\x80"], False)],
)
def test_one_pass_knows_ascii(kernels, values, is_ascii):
    data, offsets = join(encode(kernels, VECTOR_TABLE, values), 32)
    out = np.empty(64, dtype=np.uint8)
    _, found = kernels.fsst_decode_values(VECTOR_TABLE, data, offsets, 32, np.empty_like(offsets), out)
    assert found == is_ascii


def test_symbols_beyond_ascii_leave_it_open(kernels):
    table = VECTOR_TABLE.replace(b"ab", b"\xc3\xa4", 1)
    data, offsets = join(encode(kernels, table, [b"the "]), 32)
    out = np.empty(64, dtype=np.uint8)
    assert kernels.fsst_decode_values(table, data, offsets, 32, np.empty_like(offsets), out) == (4, False)
