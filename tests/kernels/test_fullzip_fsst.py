"""FSST values decompressed in the records of full-zip pages: the same as in two steps, whatever the records are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

if TYPE_CHECKING:
    from types import ModuleType

NONE = np.zeros(0, np.uint16)
#: compressors.md 4.2: symbols "ab" and "the ".
TABLE = bytes.fromhex("0200000154535346 6162000000000000 7468652000000000 0204").ljust(2312, b"\0")
#: list<string> [["ab", null], null, [], ["x", ""]] of structural.md 9.2, compressed with it: code 0, and escape "x".
RECORDS = bytes.fromhex("040100000000 01 06 07 0402000000ff78 0000000000")
ROWS = np.array([0, 7, 8, 9], np.int64)
FORM = (1, 2, 1, 3, 1, 0, 4)


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param, reason="the kernels were not compiled")
    return import_module(request.param)


def u16(size: int) -> Any:
    return np.full(size, 9, np.uint16)


def u8(size: int) -> Any:
    return np.zeros(size, np.uint8)


def i64(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def full_table(rng: np.random.Generator, num_symbols: int, *, is_ascii: bool) -> bytes:
    """Make a table of random symbols."""
    lengths = rng.integers(1, 9, num_symbols, dtype=np.uint8)
    symbols = rng.integers(0, 128 if is_ascii else 256, (num_symbols, 8), dtype=np.uint8)
    symbols *= np.arange(8) < lengths[:, None]
    head = bytes([num_symbols, 0, 0, 1]) + b"TSSF"
    return (head + symbols.tobytes() + lengths.tobytes()).ljust(2312, b"\0")


def random_codes(rng: np.random.Generator, num_symbols: int, size: int, escapes: float) -> bytes:
    codes = bytearray()
    for code in rng.integers(0, num_symbols, size).tolist():
        codes += bytes([255, code % 128]) if rng.random() < escapes else bytes([code])
    return bytes(codes)


def test_strings_of_the_specification(kernels: ModuleType) -> None:
    rep, def_, offsets, values = u16(6), u16(6), u8(20), u8(50)
    found = kernels.unzip_fsst([RECORDS], i64(4), ROWS, *FORM, TABLE, rep, def_, offsets, values)
    assert found == (3, True)
    assert rep.tolist() == [1, 0, 1, 1, 1, 0]
    assert def_.tolist() == [0, 1, 2, 3, 0, 0]
    assert offsets.view("<u4").tolist() == [0, 2, 2, 3, 3]
    assert values[:3].tobytes() == b"abx"


@pytest.mark.parametrize("seed", range(60))
def test_equals_two_steps(seed: int) -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    num_symbols = 255 if seed % 3 else int(rng.integers(1, 255))
    table = full_table(rng, num_symbols, is_ascii=bool(seed % 2))
    num_values, length_bytes = int(rng.integers(1, 40)), int(rng.choice((4, 8)))
    def_ = (rng.random(num_values) < 0.2).astype(np.uint16) if seed % 4 else NONE
    codes = [
        random_codes(rng, num_symbols, int(rng.integers(0, 70)), (0, 0.02, 0.5)[seed % 3])
        for _ in range(num_values)
    ]
    ends = np.cumsum([0, *map(len, codes)]).astype(f"<u{length_bytes}")
    bits_def = 1 if len(def_) else 0
    size = native.zip_variable_size(def_, 1, ends, length_bytes, bits_def, num_values)
    records, starts = u8(size), np.zeros(num_values + 1, np.int64)
    native.zip_variable(NONE, def_, 0, bits_def, 0, 1, ends, b"".join(codes), length_bytes, records, starts)
    half = num_values // 2
    parts = [records[: starts[half]], records[starts[half] :]]
    counts = i64(half, num_values - half)
    rows = starts[:-1] - np.repeat(starts[[0, half]], counts)
    arguments = (parts, counts, rows, 0, bits_def, 0, bits_def, bits_def, 0, length_bytes)
    compressed, borders = u8(native.unzip_sizes(*arguments)[2]), u8((num_values + 1) * length_bytes)
    native.unzip_rows(*arguments, NONE, NONE, borders, compressed)
    offsets = np.empty_like(borders)
    size = native.fsst_decode_offsets(table, compressed, borders, 8 * length_bytes, offsets)
    values = u8(size)
    native.fsst_decode(table, compressed, borders, 8 * length_bytes, values)
    for module in (native, reference):
        for room in (size, size + 1, size + 7, size + 100):
            levels, found_offsets, found = u16(len(def_)), np.empty_like(offsets), u8(room)
            num_bytes, is_ascii = module.unzip_fsst(*arguments, table, NONE, levels, found_offsets, found)
            assert num_bytes == size
            assert found[:size].tobytes() == values.tobytes()
            assert found_offsets.tobytes() == offsets.tobytes()
            assert levels.tolist() == def_.tolist()
            assert not is_ascii or values.tobytes().isascii()
        for room in {0, size // 2, size - 1} - {size, -1}:
            found = module.unzip_fsst(*arguments, table, NONE, NONE, np.empty_like(offsets), u8(room))
            assert found == (-1, False)


@pytest.mark.parametrize(
    ("records", "rows"),
    [
        (RECORDS[:-1], ROWS),
        (RECORDS, i64(0, 7, 7, 9)),
        (RECORDS, i64(0, 8, 7, 9)),
        (RECORDS, i64(0, 7, 8, 1 << 62)),
        (RECORDS, i64(0, -7, 8, 9)),
        (b"", i64(0)),
        (b"\x04\xff\xff\xff\xff", i64(0)),
        (b"\x04\x01\x00\x00\x00\xff", i64(0)),
        (b"\x04\x02\x00\x00\x00\x00\xff", i64(0)),
        (b"\x04\x01\x00\x00\x00\x02", i64(0)),
        (b"\x04\x09\x00\x00\x00" + b"\x00" * 8 + b"\x02", i64(0)),
        (b"\x04\x09\x00\x00\x00" + b"\x00" * 8 + b"\xff", i64(0)),
    ],
)
def test_corrupt_records(kernels: ModuleType, records: bytes, rows: Any) -> None:
    num_slots = 1 if len(rows) == 1 else 4
    with pytest.raises(FormatError):
        kernels.unzip_fsst(
            [records], i64(len(rows)), rows, *FORM, TABLE, NONE, NONE, u8(4 * num_slots + 4), u8(99)
        )


@pytest.mark.parametrize("sizes", [(5, 6, 20), (7, 6, 20), (6, 5, 20), (6, 6, 16), (6, 6, 24)])
def test_outputs_of_other_sizes(kernels: ModuleType, sizes: tuple[int, int, int]) -> None:
    rep, def_, offsets = sizes
    with pytest.raises(FormatError):
        kernels.unzip_fsst([RECORDS], i64(4), ROWS, *FORM, TABLE, u16(rep), u16(def_), u8(offsets), u8(50))


def test_corrupt_tables(kernels: ModuleType) -> None:
    for position, value in ((4, 0), (3, 2), (24, 9), (24, 0)):
        table = bytearray(TABLE)
        table[position] = value
        with pytest.raises(FormatError):
            kernels.unzip_fsst([RECORDS], i64(4), ROWS, *FORM, table, NONE, NONE, u8(20), u8(50))


def test_broken_contracts(kernels: ModuleType) -> None:
    switched_off = TABLE[:3] + b"\0" + TABLE[4:]
    one_width = (0, 0, 0, 0, 0, 4, 0)
    for form, table, offsets in (
        (FORM, TABLE[1:], u8(20)),
        (FORM, switched_off, u8(20)),
        (FORM, TABLE, u8(0)),
        (FORM, TABLE, u8(19)),
        (one_width, TABLE, u8(20)),
    ):
        with pytest.raises(ValueError):
            kernels.unzip_fsst([RECORDS], i64(4), ROWS, *form, table, NONE, NONE, offsets, u8(50))
