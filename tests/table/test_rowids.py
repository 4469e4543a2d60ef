"""Row ids and versions of rows: every stored form, every operation against plain arrays, damaged sequences, the index."""

from __future__ import annotations

import contextlib
import pickle
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet.errors import FormatError, LanceletError, OptionError
from lancelet.pb import rowids_pb2 as pb
from lancelet.storage import MemoryStore
from lancelet.table.formats.deletions import NO_OFFSETS, read_deletions
from lancelet.table.formats.manifest import list_versions, read_manifest
from lancelet.table.formats.metadata import ExternalSequence, FragmentMetadata
from lancelet.table.formats.rowids import (
    RowIdIndex,
    RowIds,
    Versions,
    doubled_ids,
    read_row_ids,
    read_versions,
)
from table.golden_datasets import GoldenDataset, golden_datasets
from tiers import sample_or_full

MAX = (1 << 64) - 1
Segment = pb.U64Segment
Array = pb.EncodedU64Array

examples = settings(max_examples=sample_or_full(100, 3000), deadline=None, derandomize=True, database=None)
GOLDEN = [
    pytest.param(each, id=each.name)
    for each in golden_datasets()
    if read_manifest(each.store, list_versions(each.store)[0][1]).has_stable_row_ids
]


def sequence(*segments: Segment) -> bytes:
    return pb.RowIdSequence(segments=segments).SerializeToString()


def forms(data: bytes) -> list[str]:
    return [segment.WhichOneof("segment") for segment in pb.RowIdSequence.FromString(data).segments]


def narrow(base: int, offsets: list[int], width: int = 2) -> Array:
    data = np.array(offsets, f"<u{width}").tobytes()
    if width == 2:
        return Array(u16_array=Array.U16Array(base=base, offsets=data))
    return Array(u32_array=Array.U32Array(base=base, offsets=data))


def wide(values: list[int]) -> Array:
    return Array(u64_array=Array.U64Array(values=np.array(values, "<u8").tobytes()))


def ascending(values) -> np.ndarray:
    return np.array(sorted(set(values)), np.uint64)


ids_of_any_kind = st.one_of(
    st.lists(st.integers(0, MAX), max_size=30),
    st.lists(st.integers(0, 60), max_size=60, unique=True),
    st.lists(st.integers(0, 60), max_size=60, unique=True).map(sorted),
    st.lists(st.integers(0, 1 << 33), max_size=40, unique=True).map(sorted),
    st.tuples(st.integers(0, MAX - 300), st.sets(st.integers(0, 299))).map(
        lambda pair: [pair[0] + value for value in range(300) if value not in pair[1]]
    ),
)


@pytest.mark.parametrize("dataset", GOLDEN)
def test_golden_datasets_have_the_ids_that_pylance_sees(dataset: GoldenDataset):
    for version, path in list_versions(dataset.store):
        manifest = read_manifest(dataset.store, path)
        entries = {}
        for fragment in manifest.fragments:
            ids = read_row_ids(dataset.store, fragment)
            assert ids.serialize() == fragment.row_ids
            entries[fragment.id] = (ids, read_deletions(dataset.store, fragment))
            for which in ("created_at", "last_updated_at"):
                versions = read_versions(dataset.store, fragment, which)
                assert len(versions) == fragment.physical_rows
                assert 1 <= versions.to_numpy().min() <= versions.to_numpy().max() <= version
        row_ids, addresses = dataset.addresses(version)
        live = RowIds.concat(ids.without(deleted) for ids, deleted in entries.values())
        assert np.array_equal(live.to_numpy(), row_ids)
        assert np.array_equal(RowIdIndex(entries).lookup(row_ids), addresses)
        assert manifest.next_row_id > row_ids.max()


