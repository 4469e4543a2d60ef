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
NO_ROWS = np.zeros(0, np.int64)


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param, reason="the kernels were not compiled")
    return import_module(request.param)


def u16(*levels: int) -> Any:
    return np.array(levels, np.uint16)


def i64(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def u8(size: int) -> Any:
    return np.zeros(size, np.uint8)


#: list<string> [["ab", null], null, [], ["c", ""]] of structural.md 9.2.
STRINGS = bytes.fromhex("04020000006162 01 06 07 040100000063 0000000000")
STRING_ROWS = i64(0, 8, 9, 10)
STRING_FORM = (1, 2, 1, 3, 1, 0, 4)
REP, DEF = u16(1, 0, 1, 1, 1, 0), u16(0, 1, 2, 3, 0, 0)
OFFSETS = np.array([0, 2, 2, 3, 3], "<u4")


def test_strings_of_the_specification(kernels: ModuleType) -> None:
    assert kernels.zip_variable_size(DEF, 1, OFFSETS, 4, 1, 6) == 21
    out, starts = u8(21), i64(*[7] * 5)
    kernels.zip_variable(REP, DEF, 1, 2, 1, 1, OFFSETS, b"abc", 4, out, starts)
    assert out.tobytes() == STRINGS
    assert starts.tolist() == [0, 8, 9, 10, 21]
    assert kernels.unzip_sizes([STRINGS], i64(4), STRING_ROWS, *STRING_FORM) == (6, 4, 3)
    rep, def_, offsets, values = u16(*[9] * 6), u16(*[9] * 6), u8(20), u8(3)
    kernels.unzip_rows([STRINGS], i64(4), STRING_ROWS, *STRING_FORM, rep, def_, offsets, values)
    assert (rep.tolist(), def_.tolist()) == (REP.tolist(), DEF.tolist())
    assert offsets.view("<u4").tolist() == OFFSETS.tolist()
    assert values.tobytes() == b"abc"


def test_rows_of_several_parts(kernels: ModuleType) -> None:
    parts = [STRINGS[:8], memoryview(STRINGS)[9:21]]
    arguments = (parts, i64(1, 2), i64(0, 0, 1), *STRING_FORM)
    assert kernels.unzip_sizes(*arguments) == (5, 4, 3)
    offsets, values = u8(20), u8(3)
    kernels.unzip_rows(*arguments, NONE, NONE, offsets, values)
    assert offsets.view("<u4").tolist() == [0, 2, 2, 3, 3]


def test_rows_give_way_to_their_values(kernels: ModuleType) -> None:
    """The values may go to the front of the only part."""
    records = np.frombuffer(STRINGS, np.uint8).copy()
    offsets = u8(20)
    kernels.unzip_rows([records], i64(4), STRING_ROWS, *STRING_FORM, NONE, NONE, offsets, records[:3])
    assert offsets.view("<u4").tolist() == OFFSETS.tolist()
    assert records[:3].tobytes() == b"abc"
    long = b"".join([bytes([9 * i, 0, 0, 0]) + bytes([i]) * (9 * i) for i in range(1, 9)])
    records, offsets = np.frombuffer(long, np.uint8).copy(), u8(36)
    row_offsets = i64(*[long.index(bytes([9 * i, 0, 0, 0])) for i in range(1, 9)])
    form = (0, 0, 0, 0, 0, 0, 4)
    kernels.unzip_rows([records], i64(8), row_offsets, *form, NONE, NONE, offsets, records[: 9 * 36])
    assert records[: 9 * 36].tobytes() == b"".join([bytes([i]) * (9 * i) for i in range(1, 9)])


@pytest.mark.parametrize(("bits_def", "word"), [(0, 0), (1, 1), (9, 2)])
@pytest.mark.parametrize("width", [1, 3, 40])
def test_records_give_way_to_their_values(kernels: ModuleType, bits_def: int, word: int, width: int) -> None:
    rng = np.random.default_rng(width)
    levels = rng.integers(0, 1 << bits_def, 20).astype(np.uint16) if bits_def else NONE
    values = rng.integers(0, 256, (20, width)).astype(np.uint8)
    records = u8(20 * (word + width))
    kernels.zip_fixed(NONE, levels, 0, bits_def, 0, 0xFFFF, values, width, records, NO_ROWS)
    back = np.full(len(levels), 9, np.uint16)
    kernels.unzip_fixed([records], bits_def, 0xFFFF, width, back, records[: 20 * width])
    assert back.tolist() == levels.tolist()
    assert records[: 20 * width].tobytes() == values.tobytes()


def test_values_of_the_specification(kernels: ModuleType) -> None:
    """list<int32> [[7, null], [], [8]] of structural.md 9.3."""
    out, starts = u8(16), i64(0, 0, 0, 0)
    values = np.array([7, 0, 8], "<i4")
    kernels.zip_fixed(u16(1, 0, 1, 1), u16(0, 1, 2, 0), 1, 2, 1, 1, values, 4, out, starts)
    assert out.tobytes().hex() == "0407000000" + "0100000000" + "06" + "0408000000"
    assert starts.tolist() == [0, 10, 11, 16]
    arguments = ([out], i64(3), starts[:-1], 1, 2, 1, 2, 1, 4, 0)
    assert kernels.unzip_sizes(*arguments) == (4, 3, 12)
    rep, taken = u16(*[9] * 4), u8(12)
    kernels.unzip_rows(*arguments, rep, NONE, b"" if kernels is reference else u8(0), taken)
    assert rep.tolist() == [1, 0, 1, 1]
    assert taken.view("<i4").tolist() == [7, 0, 8]


@pytest.mark.parametrize(("bits_def", "word"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2)])
@pytest.mark.parametrize("width", [1, 3, 8, 300])
def test_values_without_lists(kernels: ModuleType, bits_def: int, word: int, width: int) -> None:
    rng = np.random.default_rng(width)
    levels = rng.integers(0, 1 << bits_def, 20).astype(np.uint16) if bits_def else NONE
    values = rng.integers(0, 256, (20, width)).astype(np.uint8)
    out = u8(20 * (word + width))
    kernels.zip_fixed(NONE, levels, 0, bits_def, 0, 0xFFFF, values, width, out, NO_ROWS)
    back, taken = np.full(len(levels), 9, np.uint16), u8(20 * width)
    split = 7 * (word + width)
    kernels.unzip_fixed([out[:split], out[split:]], bits_def, 0xFFFF, width, back, taken)
    assert back.tolist() == levels.tolist()
    assert taken.tobytes() == values.tobytes()


