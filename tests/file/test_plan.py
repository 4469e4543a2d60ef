"""Plans of reads: what they say is what is fetched."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet import FileReader, OptionError
from lancelet.file.plan import ReadPlan
from lancelet.storage import open_source
from lancelet.storage.counting import CountingSource

NUM_ROWS = 50_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "n": rng.integers(0, 1 << 30, NUM_ROWS),
            "s": [f"text {i}" for i in range(NUM_ROWS)],
            "p": pa.array([{"x": i, "v": [i] * (i % 4)} for i in range(NUM_ROWS)]),
        }
    )
    path = tmp_path_factory.mktemp("plan") / "file.lance"
    with lancelet.FileWriter(path, data_cache_bytes=0, max_page_bytes=100_000) as writer:
        writer.write_table(table)
    return path


def test_a_take_needs_the_chunks_that_hold_its_rows(path):
    plan = FileReader(path, mmap=False).plan([5, 100, 40_000])
    assert [column.name for column in plan.columns] == ["n", "s", "p.x", "p.v.item"]
    assert [column.column for column in plan.columns] == [0, 1, 2, 3]
    assert plan.num_rows == 3
    assert plan.is_complete
    for column in plan.columns:
        first, last = column.pages
        assert first.page == 0
        assert first.rows == ((5, 6), (100, 101))
        assert len(first.ranges) == 1
        assert sum(stop - start for start, stop in last.rows) == 1
    assert plan.num_bytes < 100_000
    whole = FileReader(path).plan()
    assert whole.num_rows == NUM_ROWS
    assert whole.num_bytes > 500_000


@pytest.mark.parametrize("rows", [[7], [5, 100, 40_000], list(range(0, NUM_ROWS, 500))])
def test_what_is_planned_is_fetched(path, rows):
    source = CountingSource(open_source(path))
    reader = FileReader(source)
    result = reader.take_rows(rows)
    plan = result.plan()
    source.requests.clear()
    result.to_table()
    asked = {(request.position, request.size) for request in source.requests}
    assert asked == set(plan.requests)
    assert reader.plan(rows) == plan


def test_heads_are_fetched_together_and_once(path):
    source = CountingSource(open_source(path))
    reader = FileReader(source)
    calls = []
    read_ranges = source.read_ranges
    source.read_ranges = lambda ranges: calls.append(ranges) or read_ranges(ranges)
    reader.take_rows([5, 40_000]).to_table()
    assert len(calls) == 2  # heads, then chunks
    reader.take_rows([6, 40_001]).to_table()
    assert len(calls) == 3


def test_plans_of_scans_ranges_and_takes_are_of_one_kind(path):
    reader = FileReader(path)
    assert reader.plan(start=10, num_rows=5) == reader.plan(range(10, 15))
    assert reader.plan() == reader.read_all().plan() == reader.plan(start=0, num_rows=NUM_ROWS)
    assert reader.plan(start=NUM_ROWS).num_bytes == 0
    assert reader.plan([]).num_rows == 0
    assert [column.name for column in reader.plan([1], columns=["p.v"]).columns] == ["p.v.item"]
    with pytest.raises(OptionError, match="do not exist"):
        reader.plan(start=0, num_rows=NUM_ROWS + 1)


def test_a_plan_is_plain(path):
    plan = FileReader(path).plan([1, 2, 9])
    assert isinstance(plan, ReadPlan)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert hash(plan) == hash(pickle.loads(pickle.dumps(plan)))
    assert "position=" in repr(plan)


def test_text(path):
    lines = FileReader(path, columns=["n", "s"]).take_rows([1, 2, 9]).explain().splitlines()
    assert lines[0].split() == ["column", "page", "layout", "rows", "wanted", "bytes"]
    assert lines[1].split()[:3] == ["n", "0", "mini_block"]
    assert "1:3, 9" in lines[1]
    assert lines[4].startswith("3 rows, ")
    many = FileReader(path).plan(range(0, 2000, 2))
    assert "... (1000 ranges)" in str(many)


def test_values_of_blobs_come_after_the_plan():
    blob = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    batch = pa.record_batch([pa.array([b"x" * 100] * 10, pa.large_binary())], schema=pa.schema([blob]))
    file = lancelet.encode_batch(batch).to_self_described()
    plan = FileReader(file).plan()
    assert not plan.is_complete
    assert "decides what is read after them" in str(plan)
    assert FileReader(file, blobs="descriptors").plan().is_complete


def test_files_of_version_2_0():
    data = {"n": list(range(100)), "l": [[1, 2]] * 100, "s": ["text"] * 100}
    file = lancelet.encode_batch(pa.record_batch(data), version="2.0").to_self_described()
    plan = FileReader(file).plan([3, 50])
    assert not plan.is_complete
    assert [column.name for column in plan.columns] == ["n", "l", "s"]
    assert plan.num_bytes > 0
    assert FileReader(file).plan([]).columns == ()