def test_a_form_that_pylance_wrote():
    """Values 3 and 7 of 0 to 49 are missing: the bitmap begins with 77, least significant bit first."""
    bitmap = bytes.fromhex("77") + b"\xff" * 5 + b"\x03"
    data = sequence(
        Segment(range_with_bitmap=Segment.RangeWithBitmap(start=0, end=50, bitmap=bitmap)),
        Segment(range_with_holes=Segment.RangeWithHoles(start=50, end=100, holes=narrow(60, [0]))),
    )
    expected = [value for value in range(100) if value not in (3, 7, 60)]
    assert RowIds.parse(data).to_numpy().tolist() == expected
    assert RowIds.parse(data).serialize() == data


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (Segment(range=Segment.Range(start=5, end=8)), [5, 6, 7]),
        (Segment(range=Segment.Range(start=MAX - 1, end=MAX)), [MAX - 1]),
        (Segment(range=Segment.Range(start=5, end=5)), []),
        (
            Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=9, holes=narrow(5, [0, 2, 3]))),
            [6],
        ),
        (Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=8, holes=wide([6]))), [5, 7]),
        (Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=7)), [5, 6]),
        (Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=7, holes=narrow(5, [0, 1]))), []),
        (
            Segment(range_with_bitmap=Segment.RangeWithBitmap(start=5, end=15, bitmap=b"\x81\x02")),
            [5, 12, 14],
        ),
        # Bits behind the last value mean nothing.
        (
            Segment(range_with_bitmap=Segment.RangeWithBitmap(start=5, end=14, bitmap=b"\x01\xff")),
            [5, 13],
        ),
        (Segment(range_with_bitmap=Segment.RangeWithBitmap(start=5, end=5)), []),
        (Segment(sorted_array=narrow(1000, [0, 5, 65535])), [1000, 1005, 66535]),
        (Segment(sorted_array=narrow(1000, [0, 1 << 31], 4)), [1000, 1000 + (1 << 31)]),
        (Segment(sorted_array=wide([0, MAX])), [0, MAX]),
        (Segment(array=narrow(7, [3, 0, 1])), [10, 7, 8]),
        (Segment(array=narrow(MAX - 2, [2, 0])), [MAX, MAX - 2]),
        (Segment(array=narrow(7, [3, 0, 1], 4)), [10, 7, 8]),
        (Segment(array=wide([MAX, 0, 1])), [MAX, 0, 1]),
        (Segment(array=narrow(7, [])), []),
    ],
)
def test_every_form_is_read(segment, expected):
    ids = RowIds.parse(sequence(segment))
    assert ids.to_numpy().tolist() == expected
    assert ids.to_numpy().dtype == np.uint64
    assert len(ids) == len(expected)
    assert RowIds.parse(ids.serialize()).to_numpy().tolist() == expected
    twice = RowIds.parse(sequence(segment, segment))
    assert twice.to_numpy().tolist() == expected * 2
    assert RowIds.parse(twice.serialize()).to_numpy().tolist() == expected * 2


def holes_in(num_slots: int, holes) -> list[int]:
    return [value for value in range(num_slots) if value not in set(holes)]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (range(5, 50), "range"),
        ([5], "range"),
        (holes_in(50, [7]), "range_with_holes"),  # 28, 31, 122
        (holes_in(50, [7, 9]), "range_with_bitmap"),  # 32, 31
        (holes_in(32, [7]), "range_with_holes"),  # 28 and 28: the first
        (holes_in(1000, range(1, 999)), "sorted_array"),  # two ids
        ([0, 16], "range_with_bitmap"),  # 84, 27, 28
        ([0, 1000], "sorted_array"),
        ([0, 1 << 40], "sorted_array"),
        ([1, 0], "array"),
        ([0, 1, 1], "array"),
        ([5, 6, 2, 3], "array"),
    ],
)
def test_the_form_that_is_chosen(values, form):
    """The smallest of 24 + 4 * holes, 24 + slots / 8 and 24 + 2 * ids for ids that ascend; the first of equal ones."""
    values = list(values)
    data = RowIds.from_numpy(values).serialize()
    assert forms(data) == [form]
    assert RowIds.parse(data).to_numpy().tolist() == values


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ([9, 65536, 1], "u16_array"),
        ([65536, 0], "u32_array"),
        ([65536 + 7, 7], "u32_array"),
        ([65535 + 7, 7], "u16_array"),
        ([(1 << 32) + 6, 7], "u32_array"),
        ([(1 << 32) + 7, 7], "u64_array"),
        ([MAX, MAX - 65535], "u16_array"),
    ],
)
def test_the_width_that_is_chosen(values, width):
    data = RowIds.from_numpy(values).serialize()
    assert pb.RowIdSequence.FromString(data).segments[0].array.WhichOneof("array") == width
    assert RowIds.parse(data).to_numpy().tolist() == values


