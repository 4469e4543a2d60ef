"""Single rows of many pages: read into one buffer and decoded together, with the values that whole pages give."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lancelet
from lancelet import FileReader, FormatError
from lancelet.buffers import allocate
from lancelet.fields.decoder import field_arrays
from lancelet.fields.paths import leaf_paths, split_paths
from lancelet.fields.structure import leaf_of_array
from lancelet.pages.chunk_levels import take_rows
from lancelet.pages.fullzip import _FixedPage, _IndexedPage
from lancelet.pages.miniblock import OpenMiniBlock
from lancelet.schema.fields import Schema
from lancelet.storage import Source
from lancelet.testing import assert_tables_equal
from lancelet.testing.nested import nested_tables

if TYPE_CHECKING:
    from pathlib import Path

NUM_ROWS = 600
ZSTD = {"lance-encoding:compression": "zstd"}


def with_nulls(values: list[object], step: int) -> list[object]:
    return [None if i % step == 0 else value for i, value in enumerate(values)]


@cache
def columns() -> pa.Table:
    """Pages of every layout that is decoded together, with and without nulls and lists, large and small values."""
    rng = np.random.default_rng(3)
    small = [rng.bytes(int(size)) for size in rng.integers(0, 40, NUM_ROWS)]
    large = [rng.bytes(int(size)) for size in rng.integers(300, 900, NUM_ROWS)]
    vectors = rng.random((NUM_ROWS, 40)).tolist()
    lists = [rng.integers(0, 1000, int(size)).tolist() for size in rng.integers(0, 9, NUM_ROWS)]
    deep = [[{"a": k, "b": [str(k)] * (k % 3)} for k in items[:4]] for items in lists]
    arrays = {
        "number": pa.array(rng.integers(0, 1 << 20, NUM_ROWS)),
        "null number": pa.array(with_nulls(list(range(NUM_ROWS)), 7)),
        "text": pa.array([value.hex() for value in small]),
        "large": pa.array(large, pa.binary()),
        "null large": pa.array(with_nulls(large, 5), pa.large_binary()),
        "compressed": pa.array(large, pa.binary()),
        "vector": pa.array(vectors, pa.list_(pa.float64(), 40)),
        "null vector": pa.array(with_nulls(vectors, 6), pa.list_(pa.float64(), 40)),
        "list": pa.array(with_nulls(lists, 11), pa.list_(pa.int32())),
        "list of large": pa.array([large[i : i + i % 4] for i in range(NUM_ROWS)], pa.list_(pa.binary())),
        "deep": pa.array(with_nulls(deep, 13)),
    }
    fields = [
        pa.field(name, array.type, metadata=ZSTD if name == "compressed" else None)
        for name, array in arrays.items()
    ]
    return pa.table(list(arrays.values()), schema=pa.schema(fields))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("takes") / "file.lance"
    with lancelet.FileWriter(found, data_cache_bytes=0, max_page_bytes=8192) as writer:
        for batch in columns().to_batches(max_chunksize=50):
            writer.write_batch(batch)
    return found


@pytest.fixture(params=["mapped", "read", "bytes"])
def reader(request: pytest.FixtureRequest, path: Path) -> FileReader:
    if request.param == "bytes":
        return FileReader(path.read_bytes())
    return FileReader(path, mmap=request.param == "mapped")


@settings(max_examples=40, deadline=None)
@given(rows=st.sets(st.integers(0, NUM_ROWS - 1), min_size=1, max_size=200), data=st.data())
def test_rows_of_many_pages(path: Path, rows: set[int], data: st.DataObject) -> None:
    source = path.read_bytes() if data.draw(st.booleans()) else path
    wanted = sorted(rows)
    names = data.draw(st.lists(st.sampled_from(columns().schema.names), min_size=1, unique=True))
    found = FileReader(source, columns=names).take_rows(wanted).to_table()
    found.validate(full=True)
    assert_tables_equal(found, columns().select(names).take(wanted))


def test_every_source_gives_the_same(reader: FileReader) -> None:
    for step in (1, 2, 37, 90):
        rows = list(range(3, NUM_ROWS, step))
        assert_tables_equal(reader.take_rows(rows).to_table(), columns().take(rows))


@pytest.mark.parametrize("page", [_FixedPage, _IndexedPage, OpenMiniBlock])
def test_pages_of_one_kind_are_decoded_together(path: Path, page: type, monkeypatch) -> None:
    counts = []
    decode = page.decode_together

    def counted(self, others, parts, data, allocate):
        counts.append(len(parts))
        return decode(self, others, parts, data, allocate)

    monkeypatch.setattr(page, "decode_together", counted)
    rows = list(range(5, NUM_ROWS, 20))
    assert_tables_equal(FileReader(path).take_rows(rows).to_table(), columns().take(rows))
    assert counts
    assert max(counts) > 5


@settings(max_examples=40, deadline=None)
@given(
    limits=st.tuples(st.integers(0, NUM_ROWS - 1), st.integers(1, NUM_ROWS)),
    batch_size=st.sampled_from([17, 100, NUM_ROWS]),
    data=st.data(),
)
def test_ranges_of_many_small_pages(
    path: Path, limits: tuple[int, int], batch_size: int, data: st.DataObject
) -> None:
    start, num_rows = limits[0], min(limits[1], NUM_ROWS - limits[0])
    source = path.read_bytes() if data.draw(st.booleans()) else path
    found = FileReader(source).read_range(start, num_rows, batch_size=batch_size).to_table()
    found.validate(full=True)
    assert_tables_equal(found, columns().slice(start, num_rows))


def test_small_pages_in_a_range_are_decoded_together(path: Path, monkeypatch) -> None:
    counts = []
    decode = OpenMiniBlock.decode_together

    def counted(self, others, parts, data, allocate):
        counts.append(len(parts))
        return decode(self, others, parts, data, allocate)

    monkeypatch.setattr(OpenMiniBlock, "decode_together", counted)
    together = FileReader(path).read_all().to_table()
    assert max(counts) > 5
    counts.clear()
    monkeypatch.setattr("lancelet.file.column._SMALL_PAGE_BYTES", 0)
    assert_tables_equal(FileReader(path).read_all().to_table(), together)
    assert not counts
    monkeypatch.setattr("lancelet.file.column._SMALL_PAGE_BYTES", 1 << 20)
    monkeypatch.setattr("lancelet.file.column._JOINED_BYTES", 3000)
    assert_tables_equal(FileReader(path).read_all().to_table(), together)
    assert_tables_equal(together, columns())


def test_pages_that_do_not_go_together_are_decoded_alone(path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise lancelet.UnsupportedError("too much")

    for page in (_FixedPage, _IndexedPage, OpenMiniBlock):
        monkeypatch.setattr(page, "decode_together", refuse)
    rows = list(range(5, NUM_ROWS, 20))
    assert_tables_equal(FileReader(path).take_rows(rows).to_table(), columns().take(rows))
    assert_tables_equal(FileReader(path).read_all().to_table(), columns())


def test_pages_with_too_many_entries_are_decoded_alone(path: Path, monkeypatch) -> None:
    monkeypatch.setattr("lancelet.pages.miniblock._MOST_TOGETHER", 100)
    assert_tables_equal(FileReader(path).read_all().to_table(), columns())


def test_packed_levels_are_picked_at_once_or_step_by_step(path: Path, monkeypatch) -> None:
    rows = list(range(5, NUM_ROWS, 7))
    at_once = FileReader(path).take_rows(rows).to_table()
    monkeypatch.setattr("lancelet.pages.miniblock.packed_widths", lambda *_: None)
    assert_tables_equal(FileReader(path).take_rows(rows).to_table(), at_once)


def take_generally(*_: object) -> None:
    """Stands for :func:`~lancelet.pages.chunk_levels.take_rows` where there is too much for it."""


@cache
def lists() -> pa.Table:
    """Pages with several blocks of levels: those are packed in the way that can be taken from."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(0, 9, 4000).tolist()
    items = [rng.integers(0, 1 << 16, size).tolist() for size in sizes]
    texts = [[None if k % 5 == 0 else f"text {k % 90}" for k in row] for row in items]
    records = [[None if k % 7 == 0 else {"a": k, "b": str(k)} for k in row] for row in items]
    return pa.table(
        {
            "list": pa.array(with_nulls(items, 11), pa.list_(pa.int32())),
            "null items": pa.array(with_nulls(texts, 4)),
            "records": pa.array(with_nulls(records, 9)),
            "record": pa.array([None if i % 6 == 0 else {"a": i, "b": [i] * (i % 3)} for i in range(4000)]),
            "deep": pa.array([[row, None, row[:2]] for row in items]),
        }
    )


