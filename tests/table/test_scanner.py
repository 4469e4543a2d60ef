"""Scans against the same table in memory: columns, filters, limits, offsets, batches; what is decoded and what is not."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import lancelet
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage import MemoryStore
from lancelet.table.reads.projection import Projection
from lancelet.table.reads.scanner import Scanner
from lancelet.table.reads.session import Session
from lancelet.table.reads.snapshot import Snapshot
from lancelet.table.reads.take import sample_rows, take_addresses, take_positions, take_row_ids
from lancelet.versions import Version
from table.made_datasets import split_snapshot

VERSIONS = (Version.V2_0, Version.V2_1, Version.V2_2)


def rows(num_rows: int) -> pa.Table:
    chance = np.random.default_rng(5)
    x = chance.random(num_rows)
    return pa.table(
        {
            "id": np.arange(num_rows),
            "x": pa.array(x, mask=x > 0.9),
            "name": [None if row % 11 == 0 else f"name {row % 97}" for row in range(num_rows)],
            "st": [{"u": row % 10, "t": {"w": str(row)}} for row in range(num_rows)],
            "wide": [b"w" * (row % 40) for row in range(num_rows)],
        }
    )


@pytest.fixture(scope="module", params=VERSIONS, ids=str)
def made(request):
    sizes = [500, 1, 3000, 20, 700, *([10] * 40)]
    table = rows(sum(sizes))
    gone = {0: range(0, 500, 3), 2: [0, 1, 2999], 4: range(650), 7: range(1, 10)}
    return split_snapshot(table, sizes, {key: list(value) for key, value in gone.items()}, request.param)


FILTERS = {
    "id < 10": lambda t: pc.less(t["id"], 10),
    "x < 0.01": lambda t: pc.less(t["x"], 0.01),
    "x < 0.5 and name is not null": lambda t: pc.and_(pc.less(t["x"], 0.5), pc.is_valid(t["name"])),
    "st.u = 3": lambda t: pc.equal(pc.struct_field(t["st"], ["u"]), 3),
    "st.t.w = '77' or id > 3000": lambda t: pc.or_(
        pc.equal(pc.struct_field(t["st"], ["t", "w"]), "77"), pc.greater(t["id"], 3000)
    ),
    "id >= 0": lambda t: pc.greater_equal(t["id"], 0),
    "id < 0": lambda t: pc.less(t["id"], 0),
}


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("late", [None, False])
def test_filters(made, text, late) -> None:
    snapshot, live = made
    expected = live.filter(FILTERS[text](live))
    for columns in (None, ["name"], ["x", "st.t.w"], ["id"], []):
        scanner = Scanner(snapshot, columns=columns, filter=text, late_materialization=late)
        found = scanner.to_table()
        assert found.num_rows == expected.num_rows
        assert found.equals(chosen(expected, columns))
        assert scanner.count_rows() == expected.num_rows


def chosen(table: pa.Table, columns: list[str] | None) -> pa.Table:
    if columns is None:
        return table
    arrays = {
        name: pc.struct_field(table["st"], ["t", "w"]) if "." in name else table[name] for name in columns
    }
    return pa.table(arrays) if arrays else table.select([])


def test_limits_and_offsets(made) -> None:
    snapshot, live = made
    chance = np.random.default_rng(1)
    for text in (None, "x < 0.5", "id < 40"):
        expected = (
            live
            if text is None
            else live.filter(FILTERS.get(text, lambda t: pc.less(t["x"], 0.5))(live))
            if text != "id < 40"
            else live.filter(pc.less(live["id"], 40))
        )
        for _ in range(12):
            offset, limit = chance.integers(0, expected.num_rows + 3, 2).tolist()
            options = {"filter": text, "offset": offset, "limit": limit}
            part = expected.slice(offset, limit)
            assert Scanner(snapshot, **options).to_table().equals(part)
            assert Scanner(snapshot, **options).count_rows() == part.num_rows
            batches = list(Scanner(snapshot, **options, batch_size=100).to_batches())
            assert pa.Table.from_batches(batches, live.schema).equals(part)
            assert Scanner(snapshot, **options).head(5).equals(part.slice(0, 5))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("size", [None, 1, 64, 1000, 10**6])
def test_batches(made, size, strict) -> None:
    snapshot, live = made
    scanner = Scanner(snapshot, batch_size=size, strict_batch_size=strict)
    batches = list(scanner)
    assert pa.Table.from_batches(batches).equals(live)
    if size is not None:
        assert max(batch.num_rows for batch in batches) <= size
        if strict:
            assert {batch.num_rows for batch in batches[:-1]} <= {size}
    assert pa.table(scanner).equals(live)
    assert scanner.to_reader().read_all().equals(live)


def test_many_small_fragments_come_as_few_batches_and_chunks() -> None:
    table = pa.table({"a": np.arange(20_000)})
    snapshot, _ = split_snapshot(table, [100] * 200, {})
    assert len(list(Scanner(snapshot).to_batches())) < 10
    assert Scanner(snapshot).to_table()["a"].num_chunks == 1


def test_memory_is_bounded() -> None:
    table = pa.table({"a": [f"{row:0100}" for row in range(100_000)]})
    snapshot, _ = split_snapshot(table, [100_000], {})
    before, most = pa.total_allocated_bytes(), 0
    for _ in Scanner(snapshot, io_buffer_size=4 << 20).to_batches():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 8 << 20  # of 10 MB


def test_columns_by_expression_and_system_columns(made) -> None:
    snapshot, live = made
    found = Scanner(
        snapshot, columns={"d": "id * 2", "w": "st.t.w", "id": "id"}, filter="id < 100"
    ).to_table()
    expected = live.filter(pc.less(live["id"], 100))
    assert found["d"].to_pylist() == [2 * row for row in expected["id"].to_pylist()]
    assert found["w"].to_pylist() == [row["t"]["w"] for row in expected["st"].to_pylist()]
    assert found.column_names == ["d", "w", "id"]
    both = Scanner(snapshot, columns=["_rowaddr", "id"], with_row_id=True, with_row_address=True).to_table()
    assert both.column_names == ["_rowaddr", "id", "_rowid"]
    assert both["_rowaddr"].equals(both["_rowid"])
    some = Scanner(snapshot, columns=["id"], filter="_rowaddr >= 4294967296 and id < 510").to_table()
    assert some["id"].to_pylist() == [500, *range(503, 510)]
    with pytest.raises(UnsupportedError, match="stable row ids"):
        Scanner(snapshot, columns=["_row_created_at_version"]).to_table()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["names"]}, "nearest are 'name'"),
        ({"columns": ["id", "id"]}, "asked for twice"),
        ({"columns": "id"}, "list of names"),
        ({"columns": ["st.q"]}, "no field"),
        ({"limit": -1}, "limit is -1"),
        ({"offset": -1}, "offset is -1"),
        ({"limit": True}, "limit is True"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_readahead": 0}, "batch_readahead is 0"),
        ({"io_buffer_size": 0}, "io_buffer_size is 0"),
        ({"blob_handling": "some"}, "blob_handling is 'some'"),
        ({"filter": "names < 3"}, ""),
        ({"columns": {"a": 3}}, "the expression in SQL"),
    ],
)
def test_wrong_arguments(made, options, message) -> None:
    with pytest.raises(OptionError, match=message or None):
        Scanner(made[0], **options)


# ---- what is read


class CountingStore(MemoryStore):
    """Notes which objects are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open_source(self, path, *, size=None):
        self.opened.append(path)
        return super().open_source(path, size=size)