@given(ids_of_any_kind)
@examples
def test_any_ids_come_back(values):
    ids = RowIds.from_numpy(values)
    assert ids.to_numpy().tolist() == values
    data = ids.serialize()
    assert RowIds.parse(data).to_numpy().tolist() == values
    assert RowIds.parse(data).serialize() == data
    assert pickle.loads(pickle.dumps(ids)).serialize() == data
    assert len(data) <= 60 + 8 * len(values)


@given(st.lists(ids_of_any_kind, max_size=5), st.data())
@examples
def test_operations_are_those_of_arrays(parts, data):
    ids = RowIds.concat(RowIds.from_numpy(part) for part in parts)
    values = np.array([value for part in parts for value in part], np.uint64)
    if data.draw(st.booleans()):
        ids = RowIds.parse(ids.serialize())
    assert np.array_equal(ids.to_numpy(), values)
    if not len(values):
        return
    places = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20))
    assert np.array_equal(ids.take(places), values[places])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    assert np.array_equal(ids.slice(start, stop).to_numpy(), values[start:stop])
    left = ids.without(sorted(set(places)))
    assert np.array_equal(left.to_numpy(), np.delete(values, places))
    both = RowIds.concat([left, ids.slice(start, stop)])
    assert np.array_equal(RowIds.parse(both.serialize()).to_numpy(), both.to_numpy())
    assert len(both) == len(left) + stop - start


def test_ranges_that_continue_each_other_become_one():
    parts = [RowIds.range(0, 50), RowIds.range(50, 100), RowIds.range(100, 130)]
    assert RowIds.concat(parts).serialize() == sequence(Segment(range=Segment.Range(end=130)))
    holed = RowIds.range(130, 200).without([3])
    kept = forms(RowIds.concat([*parts, holed, RowIds.range(200, 300)]).serialize())
    assert kept == ["range", "range_with_holes", "range"]
    assert forms(RowIds.concat([RowIds.range(5, 9), RowIds.range(0, 5)]).serialize()) == ["range", "range"]
    assert forms(RowIds.concat([RowIds.range(5, 9), RowIds.range(9, 9)]).serialize()) == ["range"]
    assert RowIds.concat([]).to_numpy().tolist() == []


def test_a_range_costs_nothing_however_long():
    tracemalloc.start()
    try:
        ids = RowIds.concat([RowIds.range(0, 1 << 61), RowIds.range(1 << 61, 1 << 62)])
        ids = ids.without([1 << 60]).slice(5, 1 << 62 - 1)
        assert ids.take([0, (1 << 60) - 6, (1 << 60) - 5]).tolist() == [5, (1 << 60) - 1, (1 << 60) + 1]
        assert forms(ids.serialize()) == ["range_with_holes"]
        index = RowIdIndex({3: (RowIds.range(7, 7 + (1 << 32)), NO_OFFSETS)})
        assert index.lookup([7, 6 + (1 << 32)]).tolist() == [3 << 32, (3 << 32) + (1 << 32) - 1]
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "ask",
    [
        lambda ids: ids.take([10]),
        lambda ids: ids.take([-1]),
        lambda ids: ids.take([1.5]),
        lambda ids: ids.take([[1]]),
        lambda ids: ids.take(["a"]),
        lambda ids: ids.take([1 << 64]),
        lambda ids: ids.without([10]),
        lambda ids: ids.without([2, 1]),
        lambda ids: ids.without([1, 1]),
        lambda ids: ids.slice(0, 11),
        lambda ids: ids.slice(3, 2),
        lambda ids: ids.slice(-1, 2),
    ],
)
def test_positions_that_there_are_not(ask):
    for found in (RowIds.range(5, 15), Versions.constant(10, 3)):
        with pytest.raises(OptionError):
            ask(found)


@pytest.mark.parametrize("bounds", [(3, 2), (-1, 2), (0, 1 << 64), (0, 1 << 63)])
def test_ranges_that_there_are_not(bounds):
    with pytest.raises(OptionError):
        RowIds.range(*bounds)


