"""Datasets, fragments and scanners are data too: their blobs come with values, and stay the kind that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from blob_tables import BLOBS, MARK, blob, blob_field, blob_table, sized
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.changes import blob_values
from oracle.client import oracle

if TYPE_CHECKING:
    from pathlib import Path

#: Inline, packed, dedicated, null and empty.
VALUES = sized(3, 70_000, None, 0, 5 << 20, 900, 66_000)
FIRST = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})


def values_of(dataset: lancelet.Dataset, column: str = "b") -> list[Any]:
    rows = range(dataset.count_rows())
    return [None if file is None else file.read() for file in dataset.take_blobs(column, indices=rows)]


@pytest.fixture(params=["first-2.0", "first-2.1", "first-2.2", "second", "two children"])
def source(request: pytest.FixtureRequest) -> lancelet.Dataset:
    """Two fragments, of which rows are deleted."""
    kind, _, version = request.param.partition("-")
    if kind == "first":
        table = pa.table({"id": range(7), "b": VALUES}, pa.schema([("id", pa.int64()), FIRST]))
    elif kind == "second":
        table = blob_table(VALUES, blob_field(inline=100))
    else:
        type_ = pa.struct([("data", pa.large_binary()), ("uri", pa.string())])
        field = pa.field("b", type_, metadata=MARK)
        blobs = pa.array([blob(value) for value in VALUES], type_)
        table = pa.table([pa.array(range(7)), blobs], pa.schema([("id", pa.int64()), field]))
    store = MemoryStore()
    for _ in range(2):
        made = lancelet.write_dataset(table, store, mode="append", data_storage_version=version or "2.2")
    made.delete("id = 1")
    return made


LEFT = (VALUES[:1] + VALUES[2:]) * 2


def test_a_copy_has_the_values_and_the_type(source: lancelet.Dataset, tmp_path: Path) -> None:
    """It failed, and the advice of the error did not help."""
    version = source.data_storage_version
    copy = lancelet.write_dataset(source, tmp_path / "d", data_storage_version=version)
    assert copy.schema == source.schema
    assert copy.schema.field("b").metadata == source.schema.field("b").metadata
    assert values_of(copy) == LEFT
    code = """
