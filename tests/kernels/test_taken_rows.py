"""A few rows of mini-block chunks in one call: what the kernels of each step give."""

from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference

native = pytest.importorskip("lancelet._native")

ITEM, NULLABLE, FULL_LIST = 1, 3, 6
WIDTH = 2
ROOM = 256


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def i64(values):
    return np.array(values, dtype=np.int64)


class Page:
    """Chunks of a page of lists of nullable items, with one or two value buffers of bytes."""

    def __init__(self, seed, num_chunks=4, num_buffers=1, large=False):
        rng = np.random.default_rng(seed)
        self.num_buffers, self.large, self.layers = num_buffers, large, bytes([NULLABLE, FULL_LIST])
        rep, def_ = [], []
        for _ in range(60):
            kind = int(rng.integers(0, 4))
            if kind < 2:  # null or empty
                rep.append(1)
                def_.append(2 + kind)
            else:
                count = int(rng.integers(1, 6))
                rep += [1] + [0] * (count - 1)
                def_ += rng.integers(0, 2, count).tolist()
        self.rep, self.def_ = np.array(rep, np.uint16), np.array(def_, np.uint16)
        self.num_rows = 60
        self.num_slots = int((self.def_ <= 1).sum())
        counts = [16] * (num_chunks - 1)
        counts.append(self.num_slots - sum(counts))
        self.counts, self.entries = i64(counts), np.empty(num_chunks, np.int64)
        reference.miniblock_cut(self.def_, 1, self.counts, self.entries)
        parts = [self._packed(levels) for levels in (self.rep, self.def_)]
        parts += [(bytes(range(self.num_slots)), self.counts)] * num_buffers
        data, sizes = [part for part, _ in parts], [part_sizes for _, part_sizes in parts]
        words = np.zeros((4 if large else 2) * num_chunks, np.uint8)
        num_bytes = reference.miniblock_words(self.counts, self.entries, sizes, 2, large, words)
        self.data = np.zeros(num_bytes, np.uint8)
        reference.miniblock_frame(self.entries, data, sizes, 2, large, self.data)
        index = np.empty(2 * num_chunks, np.uint64)
        reference.miniblock_index(self.rep, 1, self.entries, index)
        self.tables = np.empty((6, num_chunks), np.int64)
        reference.miniblock_open(
            words, large, num_bytes, self.num_slots, index, True, self.num_rows, self.tables
        )

    def _packed(self, levels):
        packed, sizes = np.zeros(4096, np.uint8), np.zeros(len(self.entries), np.int64)
        reference.out_of_line_pack(levels, self.entries, 16, WIDTH, packed, sizes)
        return packed[: sizes.sum()].tobytes(), sizes

    def take(self, kernels, starts, stops, damage=None, **change):
        planned = np.full((6, len(starts)), -1, np.int64)
        num_runs, num_chunks, _, _ = reference.miniblock_plan(self.tables, i64(starts), i64(stops), planned)
        borders = planned[2:4, :num_runs].T.tolist()
        data = np.concatenate([self.data[start:stop] for start, stop in borders])
        if damage is not None:
            data[damage[0]] ^= damage[1]
        room = change.get("room", ROOM)
        self.numbers = np.full(
            change.get("num_out", num_chunks * (1 + 2 * self.num_buffers) + 2 * len(starts) + 4), -1, np.int64
        )
        self.levels = np.zeros((2, room), np.uint16)
        self.structure = np.zeros(
            change.get("structure", 2 * (8 * (ROOM // 64 + 1) + 8 * (ROOM // 2 + 1))), np.uint8
        )
        return kernels.miniblock_take(
            data,
            change.get("tables", self.tables),
            change.get("planned", planned),
            change.get("num_runs", num_runs),
            change.get("num_chunks", num_chunks),
            self.num_buffers,
            self.large,
            *change.get("widths", (WIDTH, WIDTH)),
            change.get("layers", self.layers),
            self.numbers,
            self.levels,
            self.structure,
        )

    def found(self, kernels, starts, stops, **change):
        """Return all that a take gives; of the structure what was to be set."""
        num_entries, num_slots, is_known = self.take(kernels, starts, stops, **change)
        if num_entries < 0:
            return None
        structure = []
        if is_known:
            bitmap_bytes = 8 * (num_entries // 64 + 1)
            stride = bitmap_bytes + 8 * (num_entries // 2 + 1)
            for i, (num_values, nulls) in enumerate(self.numbers[-4:].reshape(2, 2).tolist()):
                own = self.structure[i * stride : (i + 1) * stride]
                structure.append(own[: (num_values + 7) // 8].tolist() if nulls else None)
            structure.append(own[bitmap_bytes : bitmap_bytes + 4 * (num_values + 1)].tolist())
        return num_slots, self.levels[:, :num_entries].tolist(), self.numbers.tolist(), structure


def ranges(rng, num_rows):
    borders = np.sort(rng.choice(num_rows + 1, 2 * int(rng.integers(1, 6)), replace=False))
    return borders[::2].tolist(), borders[1::2].tolist()


@pytest.mark.parametrize(("num_buffers", "large"), [(1, False), (2, True), (0, False)])
@pytest.mark.parametrize("seed", range(10))
def test_rows(kernels, seed, num_buffers, large):
    page = Page(seed, num_buffers=num_buffers, large=large)
    starts, stops = ranges(np.random.default_rng(seed), page.num_rows)
    num_slots, (rep, def_), numbers, structure = page.found(kernels, starts, stops)
    firsts = np.append(np.flatnonzero(page.rep == 1), len(page.rep))
    kept = np.concatenate([np.arange(firsts[a], firsts[b]) for a, b in zip(starts, stops, strict=True)])
    assert (rep, def_) == (page.rep[kept].tolist(), page.def_[kept].tolist())
    assert num_slots == int((page.def_[kept] <= 1).sum())
    num_rows = sum(stops) - sum(starts)
    assert numbers[-4:] == [
        num_slots,
        int((page.def_[kept] == 1).sum()),
        num_rows,
        int((page.def_[kept] == 2).sum()),
    ]
    assert structure
    assert page.found(native, starts, stops) == page.found(reference, starts, stops)


def test_too_much_for_one_call(kernels):
    page = Page(1)
    assert page.found(kernels, [3], [9], room=4) is None
    assert page.found(kernels, [3], [9]) is not None


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("bits", [1, 0x80])
def test_damaged_headers(kernels, place, bits):
    page = Page(2)
    with pytest.raises(FormatError):
        page.found(kernels, [20], [22], damage=(place, bits))


def test_damaged_bytes_are_refused_alike():
    page = Page(3)
    refused = 0
    for place in range(len(page.data) // 4):
        outcomes = []
        for module in (native, reference):
            try:
                outcomes.append(page.found(module, [1, 9], [3, 12], damage=(place, 0x15)))
            except FormatError:
                outcomes.append("refused")
                refused += 1
        assert outcomes[0] == outcomes[1]
    assert refused


@pytest.mark.parametrize(
    "change",
    [
        {"num_out": 3},
        {"num_runs": 0},
        {"num_runs": 9},
        {"num_chunks": 0},
        {"num_chunks": 99},
        {"layers": bytes([7, 6])},
        {"widths": (17, 2)},
        {"widths": (-1, -1)},
        {"structure": 8},
        {"tables": i64([1, 2, 3])},
        {"planned": i64([0])},
        {"planned": i64([[9], [9], [0], [8], [0], [1]])},
        {"planned": i64([[0], [0], [0], [8], [0], [1000]])},
    ],
)
def test_contract(kernels, change):
    page = Page(4)
    with pytest.raises((ValueError, FormatError)):
        page.found(kernels, [1], [2], **change)