@pytest.mark.parametrize(
    ("segment", "match"),
    [
        (Segment(), "no known form"),
        (Segment(range=Segment.Range(start=5, end=4)), "not possible"),
        (Segment(range=Segment.Range(start=0, end=MAX)), "not possible"),
        (Segment(array=Array()), "no known form"),
        (Segment(array=Array(u16_array=Array.U16Array(offsets=b"\0"))), "2 bytes each"),
        (Segment(array=Array(u32_array=Array.U32Array(offsets=b"\0\0"))), "4 bytes each"),
        (Segment(array=Array(u64_array=Array.U64Array(values=b"\0" * 9))), "8 bytes each"),
        (Segment(array=narrow(MAX, [1])), "lead to no row id"),
        (Segment(sorted_array=narrow(0, [1, 1])), "ascend"),
        (Segment(sorted_array=narrow(0, [2, 1])), "ascend"),
        (
            Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=9, holes=narrow(0, [7, 6]))),
            "ascend",
        ),
        (
            Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=9, holes=narrow(0, [4]))),
            "outside",
        ),
        (
            Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=9, holes=narrow(0, [9]))),
            "outside",
        ),
        (
            Segment(range_with_holes=Segment.RangeWithHoles(start=5, end=5, holes=narrow(0, [5]))),
            "outside",
        ),
        (Segment(range_with_bitmap=Segment.RangeWithBitmap(start=5, end=14, bitmap=b"\1")), "1 bytes"),
        (Segment(range_with_bitmap=Segment.RangeWithBitmap(start=5, end=9, bitmap=b"\1\1")), "2 bytes"),
        (Segment(range_with_bitmap=Segment.RangeWithBitmap(start=0, end=1 << 62)), "0 bytes"),
    ],
)
def test_damaged_segments(segment, match):
    with pytest.raises(FormatError, match=match):
        RowIds.parse(sequence(segment))
    with pytest.raises(FormatError, match=match):
        Versions.parse(pb.RowDatasetVersionSequence(runs=[{"span": segment}]).SerializeToString())


def test_sequences_that_are_too_long_together():
    half = Segment(range=Segment.Range(end=1 << 62))
    with pytest.raises(FormatError, match="longer than possible"):
        RowIds.parse(sequence(half, half))
    with pytest.raises(FormatError, match="longer than possible"):
        Versions.parse(pb.RowDatasetVersionSequence(runs=[{"span": half}] * 2).SerializeToString())
    with pytest.raises(OptionError, match="longer than possible"):
        RowIds.concat([RowIds.range(0, 1 << 62)] * 2)


def fragment_of(data: bytes | ExternalSequence | None, num_rows: int | None, **versions) -> FragmentMetadata:
    return FragmentMetadata(7, (), num_rows, row_ids=data, **versions)


def five_forms() -> bytes:
    values = [range(40), holes_in(50, [7]), holes_in(50, [7, 9, 11]), [0, 1000, 5000], [3, 1, 2]]
    data = RowIds.concat(RowIds.from_numpy(list(part)) for part in values).serialize()
    assert forms(data) == ["range", "range_with_holes", "range_with_bitmap", "sorted_array", "array"]
    return data


def test_mutations():
    """Cut anywhere and with any bit flipped, a sequence is refused or has as many ids as the fragment has rows."""
    data = five_forms()
    num_rows = len(RowIds.parse(data))
    damaged = [data[:size] for size in range(len(data))]
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            damaged.append(bytes(flipped))
    refused = 0
    tracemalloc.start()
    try:
        for each in damaged:
            fragment = fragment_of(each, num_rows, created_at=each)
            try:
                assert len(read_row_ids(MemoryStore(), fragment).to_numpy()) == num_rows
            except FormatError:
                refused += 1
            with contextlib.suppress(FormatError):
                read_versions(MemoryStore(), fragment, "created_at")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert refused > len(damaged) // 2


@pytest.mark.parametrize("num_rows", [9, 11, 0])
def test_sequences_of_another_length(num_rows):
    ids, versions = RowIds.range(0, 10).serialize(), Versions.constant(10, 4).serialize()
    fragment = fragment_of(ids, num_rows or 12, created_at=versions, last_updated_at=versions)
    with pytest.raises(FormatError, match="there are 10 for"):
        read_row_ids(MemoryStore(), fragment)
    for which in ("created_at", "last_updated_at"):
        with pytest.raises(FormatError, match="there are 10 for"):
            read_versions(MemoryStore(), fragment, which)
    assert len(read_row_ids(MemoryStore(), fragment_of(ids, None))) == 10