def counting(snapshot: Snapshot, **limits) -> tuple[Snapshot, CountingStore]:
    store = CountingStore()
    store._objects = snapshot.store._objects
    return Snapshot(store, snapshot.manifest, Session(**limits)), store


def test_counting_reads_no_file_and_offsets_skip_fragments(made) -> None:
    snapshot, live = made
    again, store = counting(snapshot)
    assert Scanner(again).count_rows() == live.num_rows
    assert Scanner(again, limit=10, offset=5).count_rows() == 10
    assert store.opened == []
    Scanner(again, offset=live.num_rows - 5).to_table()
    assert len([path for path in store.opened if path.startswith("data/")]) <= 2


def test_a_session_keeps_files_open_and_no_more_than_allowed(made) -> None:
    snapshot, live = made
    again, store = counting(snapshot)
    for _ in range(3):
        assert Scanner(again).to_table().equals(live)
    data = [path for path in store.opened if path.startswith("data/")]
    assert len(data) == len(set(data)) == len(snapshot.fragments) == again.session.num_files
    few, store = counting(snapshot, max_files=3)
    assert Scanner(few).to_table().equals(live)
    assert few.session.num_files == 3
    tiny, _ = counting(snapshot, max_bytes=1)
    assert Scanner(tiny).to_table().equals(live)
    assert tiny.session.num_files <= 1
    again.session.clear()
    assert (again.session.num_files, again.session.held_bytes) == (0, 0)
    assert pickle.loads(pickle.dumps(few.session))._max_files == 3
    for limits in ({"max_files": 0}, {"max_bytes": -1}, {"max_files": True}):
        with pytest.raises(OptionError):
            Session(**limits)


