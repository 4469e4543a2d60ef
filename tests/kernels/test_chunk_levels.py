"""Levels of rows taken from mini-block chunks: one call gives what the kernels of each step give."""

from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

MAX_REP, MAX_DEF, MAX_VISIBLE = 2, 3, 1


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def i64(values):
    return np.array(values, dtype=np.int64)


class Chunks:
    """Levels of some chunks, packed, with the tables that describe them; whole rows in the first and the last one."""

    def __init__(self, rng, has_rep=True, has_def=True, num_chunks=3):
        self.entries = i64(rng.integers(1, 2500, num_chunks))
        num_entries = int(self.entries.sum())
        starts = np.cumsum(self.entries) - self.entries
        self.rep = rng.integers(0, MAX_REP + 1, num_entries).astype(np.uint16)
        self.rep[0] = MAX_REP
        self.def_ = rng.integers(0, MAX_DEF + 1, num_entries).astype(np.uint16)
        if not has_rep:
            self.rep[:] = MAX_REP
            self.def_ %= MAX_VISIBLE + 1
        if not has_def:
            self.def_[:] = 0
        tops = self.rep == MAX_REP
        self.num_rows = int(tops.sum())
        slots, rows, begins = [], [], []
        for start, count in zip(starts.tolist(), self.entries.tolist(), strict=True):
            part = slice(start, start + count)
            slots.append(int((self.def_[part] <= MAX_VISIBLE).sum()))
            rows.append(int(tops[part].sum()))
            begins.append(int(not tops[start]))
        self.selected = i64([[0] * num_chunks, slots, rows, begins, [0] * num_chunks])
        self.widths = (2 if has_rep else -1, 2 if has_def else -1)
        data, offsets, sizes = b"", [], []
        for levels in [levels for levels, has in ((self.rep, has_rep), (self.def_, has_def)) if has]:
            packed, part_sizes = np.zeros(2 * num_entries + 256, np.uint8), i64([0] * num_chunks)
            reference.out_of_line_pack(levels, self.entries, 16, 2, packed, part_sizes)
            offsets.append(len(data) + np.cumsum(part_sizes) - part_sizes)
            sizes.append(part_sizes)
            data += packed[: part_sizes.sum()].tobytes()
        self.data, self.offsets, self.sizes = data, i64(offsets), i64(sizes)

    def pick(self, kernels, starts, stops, **change):
        """Return the levels, the ranges of slots, and what the kernel returned."""
        parts = {
            name: change.get(name, getattr(self, name)) for name in ("data", "offsets", "sizes", "entries")
        }
        outs = [
            np.full(change.get("room", int(self.entries.sum())) if width >= 0 else 0, 9, np.uint16)
            for width in self.widths
        ]
        picks = np.full((4, change.get("num_picks", len(starts))), -1, np.int64)
        levels = change.get("max_rep", MAX_REP), change.get("max_def", MAX_DEF), MAX_VISIBLE
        selected, widths = change.get("selected", self.selected), change.get("widths", self.widths)
        kept, num_slots = kernels.miniblock_pick_levels(
            *parts.values(), selected, *widths, *levels, i64(starts), i64(stops), *outs, picks
        )
        return *(out[:kept].tolist() for out in outs), picks.tolist(), kept, num_slots


@pytest.mark.parametrize(("has_rep", "has_def"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("seed", range(8))
def test_rows(kernels, seed, has_rep, has_def):
    rng = np.random.default_rng(seed)
    chunks = Chunks(rng, has_rep, has_def)
    borders = np.sort(rng.choice(chunks.num_rows + 1, 12, replace=False))
    starts, stops = borders[::2], borders[1::2]
    row_starts = np.append(np.flatnonzero(chunks.rep == MAX_REP), len(chunks.rep))
    kept = np.concatenate(
        [np.arange(row_starts[a], row_starts[b]) for a, b in zip(starts, stops, strict=True)]
    )
    slots = np.append(0, np.cumsum(chunks.def_ <= MAX_VISIBLE))
    rep, def_, picks, num_kept, num_slots = chunks.pick(kernels, starts, stops)
    assert rep == (chunks.rep[kept].tolist() if has_rep else [])
    assert def_ == (chunks.def_[kept].tolist() if has_def else [])
    assert picks == [row_starts[starts].tolist(), row_starts[stops].tolist()] + [
        slots[row_starts[rows]].tolist() for rows in (starts, stops)
    ]
    assert num_kept == len(kept)
    assert num_slots == int((chunks.def_[kept] <= MAX_VISIBLE).sum())


def test_a_run_that_begins_inside_of_a_row(kernels):
    chunks = Chunks(np.random.default_rng(1), num_chunks=1)
    expected = chunks.pick(kernels, [0], [chunks.num_rows])
    cut = Chunks(np.random.default_rng(1), num_chunks=1)
    cut.rep[0] = 0
    sizes = i64([0])
    packed = np.zeros(len(cut.data), np.uint8)
    reference.out_of_line_pack(cut.rep, cut.entries, 16, 2, packed, sizes)
    data = packed[: sizes[0]].tobytes() + cut.data[sizes[0] :]
    selected = cut.selected.copy()
    selected[2:4, 0] = (cut.num_rows - 1, 2)
    assert cut.pick(kernels, [0], [cut.num_rows], data=data, selected=selected) == expected


@pytest.mark.parametrize(
    "change", ["rows", "begins", "leftovers", "slots", "max_rep", "max_def", "short", "long", "cut"]
)
def test_damaged_levels(kernels, change):
    chunks = Chunks(np.random.default_rng(2))
    selected, changes = chunks.selected.copy(), {}
    if change in ("slots", "rows", "begins", "leftovers"):
        row = ("bytes", "slots", "rows", "begins", "leftovers").index(change)
        selected[row, 1] += 5000 if change == "leftovers" else 1
        if change == "begins":
            selected[row, 1] = int(chunks.selected[row, 1] == 0)
    elif change in ("max_rep", "max_def"):
        changes[change] = 1
    elif change == "cut":
        changes["data"] = chunks.data[:-1]
    else:
        changes["sizes"] = chunks.sizes + (-1 if change == "short" else 1)
    with pytest.raises(FormatError):
        chunks.pick(kernels, [0], [2], selected=selected, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"room": 3},
        {"num_picks": 2},
        {"selected": i64([1, 2, 3])},
        {"widths": (-1, -1)},
        {"widths": (17, 2)},
        {"offsets": i64([[0, 0, 0]]), "sizes": i64([[0, 0, 0]])},
        {"offsets": i64([[0, 0, 0]])},
    ],
)
def test_contract(kernels, change):
    chunks = Chunks(np.random.default_rng(3))
    with pytest.raises((ValueError, FormatError)):
        chunks.pick(kernels, [0], [2], **change)


@pytest.mark.parametrize(("starts", "stops"), [([0], [10**6]), ([3, 1], [4, 2]), ([2], [1])])
@pytest.mark.parametrize("has_rep", [True, False])
def test_rows_that_are_not_there(kernels, starts, stops, has_rep):
    chunks = Chunks(np.random.default_rng(4), has_rep)
    with pytest.raises(ValueError):
        chunks.pick(kernels, starts, stops)