@pytest.mark.parametrize("seed", range(40))
def test_native_equals_the_twins(seed: int) -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    size, length_bytes = int(rng.integers(1, 60)), int(rng.choice((4, 8)))
    bits_rep, bits_def = [(2, 3), (7, 9), (16, 16), (1, 1)][seed % 4]
    max_rep, max_def = 1 if seed % 4 == 3 else 2, 1 if seed % 4 == 3 else 5
    rep = rng.integers(0, max_rep + 1, size).astype(np.uint16)
    rep[0] = max_rep
    def_ = (rng.integers(0, max_def + 1, size) * (rng.random(size) < 0.5)).astype(np.uint16)
    num_slots = int((def_ <= 1).sum())
    lengths = rng.integers(0, 9, num_slots)
    ends = (np.concatenate(([0], np.cumsum(lengths))) + 2).astype(f"<u{length_bytes}")
    data = rng.integers(0, 256, int(ends[-1]) + 1).astype(np.uint8)
    word = 1 if bits_rep + bits_def <= 8 else 2 if bits_rep + bits_def <= 16 else 4
    num_rows = int((rep == max_rep).sum())
    results = []
    for module in (native, reference):
        total = module.zip_variable_size(def_, 1, ends, length_bytes, word, size)
        out, starts = u8(total), np.zeros(num_rows + 1, np.int64)
        module.zip_variable(rep, def_, bits_rep, bits_def, max_rep, 1, ends, data, length_bytes, out, starts)
        form = (bits_rep, bits_def, max_rep, max_def, 1, 0, length_bytes)
        sizes = module.unzip_sizes([out], i64(num_rows), starts[:-1], *form)
        back = (u16(*[9] * size), u16(*[9] * size), u8((num_slots + 1) * length_bytes), u8(sizes[2]))
        module.unzip_rows([out], i64(num_rows), starts[:-1], *form, *back)
        assert back[0].tolist() == rep.tolist()
        assert back[1].tolist() == def_.tolist()
        results.append((out.tobytes(), starts.tolist(), sizes, back[2].tobytes(), back[3].tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("seed", range(150))
def test_both_judge_changed_records_alike(seed: int) -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    records = bytearray(STRINGS)
    records[int(rng.integers(len(records)))] = int(rng.choice((0, 1, 4, 5, 6, 7, 255)))
    stop = len(records) - int(rng.integers(0, 3)) * (seed % 2)
    arguments = ([bytes(records[:stop])], i64(4), STRING_ROWS, *STRING_FORM)
    outcomes = []
    for module in (native, reference):
        try:
            outcomes.append(module.unzip_sizes(*arguments))
        except FormatError:
            outcomes.append("corrupt")
    assert outcomes[0] == outcomes[1]


CORRUPT = [
    ([STRINGS[:-1]], i64(4), STRING_ROWS),
    ([STRINGS], i64(4), i64(0, 8, 8, 10)),
    ([STRINGS], i64(4), i64(0, 9, 8, 10)),
    ([STRINGS], i64(4), i64(0, 8, 9, 21)),
    ([STRINGS], i64(4), i64(0, 8, 9, 1 << 62)),
    ([STRINGS], i64(4), i64(0, -8, 9, 10)),
    ([STRINGS], i64(3), i64(0, 8, 9)),
    ([STRINGS], i64(0), NO_ROWS),
    ([b""], i64(1), i64(0)),
    ([b"\x04\xff\xff\xff\xff"], i64(1), i64(0)),
    ([b"\x04\x00\x00"], i64(1), i64(0)),
]


@pytest.mark.parametrize("arguments", CORRUPT)
def test_corrupt_rows(kernels: ModuleType, arguments: Any) -> None:
    with pytest.raises(FormatError):
        kernels.unzip_sizes(*arguments, *STRING_FORM)


def test_lengths_of_8_bytes_do_not_wrap(kernels: ModuleType) -> None:
    for length in (1, 1 << 31, 1 << 63, (1 << 64) - 1):
        part = b"\x04" + length.to_bytes(8, "little")
        with pytest.raises(FormatError):
            kernels.unzip_sizes([part], i64(1), i64(0), 1, 2, 1, 3, 1, 0, 8)


@pytest.mark.parametrize(
    "sizes",
    [(5, 6, 20, 3), (7, 6, 20, 3), (6, 5, 20, 3), (6, 6, 16, 3), (6, 6, 24, 3), (6, 6, 20, 2), (6, 6, 20, 4)],
)
def test_outputs_of_other_sizes(kernels: ModuleType, sizes: tuple[int, int, int, int]) -> None:
    """The sizes come from the bytes of a file, too: no contract is broken."""
    rep, def_, offsets, values = sizes
    out = (np.zeros(rep, np.uint16), np.zeros(def_, np.uint16), u8(offsets), u8(values))
    with pytest.raises(FormatError):
        kernels.unzip_rows([STRINGS], i64(4), STRING_ROWS, *STRING_FORM, *out)


def test_corrupt_values_without_lists(kernels: ModuleType) -> None:
    with pytest.raises(FormatError, match="whole number"):
        kernels.unzip_fixed([b"\x00abc\x00"], 1, 1, 3, u16(0), u8(3))
    with pytest.raises(FormatError, match="larger"):
        kernels.unzip_fixed([b"\x02abc"], 1, 1, 3, u16(0), u8(3))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("zip_variable_size", (DEF[:3], 1, OFFSETS, 4, 1, 6)),
        ("zip_variable_size", (u16(0, 0, 0, 0, 0), 1, OFFSETS, 4, 1, 6)),
        ("zip_variable_size", (NONE, 1, OFFSETS[::-1].copy(), 4, 1, 6)),
        ("zip_variable_size", (NONE, 1, b"", 4, 1, 6)),
        ("zip_variable_size", (NONE, 1, OFFSETS, 3, 1, 6)),
        ("zip_variable_size", (NONE, 1, OFFSETS, 4, -1, 6)),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS, b"abc", 4, u8(20), NO_ROWS)),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS, b"abc", 4, u8(22), NO_ROWS)),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS, b"ab", 4, u8(21), NO_ROWS)),
        ("zip_variable", (REP, DEF, 1, 1, 1, 1, OFFSETS, b"abc", 4, u8(21), NO_ROWS)),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS, b"abc", 4, u8(21), i64(0, 0, 0, 0))),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS, b"abc", 4, u8(21), i64(0, 0, 0, 0, 0, 0))),
        ("zip_variable", (REP, DEF, 1, 2, 1, 1, OFFSETS[:4].copy(), b"abc", 4, u8(21), NO_ROWS)),
        ("zip_variable", (REP, DEF[:5], 1, 2, 1, 1, OFFSETS, b"abc", 4, u8(21), NO_ROWS)),
        ("zip_variable", (REP, DEF, 17, 2, 1, 1, OFFSETS, b"abc", 4, u8(21), NO_ROWS)),
        ("zip_fixed", (NONE, u16(0), 0, 1, 0, 1, b"abc", 2, u8(3), NO_ROWS)),
        ("zip_fixed", (NONE, u16(0), 0, 1, 0, 1, b"abcd", 2, u8(3), NO_ROWS)),
        ("zip_fixed", (NONE, u16(0, 0), 0, 1, 0, 1, b"ab", 2, u8(3), NO_ROWS)),
        ("zip_fixed", (NONE, u16(0), 0, 1, 0, 1, b"ab", 0, u8(3), NO_ROWS)),
        ("unzip_sizes", ([STRINGS], i64(4, 0), STRING_ROWS, *STRING_FORM)),
        ("unzip_sizes", ([STRINGS], i64(5), STRING_ROWS, *STRING_FORM)),
        ("unzip_sizes", ([STRINGS], i64(-1), STRING_ROWS, *STRING_FORM)),
        ("unzip_sizes", ([STRINGS[:8]], i64(1), STRING_ROWS, *STRING_FORM)),
        ("unzip_sizes", ([STRINGS], i64(4), i64(1, 8, 9, 10), *STRING_FORM)),
        ("unzip_sizes", ([STRINGS], i64(4), STRING_ROWS, 1, 2, 1, 3, 1, 4, 4)),
        ("unzip_sizes", ([STRINGS], i64(4), STRING_ROWS, 0, 0, 0, 0, 0, 0, 0)),
        ("unzip_sizes", ([STRINGS], i64(4), STRING_ROWS, 1, 17, 1, 3, 1, 0, 4)),
        ("unzip_sizes", ([STRINGS], i64(4), STRING_ROWS, 0, 2, 1, 3, 1, 0, 4)),
        ("unzip_sizes", ([STRINGS], i64(4), STRING_ROWS, 1, 2, 1 << 16, 3, 1, 0, 4)),
        ("unzip_rows", ([STRINGS], i64(4), STRING_ROWS, *STRING_FORM, NONE, NONE, u8(0), u8(3))),
        ("unzip_rows", ([STRINGS], i64(4), STRING_ROWS, *STRING_FORM, NONE, NONE, u8(19), u8(3))),
        ("unzip_fixed", ([b"\x00abc"], 1, 1, 0, u16(0), u8(3))),
        ("unzip_fixed", ([b""], 0, 0, 0, NONE, u8(0))),
        ("unzip_fixed", ([b"\x00abc"], 1, 1, 3, NONE, u8(3))),
        ("unzip_fixed", ([b"\x00abc"], 1, 1, 3, u16(0), u8(4))),
    ],
)
def test_broken_contracts(kernels: ModuleType, name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        getattr(kernels, name)(*arguments)


def test_parts_must_be_buffers(kernels: ModuleType) -> None:
    for parts in (5, [5], ["text"], [None]):
        with pytest.raises(TypeError):
            kernels.unzip_fixed(parts, 0, 0, 1, NONE, u8(0))