@cache
def lists_file() -> bytes:
    return bytes(lancelet.encode_batch(lists()).to_self_described())


@pytest.mark.parametrize("rows", [[5], [0, 3, 4, 3999], list(range(100, 130)), list(range(0, 4000, 9))])
def test_few_rows_are_taken_in_one_call_or_step_by_step(rows: list[int], monkeypatch) -> None:
    outcomes = []

    def noted(*arguments: Any) -> Any:
        outcomes.append(take_rows(*arguments))
        return outcomes[-1]

    monkeypatch.setattr("lancelet.pages.miniblock.take_rows", noted)
    found = FileReader(lists_file()).take_rows(rows).to_table()
    assert len(outcomes) >= 5
    if len(rows) < 100:
        assert None not in outcomes
    monkeypatch.setattr("lancelet.pages.miniblock.take_rows", take_generally)
    assert_tables_equal(found, FileReader(lists_file()).take_rows(rows).to_table())
    assert_tables_equal(found, lists().take(rows))
    found.validate(full=True)


def test_damaged_bytes_end_alike(monkeypatch) -> None:
    reader = FileReader(lists_file())
    rng, refused = np.random.default_rng(8), 0
    for _ in range(200):
        rows = np.sort(rng.choice(4000, 2, replace=False)).tolist()
        ranges = [
            span for column in reader.plan(rows).columns for page in column.pages for span in page.ranges
        ]
        position, size = ranges[int(rng.integers(0, len(ranges)))]
        broken = bytearray(lists_file())
        broken[position + int(rng.integers(0, min(size, 400)))] ^= 1 << int(rng.integers(0, 8))
        outcomes: list[pa.Table] = []
        for way in (take_rows, take_generally):
            monkeypatch.setattr("lancelet.pages.miniblock.take_rows", way)
            try:
                outcomes.append(FileReader(bytes(broken)).take_rows(rows).to_table())
            except lancelet.LanceletError:
                refused += 1
        assert len(outcomes) != 1
        if outcomes:
            assert_tables_equal(*outcomes)
    assert refused > 20