ds = lance.dataset(root)
result = [file and file.read() for file in ds.take_blobs("b", indices=list(range(ds.count_rows())))]
"""
    assert oracle("14.0.2").run(code, root=str(tmp_path / "d")) == LEFT


def test_rows_of_itself(source: lancelet.Dataset) -> None:
    grown = lancelet.write_dataset(source, source, mode="append")
    assert values_of(grown) == LEFT * 2
    old = lancelet.dataset(source.store, version=1)
    assert values_of(lancelet.write_dataset(old, old.store, mode="overwrite")) == VALUES


def test_parts_of_a_dataset(source: lancelet.Dataset) -> None:
    version = source.data_storage_version
    for data, expected in (
        (source.scanner(["b"], "id >= 4", limit=4), (LEFT[3:6] + LEFT[3:6])[:4]),
        (source.scanner({"c": "b"}, offset=10), LEFT[10:]),
        (source.scanner(["b"], blob_handling="all_binary"), LEFT),
        (source.scanner(iter(["b", "id"]), with_row_address=False), LEFT),
        (source.get_fragments()[1], LEFT[:6]),
    ):
        copy = lancelet.write_dataset(data, MemoryStore(), data_storage_version=version)
        name = "c" if "c" in copy.schema.names else "b"
        assert copy.schema.field(name).type == source.schema.field("b").type
        assert values_of(copy, name) == expected
    grown = source
    grown.insert(source.scanner(["id", "b"], "id = 4"))
    assert values_of(grown) == [*LEFT, VALUES[4], VALUES[4]]


def test_tables_of_descriptors_are_refused_with_advice(source: lancelet.Dataset) -> None:
    with pytest.raises(OptionError, match="write a dataset or a scanner itself"):
        lancelet.write_dataset(source.to_table(), MemoryStore(), data_storage_version="2.2")


def test_progress_knows_all_rows(source: lancelet.Dataset) -> None:
    seen: list[tuple[int, int | None]] = []
    version = source.data_storage_version
    lancelet.write_dataset(
        source, MemoryStore(), data_storage_version=version, progress=lambda *done: seen.append(done)
    )
    assert (seen[0], seen[-1]) == ((0, 12), (12, 12))


def test_few_bytes_at_a_time(source: lancelet.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_values, "_BATCH_BYTES", 70_000)
    rows = blob_values.rows_with_values(source.scanner())
    batches = list(rows.batches)
    assert [
        row.get("data") if isinstance(row, dict) else row
        for batch in batches
        for row in batch["b"].to_pylist()
    ] == LEFT
    assert all(batch.num_rows == 1 or batch.nbytes < 80_000 for batch in batches)
    assert len(batches) > 5


def test_blobs_at_other_places() -> None:
    """In structs, in lists, in both, and in a list that is a slice or null."""
    deep = pa.list_(pa.field("item", pa.struct([blob_field("v"), pa.field("n", pa.int8())])))
    schema = pa.schema(
        [pa.field("s", pa.struct([pa.field("n", pa.int8()), blob_field("v")])), pa.field("l", deep)]
    )
    small, big = b"x" * 10, b"y" * 70_000
    table = pa.table(
        [
            pa.array(
                [{"n": 1, "v": blob(big)}, None, {"n": 3, "v": None}, {"n": 4, "v": blob(small)}],
                schema.field("s").type,
            ),
            pa.array([[{"v": blob(small), "n": 1}, {"v": None}], None, [], [None, {"v": blob(big)}]], deep),
        ],
        schema,
    )
    source = lancelet.write_dataset(table, MemoryStore(), max_rows_per_file=3)
    expected = source.to_table(blob_handling="all_binary")
    for data, wanted in ((source, expected), (source.scanner(offset=1), expected.slice(1))):
        copy = lancelet.write_dataset(data, MemoryStore())
        assert copy.schema == source.schema
        assert copy.to_table(blob_handling="all_binary").to_pylist() == wanted.to_pylist()
    rows = blob_values.rows_with_values(source.scanner(["s.v"]))
    assert rows.schema.field("s.v").type == BLOBS
    assert [row and row["data"] for batch in rows.batches for row in batch[0].to_pylist()] == [
        big,
        None,
        None,
        small,
    ]


def test_blobs_in_fixed_size_lists_are_refused() -> None:
    table = pa.table({"f": pa.array([[blob(b"x")]], pa.list_(blob_field("item"), 1))})
    source, store = lancelet.write_dataset(table, MemoryStore()), MemoryStore()
    with pytest.raises(UnsupportedError, match=r"blobs in fixed_size_list.* are not copied"):
        lancelet.write_dataset(source, store)
    assert store.list("") == []


def test_objects_of_the_user_stay_where_they_are() -> None:
    values = ["s3://bucket/object", None, ("file:///etc/hostname", 3, 4), b"own"]
    source = lancelet.write_dataset(blob_table(values), MemoryStore())
    copy = lancelet.write_dataset(source, MemoryStore())
    whole, nothing, part, own = copy.take_blobs("b", indices=range(4))
    assert whole is not None
    assert part is not None
    assert own is not None
    assert nothing is None
    assert (whole.uri, part.uri, own.uri) == (values[0], "file:///etc/hostname", "")
    assert (part.place.position, part.size(), own.read()) == (3, 4, b"own")


def test_a_part_of_an_object_needs_a_field_that_can_say_so() -> None:
    two = pa.struct([("data", pa.large_binary()), ("uri", pa.string())])
    empty = pa.table([pa.array([], two)], pa.schema([pa.field("b", two, metadata=MARK)]))
    source = lancelet.write_dataset(empty, MemoryStore())
    source.insert(blob_table([("file:///x", 3, 4)]).select(["b"]))
    with pytest.raises(UnsupportedError, match="declares no position and size"):
        lancelet.write_dataset(source, MemoryStore())


def test_a_body_that_is_gone(tmp_path: Path) -> None:
    source = lancelet.write_dataset(blob_table(sized(3, 70_000)), tmp_path / "d")
    (path,) = (path for path in source.store.list("data") if path.endswith(".blob"))
    source.store.delete(path)
    store = MemoryStore()
    with pytest.raises(FormatError, match="does not exist"):
        lancelet.write_dataset(source, store)
    assert store.list("") == []


def test_data_without_blobs_goes_on_as_before(tmp_path: Path) -> None:
    table = pa.table({"a": range(100), "s": [{"x": str(number)} for number in range(100)]})
    source = lancelet.write_dataset(table, tmp_path / "d", max_rows_per_file=30)
    stores: list[Store] = [MemoryStore(), LocalStore(tmp_path / "e")]
    for store in stores:
        assert lancelet.write_dataset(source, store).to_table() == table
    found = lancelet.write_dataset(source, stores[0], pa.schema([("a", pa.int32())]), mode="overwrite")
    assert found.to_table() == table.select(["a"]).cast(pa.schema([("a", pa.int32())]))
    with pytest.raises(OptionError, match="has no column 'b'"):
        lancelet.write_dataset(source, stores[0], pa.schema([("b", pa.int32())]), mode="overwrite")


def test_columns_of_json_stay_what_they_are(tmp_path: Path) -> None:
    json = pa.array(['{"a":1}', None], pa.json_())
    source = lancelet.write_dataset(pa.table({"j": json}), tmp_path / "d")
    source.insert(source)
    copy = lancelet.write_dataset(source, tmp_path / "e")
    assert copy.schema == source.schema
    code = "result = lance.dataset(root).to_table()['j'].to_pylist()"
    assert oracle("14.0.2").run(code, root=str(tmp_path / "e")) == ['{"a":1}', None] * 2