def test_versions_that_are_not_stored():
    ids, versions = RowIds.range(0, 3).serialize(), Versions.constant(3, 4).serialize()
    store = MemoryStore()
    for num_rows in (3, None):
        assert read_versions(store, fragment_of(ids, num_rows), "created_at").to_numpy().tolist() == [1, 1, 1]
        found = read_versions(store, fragment_of(ids, num_rows), "last_updated_at")
        assert found.to_numpy().tolist() == [1, 1, 1]
    found = read_versions(store, fragment_of(ids, 3, created_at=versions), "last_updated_at")
    assert found.to_numpy().tolist() == [4, 4, 4]


def test_sequences_in_files_of_their_own():
    store = MemoryStore()
    store.put("data/ids", b"xx" + RowIds.range(5, 8).serialize() + b"y")
    size = len(RowIds.range(5, 8).serialize())
    external = fragment_of(ExternalSequence("data/ids", 2, size), 3)
    assert read_row_ids(store, external).to_numpy().tolist() == [5, 6, 7]
    for path, offset, length in (
        ("data/other", 2, size),
        ("../ids", 2, size),
        ("/etc/passwd", 0, 5),
        ("", 0, 5),
        ("data/ids", 2, 1 << 62),
        ("data/ids", (1 << 64) - 1, 5),
    ):
        with pytest.raises(FormatError, match="fragment 7"):
            read_row_ids(store, fragment_of(ExternalSequence(path, offset, length), 3))
    with pytest.raises(FormatError, match="has no row ids"):
        read_row_ids(store, fragment_of(None, 3))


runs_of_versions = st.lists(st.tuples(st.integers(0, 20), st.integers(0, MAX)), max_size=8)


@given(runs_of_versions, st.data())
@examples
def test_versions_are_those_of_arrays(runs, data):
    versions = Versions.concat(Versions.constant(length, version) for length, version in runs)
    values = np.array([version for length, version in runs for _ in range(length)], np.uint64)
    assert np.array_equal(versions.to_numpy(), values)
    assert np.array_equal(Versions.parse(versions.serialize()).to_numpy(), values)
    assert len(versions) == len(values)
    if not len(values):
        return
    places = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20))
    assert np.array_equal(versions.take(places), values[places])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    assert np.array_equal(versions.slice(start, stop).to_numpy(), values[start:stop])
    assert np.array_equal(versions.without(sorted(set(places))).to_numpy(), np.delete(values, places))
    copy = pickle.loads(pickle.dumps(versions))
    assert copy.serialize() == versions.serialize()


def test_only_the_length_of_a_span_matters():
    runs = [
        {"span": Segment(range=Segment.Range(start=900, end=902)), "version": 3},
        {"span": Segment(array=narrow(0, [5, 5, 1])), "version": 4},
        {"span": Segment(range=Segment.Range()), "version": 9},
        {"span": Segment(range_with_bitmap=Segment.RangeWithBitmap(end=8, bitmap=b"\x11")), "version": 3},
    ]
    data = pb.RowDatasetVersionSequence(runs=runs).SerializeToString()
    assert Versions.parse(data).to_numpy().tolist() == [3, 3, 4, 4, 4, 3, 3]


