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


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param, reason="the kernels were not compiled")
    return import_module(request.param)


def u16(*levels: int) -> Any:
    return np.array(levels, np.uint16)


def i64(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("num_values", [0, 1, 8, 9, 65, 129, 1000])
@pytest.mark.parametrize("bit_offset", [0, 5, 8])
def test_validity_and_levels(kernels: ModuleType, num_values: int, bit_offset: int) -> None:
    rng = np.random.default_rng(num_values)
    bits = rng.random(bit_offset + num_values) < 0.7
    validity = np.packbits(bits, bitorder="little")
    valid = bits[bit_offset:]
    assert kernels.count_nulls(validity, bit_offset, num_values) == (~valid).sum()
    levels = np.full(num_values, 9, np.uint16)
    kernels.levels_from_validity(validity, bit_offset, num_values, 3, levels)
    assert levels.tolist() == np.where(valid, 0, 3).tolist()
    out = np.full((num_values + 7) // 8, 0xFF, np.uint8)
    assert kernels.validity_from_levels(levels, 2, out) == (~valid).sum()
    assert out.tolist() == np.packbits(valid, bitorder="little").tolist()


def test_absent_bitmaps_are_all_valid(kernels: ModuleType) -> None:
    assert kernels.count_nulls(b"", 0, 1 << 62) == 0 if kernels is not reference else True
    levels = u16(7, 7)
    kernels.levels_from_validity(b"", 3, 2, 1, levels)
    assert levels.tolist() == [0, 0]
    assert kernels.scan_lists(i64(0, 0, 2), b"", 0) == (0, 1, 1)


def test_scan_lists(kernels: ModuleType) -> None:
    assert kernels.scan_lists(i64(4), b"", 0) == (0, 0, 0)
    assert kernels.scan_lists(i64(0, 2, 2, 2, 5), b"\x28", 2) == (2, 1, 2)
    assert kernels.scan_lists(i64(0, 2, 2, 2, 5), b"\x0b", 0) == (1, 1, 2)


def test_mark_nulls_keeps_what_is_marked(kernels: ModuleType) -> None:
    levels = u16(0, 5, 2, 0, 0)
    kernels.mark_nulls(levels, 2, b"\x08", 0, 4, 1)
    assert levels.tolist() == [1, 5, 2, 1, 0]


def test_rows_and_visible_entries(kernels: ModuleType) -> None:
    rep = u16(2, 0, 1, 2, 2, 0)
    assert kernels.count_rows(rep, 2) == 3
    assert kernels.count_visible(u16(0, 1, 2, 3), 1) == 2
    out = i64(0, 0, 0, 0)
    kernels.row_starts(rep, 2, out)
    assert out.tolist() == [0, 3, 4, 6]
    assert kernels.count_rows(np.full(200_000, 3, np.uint16), 3) == 200_000


def test_open_lists_without_levels(kernels: ModuleType) -> None:
    rep = np.full(5, 9, np.uint16)
    kernels.open_lists(NONE, NONE, 0, i64(0, 2, 5), b"", 0, 1, 0, 0, rep, NONE)
    assert rep.tolist() == [1, 0, 1, 0, 0]


def test_repeat_and_unravel_fixed(kernels: ModuleType) -> None:
    rep, def_ = np.zeros((2, 7), np.uint16)
    kernels.repeat_fixed(u16(1, 0, 1), u16(0, 1, 4), 1, 3, rep, def_)
    assert rep.tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert def_.tolist() == [0, 0, 0, 1, 1, 1, 4]
    rep_out, def_out = np.zeros((2, 3), np.uint16)
    kernels.unravel_fixed(rep, def_, 1, 0, 3, rep_out, def_out)
    assert (rep_out.tolist(), def_out.tolist()) == ([1, 0, 1], [0, 1, 4])


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("with_def", [True, False])
def test_native_lists_equal_the_twins(seed: int, with_def: bool) -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    num_lists = int(rng.integers(0, 300 if seed % 8 else 9000))  # the native ones go block by block
    def_ = (rng.random(num_lists) < 0.2).astype(np.uint16) * 5
    valid = rng.random(num_lists) < 0.8
    lengths = rng.integers(0, 5, num_lists) * valid * (def_ == 0)
    if not with_def:
        def_, valid, lengths = NONE, np.ones(num_lists, np.bool_), lengths + 1
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    validity = np.packbits(valid, bitorder="little")
    num_out = num_lists + int(lengths.sum()) - int((lengths > 0).sum())
    rep_in = rng.integers(0, 2, num_lists).astype(np.uint16) * 2
    built, taken = [], []
    for module in (native, reference):
        rep, levels = np.full((2, num_out), 7, np.uint16)
        levels = levels if with_def else NONE
        module.open_lists(rep_in, def_, 5, offsets, validity, 0, 1, 2, 3, rep, levels)
        built.append((rep.tolist(), levels.tolist()))
        remaining, lists = module.count_lists(rep, levels, 5)
        rep_out, def_out = np.full((2, remaining), 7, np.uint16)
        def_out = def_out if with_def else NONE
        offsets_out, bits = np.full(lists + 1, 7, np.int64), np.full((lists + 7) // 8, 7, np.uint8)
        nulls = module.unravel_lists(rep, levels, 5, 1, 3, 64, rep_out, def_out, offsets_out, bits)
        taken.append((nulls, rep_out.tolist(), def_out.tolist(), offsets_out.tolist(), bits.tolist()))
    assert built[0] == built[1]
    assert taken[0] == taken[1]
    assert taken[0][3] == offsets.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_native_validity_equals_the_twin(seed: int) -> None:
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 40 if seed % 2 else 9000))
    def_ = rng.integers(0, 4, size).astype(np.uint16)
    visible = int((def_ <= 2).sum())
    found = []
    for module in (native, reference):
        bits = np.full((visible + 7) // 8, 7, np.uint8)
        found.append((module.unravel_validity(def_, 2, 1, visible, bits), bits.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", range(60))
def test_native_and_twin_agree_on_random_levels(seed: int) -> None:
    """Levels that mean nothing: both give the same, or both raise FormatError."""
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    rep, def_ = rng.integers(0, 3, (2, size)).astype(np.uint16)
    if seed % 2:
        rep[0], rep[1:], def_ = 1, 0, np.minimum(def_, seed % 3).astype(np.uint16)
    outcomes = []
    for module in (native, reference):
        found: list[Any] = []
        for call in (_check, _unravel, _fixed):
            try:
                found.append(call(module, rep, def_))
            except FormatError:
                found.append("corrupt")
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]


def _check(module: ModuleType, rep: Any, def_: Any) -> Any:
    return module.check_levels(rep, def_, 1, 1, 1)


def _unravel(module: ModuleType, rep: Any, def_: Any) -> Any:
    remaining, lists = module.count_lists(rep, def_, 1)
    rep_out, def_out = np.zeros((2, remaining), np.uint16)
    offsets, bits = np.zeros(lists + 1, np.int64), np.zeros((lists + 7) // 8, np.uint8)
    nulls = module.unravel_lists(rep, def_, 1, 0, 1, 64, rep_out, def_out, offsets, bits)
    return nulls, rep_out.tolist(), def_out.tolist(), offsets.tolist(), bits.tolist()


def _fixed(module: ModuleType, rep: Any, def_: Any) -> Any:
    visible = int((def_ <= 1).sum())
    if visible % 2:
        return "odd"
    rep_out, def_out = np.zeros((2, len(rep) - visible // 2), np.uint16)
    module.unravel_fixed(rep, def_, 1, 0, 2, rep_out, def_out)
    return rep_out.tolist(), def_out.tolist()


@pytest.mark.parametrize(
    ("rep", "def_", "max_rep", "max_def", "num_rows"),
    [
        (u16(1, 1), u16(0), 1, 1, 2),
        (u16(2), u16(0), 1, 1, 1),
        (u16(1), u16(2), 1, 1, 1),
        (u16(0, 1), NONE, 1, 0, 1),
        (u16(1, 0), NONE, 1, 0, 2),
        (NONE, NONE, 1, 0, 1),
        (NONE, u16(0), 1, 1, 0),
        (u16(0), NONE, 0, 0, 1),
        (NONE, u16(0, 0), 0, 1, 1),
    ],
)
def test_check_levels_refuses(
    kernels: ModuleType, rep: Any, def_: Any, max_rep: int, max_def: int, num_rows: int
) -> None:
    with pytest.raises(FormatError):
        kernels.check_levels(rep, def_, max_rep, max_def, num_rows)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("count_nulls", (b"\x00", 1, 8)),
        ("count_nulls", (b"\x00", -1, 8)),
        ("count_nulls", (b"\x00", 0, -1)),
        ("count_rows", (NONE, -1)),
        ("count_rows", (NONE, 1 << 16)),
        ("row_starts", (u16(1, 1), 1, i64(0, 0))),
        ("row_starts", (u16(1, 1), 1, i64(0, 0, 0, 0))),
        ("row_starts", (NONE, 1, i64())),
        ("levels_from_validity", (b"\x00", 0, 2, 1, u16(0))),
        ("mark_nulls", (u16(0, 3), 2, b"\x00", 0, 2, 1)),
        ("mark_nulls", (u16(0, 3), 3, b"\x00", 7, 2, 1)),
        ("scan_lists", (i64(), b"", 0)),
        ("open_lists", (NONE, NONE, 0, i64(), b"", 0, 1, 0, 0, NONE, NONE)),
        ("open_lists", (NONE, NONE, 0, i64(2, 1), b"", 0, 1, 0, 0, NONE, NONE)),
        ("open_lists", (NONE, NONE, 0, i64(-2, 1), b"", 0, 1, 0, 0, u16(0, 0, 0), NONE)),
        ("open_lists", (NONE, NONE, 0, i64(0, 2), b"", 0, 1, 0, 0, u16(0), NONE)),
        ("open_lists", (NONE, NONE, 0, i64(0, 2), b"", 0, 1, 0, 0, u16(0, 0, 0), NONE)),
        ("open_lists", (NONE, NONE, 0, i64(0, 2), b"\x00", 0, 1, 1, 0, u16(0, 0), u16(0, 0))),
        ("open_lists", (NONE, NONE, 0, i64(0, 0), b"", 0, 1, 0, 0, u16(0), u16(0))),
        ("open_lists", (NONE, NONE, 0, i64(0, 0), b"", 0, 1, 0, 1, u16(0), NONE)),
        ("open_lists", (NONE, u16(0, 0), 0, i64(0, 0), b"", 0, 1, 0, 1, u16(0, 0), u16(0, 0))),
        ("open_lists", (NONE, u16(0, 7), 0, i64(0, 0, 0), b"", 0, 1, 0, 1, u16(0, 0), u16(0, 0))),
        ("repeat_fixed", (NONE, u16(0), 0, 0, NONE, u16(0))),
        ("repeat_fixed", (NONE, u16(0), 0, 2, NONE, u16(0))),
        ("repeat_fixed", (NONE, u16(0), 0, 2, NONE, u16(0, 0, 0))),
        ("repeat_fixed", (u16(0), u16(0, 0), 0, 2, NONE, u16(0, 0, 0))),
        ("validity_from_levels", (u16(0), 0, b"")),
        ("unravel_validity", (u16(0, 1), 0, 0, 2, np.zeros(1, np.uint8))),
        ("unravel_validity", (u16(0, 1), 0, 0, 1, np.zeros(2, np.uint8))),
        ("unravel_lists", (u16(1, 1), NONE, 0, 0, 0, 64, u16(0), NONE, i64(0, 0, 0), np.zeros(1, np.uint8))),
        ("unravel_lists", (u16(1, 1), NONE, 0, 0, 0, 64, u16(0, 0), NONE, i64(0, 0), np.zeros(1, np.uint8))),
        (
            "unravel_lists",
            (u16(1, 1), NONE, 0, 0, 0, 64, u16(0, 0), NONE, i64(0, 0, 0), np.zeros(2, np.uint8)),
        ),
        ("unravel_lists", (NONE, u16(1), 0, 0, 0, 64, NONE, NONE, i64(0), np.zeros(0, np.uint8))),
        ("unravel_fixed", (NONE, u16(0), 0, 0, 0, NONE, u16(0))),
        ("unravel_fixed", (NONE, u16(0, 0), 0, 0, 2, NONE, u16(0, 0))),
    ],
)
def test_broken_contracts(kernels: ModuleType, name: str, arguments: tuple[Any, ...]) -> None:
    arguments = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)
    if name == "validity_from_levels":
        arguments = (*arguments[:2], np.zeros(0, np.uint8))
    with pytest.raises(ValueError):
        getattr(kernels, name)(*arguments)
