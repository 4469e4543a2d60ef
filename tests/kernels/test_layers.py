"""All layers of a few levels in one call: what the kernels of each layer give."""

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
ITEM, LIST, NULLABLE, FULL_LIST = 1, 2, 3, 6


@pytest.fixture(params=["lancelet._native", "lancelet.kernels.reference"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param, reason="the kernels were not compiled")
    return import_module(request.param)


def u16(*levels: int) -> Any:
    return np.array(levels, np.uint16)


def room(num_entries: int, num_layers: int) -> Any:
    return np.full(num_layers * (8 * (num_entries // 64 + 1) + 8 * (num_entries // 2 + 1)), 7, np.uint8)


def unravelled(
    module: ModuleType, rep: Any, def_: Any, layers: list[int], num_rows: int, num_slots: int
) -> Any:
    """Return for each layer its values, nulls, and what was to be set of bitmap and offsets."""
    num_entries = max(len(rep), len(def_)) or num_rows
    out, counts = room(num_entries, len(layers)), np.full((len(layers), 2), 7, np.int64)
    if not module.unravel_layers(rep, def_, bytes(layers), num_rows, num_slots, out, counts):
        return None
    found, bitmap_bytes = [], 8 * (num_entries // 64 + 1)
    for own, number, (num_values, nulls) in zip(
        out.reshape(len(layers), -1), layers, counts.tolist(), strict=True
    ):
        bits = own[: (num_values + 7) // 8].tolist() if nulls else None
        offsets = None
        if number in (LIST, 4, 5, FULL_LIST):
            offsets = own[bitmap_bytes : bitmap_bytes + 4 * (num_values + 1)].view(np.int32).tolist()
        found.append((num_values, nulls, bits, offsets))
    return found


def test_nullable_lists_of_nullable_items(kernels: ModuleType) -> None:
    # [1, None], None, [], [2]
    found = unravelled(kernels, u16(1, 0, 1, 1, 1), u16(0, 1, 2, 3, 0), [NULLABLE, FULL_LIST], 4, 3)
    assert found == [(3, 1, [0b101], None), (4, 1, [0b1101], [0, 2, 2, 2, 3])]


def test_structs_and_lists_without_levels(kernels: ModuleType) -> None:
    assert unravelled(kernels, NONE, NONE, [ITEM, NULLABLE], 9, 9) == [(9, 0, None, None)] * 2
    assert unravelled(kernels, u16(1, 0), NONE, [ITEM, LIST], 1, 2) == [
        (2, 0, None, None),
        (1, 0, None, [0, 2]),
    ]
    assert unravelled(kernels, NONE, NONE, [ITEM, LIST], 0, 0) == [(0, 0, None, None), (0, 0, None, [0])]


@pytest.mark.parametrize("num_slots", [2, 4])
def test_other_numbers_of_values(kernels: ModuleType, num_slots: int) -> None:
    levels = (u16(1, 0, 1, 1, 1), u16(0, 1, 2, 3, 0))
    assert unravelled(kernels, *levels, [NULLABLE, FULL_LIST], 4, num_slots) is None
    assert unravelled(kernels, NONE, u16(0, 1, 1), [NULLABLE], 3, num_slots) is None


@pytest.mark.parametrize(
    ("rep", "def_", "num_rows"),
    [
        (u16(0, 1), u16(0, 0), 1),  # does not begin a row
        (u16(1, 2), u16(0, 0), 1),
        (u16(1, 0), u16(0, 4), 1),
        (u16(1, 0), u16(0, 0), 2),
        (u16(1, 0), u16(2, 0), 1),  # goes on in a null list
        (NONE, u16(0), 1),
        (u16(1, 0), u16(0), 1),
    ],
)
def test_corrupt_levels(kernels: ModuleType, rep: Any, def_: Any, num_rows: int) -> None:
    with pytest.raises(FormatError):
        unravelled(kernels, rep, def_, [NULLABLE, FULL_LIST], num_rows, int((def_ <= 1).sum()))


def test_broken_contracts(kernels: ModuleType) -> None:
    counts = np.zeros((1, 2), np.int64)
    for layers in ([0], [7]):
        with pytest.raises(ValueError, match="number"):
            kernels.unravel_layers(NONE, NONE, bytes(layers), 1, 1, room(1, 1), counts)
    with pytest.raises(ValueError, match="negative"):
        kernels.unravel_layers(NONE, NONE, bytes([ITEM]), -1, 1, room(1, 1), counts)
    with pytest.raises(ValueError, match="size"):
        kernels.unravel_layers(NONE, NONE, bytes([ITEM]), 1, 1, room(1, 2), counts)
    with pytest.raises(ValueError, match="counts"):
        kernels.unravel_layers(NONE, NONE, bytes([ITEM]), 1, 1, room(1, 1), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="many"):
        kernels.unravel_layers(NONE, NONE, bytes([ITEM]), 1 << 24, 1, room(1, 1), counts)


@pytest.mark.parametrize("seed", range(300))
def test_native_and_twin_agree(seed: int) -> None:
    """Levels that mean nothing, and some that do: both give the same, or both raise FormatError."""
    native = pytest.importorskip("lancelet._native", reason="the kernels were not compiled")
    rng = np.random.default_rng(seed)
    layers = rng.integers(1, 7, int(rng.integers(1, 5))).tolist()
    top_rep = sum(number in (LIST, 4, 5, FULL_LIST) for number in layers)
    top_def = sum((0, 0, 0, 1, 1, 1, 2)[number] for number in layers)
    size = int(rng.integers(1, 6 if seed % 3 else 200))
    rep = rng.integers(0, top_rep + 1, size).astype(np.uint16) if top_rep else NONE
    rep[:1] = top_rep
    def_ = np.where(rng.random(size) < 0.8, 0, rng.integers(0, top_def + 1, size)).astype(np.uint16)
    if seed % 4 == 0:
        rep[:] = top_rep  # every entry is a row, so all is possible
    if seed % 7 == 0:
        def_ = NONE
    num_rows = int((rep == top_rep).sum()) if top_rep else size
    visible = 0
    for number in layers:
        if number in (LIST, 4, 5, FULL_LIST):
            break
        visible += (0, 0, 0, 1, 1, 1, 2)[number]
    num_slots = int((def_ <= visible).sum()) if len(def_) else max(len(rep), num_rows)
    outcomes = []
    for module in (native, reference):
        try:
            outcomes.append(unravelled(module, rep, def_, layers, num_rows, num_slots))
        except FormatError:
            outcomes.append("corrupt")
    assert outcomes[0] == outcomes[1]