@given(st.data())
@examples
def test_the_index_finds_the_rows_that_live(data):
    """A row that was updated stands twice: where it was, deleted, and with the same id in another fragment."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    universe = rng.choice(400, 300, replace=False).astype(np.uint64) + np.uint64(rng.integers(0, 1 << 40))
    if data.draw(st.booleans()):
        universe = np.sort(universe)
    entries, live = {}, {}
    for number in rng.choice(100, 5, replace=False).tolist():
        size = int(rng.integers(0, 60))
        if data.draw(st.booleans()):
            start = int(rng.integers(0, 240))
            ids = universe[start : start + size]
        else:
            ids = rng.choice(universe, size, replace=False)
        taken = [place for place, found in enumerate(ids.tolist()) if found in live]
        extra = rng.choice(size, int(rng.integers(0, size + 1)), replace=False).tolist()
        deleted = np.array(sorted({*taken, *extra}), np.uint32)
        entries[number] = (RowIds.from_numpy(ids), deleted)
        for place, found in enumerate(ids.tolist()):
            if place not in set(deleted.tolist()):
                live[found] = (number << 32) + place
    index = RowIdIndex(entries)
    assert index.lookup(list(live)).tolist() == list(live.values())
    for found in universe.tolist():
        if found not in live:
            with pytest.raises(OptionError, match=str(found)):
                index.lookup([*live, found])


def test_ids_that_there_are_not():
    index = RowIdIndex(
        {0: (RowIds.range(5, 10), NO_OFFSETS), 4: (RowIds.range(20, 30), np.array([0], np.uint32))}
    )
    assert index.lookup([9, 21, 5]).tolist() == [4, (4 << 32) + 1, 0]
    assert index.lookup([]).tolist() == []
    assert index.lookup(np.array([7], np.int64)).dtype == np.uint64
    for missing in (0, 4, 10, 20, 30, MAX):
        with pytest.raises(OptionError, match=f"row id {missing}"):
            index.lookup([5, missing])
    for wrong in ([-1], [1.0], ["a"], [[1]], [1 << 64], np.array([-1])):
        with pytest.raises(OptionError):
            index.lookup(wrong)
    with pytest.raises(OptionError, match="row id 5"):
        RowIdIndex({}).lookup([5])
    with pytest.raises(OptionError, match="row id 5"):
        RowIdIndex({0: (RowIds.range(5, 6), np.array([0], np.uint32))}).lookup([5])


@pytest.mark.parametrize(
    "entries",
    [
        {0: (RowIds.range(0, 5), NO_OFFSETS), 1: (RowIds.range(4, 6), NO_OFFSETS)},
        {0: (RowIds.from_numpy([4, 2, 4]), NO_OFFSETS)},
        {0: (RowIds.range(0, 50), NO_OFFSETS), 1: (RowIds.from_numpy([4]), NO_OFFSETS)},
    ],
)
def test_two_rows_with_the_same_id(entries):
    with pytest.raises(FormatError, match="row id 4"):
        RowIdIndex(entries)


def test_an_index_over_what_cannot_be():
    with pytest.raises(FormatError, match="addresses"):
        RowIdIndex({0: (RowIds.range(0, (1 << 32) + 1), NO_OFFSETS)})
    with pytest.raises(LanceletError, match="row 5 of fragment 3 is deleted"):
        RowIdIndex({3: (RowIds.range(0, 5), np.array([5], np.uint32))})


def test_an_index_of_many_fragments_is_made_without_their_rows():
    """A thousand fragments of a million rows each: a row each in Python would take minutes, and 8 GB."""
    million = 1_000_000
    entries = {
        number: (RowIds.range(number * million, (number + 1) * million), NO_OFFSETS) for number in range(1000)
    }
    entries[500] = (entries[500][0], np.arange(0, million, 100, dtype=np.uint32))
    began = time.perf_counter()
    index = RowIdIndex(entries)
    assert time.perf_counter() - began < 5.0
    wanted = np.random.default_rng(0).choice(499 * million, 1000)
    expected = (wanted // million << 32) + wanted % million
    assert np.array_equal(index.lookup(wanted), expected.astype(np.uint64))
    assert index.lookup([500 * million + 1]).tolist() == [(500 << 32) + 1]
    with pytest.raises(OptionError):
        index.lookup([500 * million + 100])


@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=5), max_size=4))
@examples
def test_doubled_ids(fragments) -> None:
    parts = [
        RowIds.from_numpy([id_ for start, length in runs for id_ in range(start, start + length)])
        for runs in fragments
    ]
    ids = sorted(np.concatenate([np.empty(0, np.uint64), *(part.to_numpy() for part in parts)]).tolist())
    doubled = [id_ for id_, before in zip(ids[1:], ids, strict=False) if id_ == before]
    assert doubled_ids(parts) == (len(doubled), min(doubled, default=-1), max(ids, default=-1))


def test_doubled_ids_at_the_end_of_all_ids() -> None:
    last = RowIds.from_numpy(np.array([2**64 - 1], np.uint64))
    assert doubled_ids([last, RowIds.range(0, 1 << 40)]) == (0, -1, 2**64 - 1)
    assert doubled_ids([last, last, RowIds.range(7, 1 << 40), RowIds.range(0, 9)])[:2] == (3, 7)