def test_the_damaged_page_is_named(path: Path, tmp_path: Path) -> None:
    reader = FileReader(path, columns=["null large"])
    part = reader.plan([10, 300, 590]).columns[0].pages[1]
    raw = bytearray(path.read_bytes())
    start = part.ranges[0].position
    raw[start] = 0xFF  # a definition level
    damaged = tmp_path / "damaged.lance"
    damaged.write_bytes(raw)
    for source in (damaged, bytes(raw)):
        with pytest.raises(FormatError, match="level") as caught:
            FileReader(source, columns=["null large"]).take_rows([10, 300, 590]).to_table()
        assert caught.value.place["page"] == part.page


@settings(max_examples=80, deadline=None)
@given(table=nested_tables("2.2"), seed=st.integers(0, 99))
def test_the_short_way_to_nested_arrays_is_no_other(table: pa.Table, seed: int) -> None:
    if not table.num_rows:
        return
    reader = FileReader(lancelet.encode_batch(table).to_self_described())
    rows = np.unique(np.random.default_rng(seed).integers(0, table.num_rows, 9)).tolist()
    short = reader.take_rows(rows).to_table()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lancelet.fields.decoder.assembled", lambda *_: None)
        long = reader.take_rows(rows).to_table()
    short.validate(full=True)
    assert short.schema == long.schema
    assert_tables_equal(short, long)
    assert short.nbytes <= long.nbytes


def test_columns_that_disagree_are_an_error() -> None:
    """The lists of one leaf are cut elsewhere than those of the other; or have nulls where the others are empty."""
    lists = [[{"a": 1, "b": 2.5}], [], None, [{"a": 3, "b": 4.5}] * 2]
    array = pa.array(lists)
    field = Schema.from_arrow(pa.schema([("s", array.type)])).fields[0]
    first, second = (
        [
            leaf_of_array(part, path)
            for part, path in zip(split_paths(rows, field), leaf_paths(field), strict=True)
        ]
        for rows in (array, pa.array([lists[3], *lists[1:3], lists[0]]))
    )
    third = leaf_of_array(
        split_paths(pa.array([lists[0], None, [], lists[3]]), field)[1], leaf_paths(field)[1]
    )
    (found,) = field_arrays(field, field, [[(leaf, None)] for leaf in first], allocate)
    assert found.equals(array)
    for other in (second[1], third):
        with pytest.raises(FormatError, match="disagree"):
            field_arrays(field, field, [[(first[0], None)], [(other, None)]], allocate)


class Writable(Source):
    """A user's source, whose reads are views of memory that it keeps, and that nothing protects."""

    name = "writable"

    def __init__(self, data: bytes, *, gives_views: bool) -> None:
        self.memory = bytearray(data)
        self.gives_views = gives_views

    def size(self) -> int:
        return len(self.memory)

    def read(self, position: int, size: int) -> memoryview:
        self._check_range(position, size)
        return memoryview(self.memory)[position : position + size]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("gives_views", [True, False])
def test_what_a_source_keeps_is_not_written_to(path: Path, gives_views: bool) -> None:
    data = path.read_bytes()
    source = Writable(data, gives_views=gives_views)
    reader = FileReader(source)
    for rows in ([0, 1, 2], [5], list(range(0, NUM_ROWS, 3))):
        assert_tables_equal(reader.take_rows(rows).to_table(), columns().take(rows))
        assert source.memory == data
    assert_tables_equal(reader.read_all().to_table(), columns())
    assert source.memory == data