@pytest.mark.parametrize(
    "read",
    [
        lambda ds: ds.to_table(filter="a > 3"),
        lambda ds: next(ds.to_batches(batch_size=1)),
        lambda ds: ds.take([0, 5]),
        lambda ds: ds.take_rows([0, 5], columns=["a"]),
        lambda ds: pa.table(ds),
        lambda ds: ds.get_fragments()[0].to_table(),
        lambda ds: ds.validate(),
        lambda ds: ds.delete("a = 3"),
        lambda ds: ds.add_columns({"b": "a + 1"}),
    ],
)
def test_a_dropped_dataset_closes_its_files(read, tmp_path) -> None:
    """At once, as files do: a program that opens many datasets runs out of descriptors long before it collects garbage."""
    lancelet.write_dataset(
        pa.table({"a": range(10)}), tmp_path, max_rows_per_file=2, enable_stable_row_ids=True
    )
    gc.collect()
    gc.disable()
    try:
        opened = lancelet.dataset(tmp_path)
        read(opened)
        session = weakref.ref(opened.session)
        del opened
        assert session() is None
    finally:
        gc.enable()


def test_threads_share_a_snapshot(made) -> None:
    snapshot, live = made
    shared, _ = counting(snapshot, max_files=5)
    expected, found = live.filter(pc.less(live["x"], 0.5)), []

    def work() -> None:
        found.append(Scanner(shared, filter="x < 0.5").to_table())
        found.append(take_positions(shared, range(live.num_rows), Projection(shared, None, flat=False)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(table.equals(expected) or table.equals(live) for table in found)


def test_errors_of_later_windows_come_when_they_are_reached(made) -> None:
    snapshot, live = made
    again, store = counting(snapshot)
    last = snapshot.fragments[-1].files[0].path
    store._objects = {key: value for key, value in store._objects.items() if key != f"data/{last}"}
    assert Scanner(again, limit=10).to_table().equals(live.slice(0, 10))
    with pytest.raises(FormatError, match="does not exist"):
        Scanner(again).to_table()


# ---- takes


@pytest.mark.parametrize("num_rows", [0, 1, 2, 50, 5000])
def test_takes(made, num_rows) -> None:
    snapshot, live = made
    projection = Projection(snapshot, None, with_row_address=True, flat=False)
    wanted = np.random.default_rng(num_rows).integers(0, live.num_rows, num_rows)
    for indices in (wanted, wanted.tolist(), pa.array(wanted), np.sort(wanted), np.unique(wanted)):
        found = take_positions(snapshot, indices, projection)
        found.validate(full=True)
        assert found.drop_columns("_rowaddr").equals(live.take(pa.array(indices, pa.int64())))
        addresses = found["_rowaddr"].to_numpy()
        assert take_addresses(snapshot, addresses, projection).equals(found)
        assert take_row_ids(snapshot, addresses.tolist(), projection).equals(found)
    part = take_positions(snapshot, wanted, Projection(snapshot, ["st.t", "id", "st.u"], flat=False))
    assert part.column_names == ["st", "id"]
    assert part["id"].equals(live["id"].take(wanted))
    assert part["st"].to_pylist() == [
        {"t": row["t"], "u": row["u"]} for row in live["st"].take(wanted).to_pylist()
    ]


def test_takes_of_what_is_not_there(made) -> None:
    snapshot, live = made
    projection = Projection(snapshot, ["id"], flat=False)
    for wrong in ([live.num_rows], [-1], [0, 1 << 62]):
        with pytest.raises(OptionError, match="does not exist"):
            take_positions(snapshot, wrong, projection)
    for wrong in ([0], [500], [1 << 32 | 1], [99 << 32], [2**64 - 1], [-1]):  # row 0 is deleted
        with pytest.raises(OptionError):
            take_addresses(snapshot, wrong, projection)
    for wrong in ("0", [0.5], [None], [[1]]):
        with pytest.raises(OptionError, match="list of integers"):
            take_positions(snapshot, wrong, projection)


def test_samples(made) -> None:
    snapshot, live = made
    projection = Projection(snapshot, ["id"], flat=False)
    first = sample_rows(snapshot, 100, projection, seed=3)
    assert first.equals(sample_rows(snapshot, 100, projection, seed=3))
    assert not first.equals(sample_rows(snapshot, 100, projection, seed=4))
    assert len(set(first["id"].to_pylist())) == 100
    ordered = sample_rows(snapshot, 100, projection, seed=3, randomize_order=False)["id"].to_pylist()
    assert ordered == sorted(ordered)
    assert sample_rows(snapshot, 10**6, projection).num_rows == live.num_rows
    for wrong in (-1, 1.5, True):
        with pytest.raises(OptionError):
            sample_rows(snapshot, wrong, projection)
