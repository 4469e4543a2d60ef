"""Fields of a fragment from its data files: renamed, missing, in several files; deletions; damaged descriptions."""

from __future__ import annotations

import contextlib
import gc
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lancelet
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pages.base import RowRanges
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore, MemoryStore
from lancelet.table.formats.metadata import TOMBSTONE, DeletionFile, FragmentMetadata
from lancelet.table.reads.fragment import Fragment
from lancelet.table.reads.fragment_reader import _widened
from lancelet.table.reads.scanner import Scanner
from lancelet.versions import Version
from oracle import oracle
from table.made_datasets import make_fragment, make_snapshot, split_snapshot, write_file
from table.test_bitmap import full_bitmap

VERSIONS = (Version.V2_0, Version.V2_1, Version.V2_2)
ITEM = pa.struct([("u", pa.int32()), ("v", pa.string())])
SCHEMA = pa.schema(
    [
        ("a", pa.int64()),
        ("st", pa.struct([("x", pa.int64()), ("y", pa.string()), ("z", pa.list_(pa.int32()))])),
        ("l", pa.list_(ITEM)),
        ("s", pa.string()),
    ]
)
FIELDS = Schema.from_arrow(SCHEMA)


def rows(num_rows: int, *, nulls: bool = True) -> pa.Table:
    return pa.table(
        {
            "a": [None if nulls and row % 7 == 3 else row for row in range(num_rows)],
            "st": [
                None
                if nulls and row % 5 == 1
                else {"x": row, "y": f"y{row}" if row % 3 else None, "z": [row] * (row % 4)}
                for row in range(num_rows)
            ],
            "l": [
                None if nulls and row % 6 == 2 else [{"u": item, "v": str(item)} for item in range(row % 3)]
                for row in range(num_rows)
            ],
            "s": [f"s{row}" for row in range(num_rows)],
        },
        schema=SCHEMA,
    )


def child_only(table: pa.Table, column: str, *names: str) -> pa.Table:
    """Return a struct column with some of its children."""
    array = table[column].combine_chunks()
    type_ = pa.struct([array.type.field(name) for name in names])
    mask = array.is_null()
    children = [array.field(name) for name in names]
    return pa.table({column: pa.StructArray.from_arrays(children, fields=list(type_), mask=mask)})


def read(snapshot, **options) -> pa.Table:
    table = Scanner(snapshot, **options).to_table()
    for column in table.columns:
        column.validate(full=True)
    return table


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_in_several_files_and_in_any_order(version) -> None:
    table, store = rows(50, nulls=version > Version.V2_0), MemoryStore()
    files = [
        write_file(store, FIELDS, table.select(["s"]), version),
        write_file(store, FIELDS, table.select(["l", "a"]), version),
        write_file(store, FIELDS, table.select(["st"]), version),
    ]
    snapshot = make_snapshot(FIELDS, [make_fragment(store, 3, files, 50, [0, 7, 49])], store)
    expected = table.take([row for row in range(50) if row not in (0, 7, 49)])
    assert read(snapshot).equals(expected)
    assert read(snapshot, columns=["l", "st.y", "a"]).equals(
        pa.table(
            {"l": expected["l"], "st.y": pa.compute.struct_field(expected["st"], ["y"]), "a": expected["a"]}
        )
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_children_of_a_struct_in_two_files(version, order) -> None:
    table, store = rows(40, nulls=version > Version.V2_0), MemoryStore()
    parts = [child_only(table, "st", "x", "z"), child_only(table, "st", "y")]
    files = [write_file(store, FIELDS, parts[part], version) for part in order]
    if (
        version == Version.V2_0
    ):  # what the reference does where a child is replaced: the struct moves to the new file
        files[0] = replace(files[0], fields=(TOMBSTONE, *files[0].fields[1:]))
    files.append(write_file(store, FIELDS, table.select(["a", "l", "s"]), version))
    snapshot = make_snapshot(FIELDS, [make_fragment(store, 0, files, 40)], store)
    assert read(snapshot).equals(table)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_no_file_holds_is_null(version) -> None:
    table, store = rows(30, nulls=version > Version.V2_0), MemoryStore()
    file = write_file(store, FIELDS, child_only(table, "st", "y"), version)
    found = read(make_snapshot(FIELDS, [make_fragment(store, 0, [file], 30)], store))
    assert found.schema.equals(SCHEMA)
    for row, expected in zip(found.to_pylist(), table.to_pylist(), strict=True):
        own = expected["st"] and {"x": None, "y": expected["st"]["y"], "z": None}
        assert row == {"a": None, "st": own, "l": None, "s": None}


def test_items_of_lists_in_part() -> None:
    table, store = rows(30), MemoryStore()
    fields = Schema.from_arrow(SCHEMA)
    file = write_file(store, fields, table)
    column = fields.fields[2].children[0].children[0]  # l.item.u
    at = file.fields.index(column.id)
    gone = replace(file, fields=(*file.fields[:at], TOMBSTONE, *file.fields[at + 1 :]))
    found = read(make_snapshot(fields, [make_fragment(store, 0, [gone], 30)], store))
    expected = [
        None if items is None else [{"u": None, "v": item["v"]} for item in items]
        for items in table["l"].to_pylist()
    ]
    assert found["l"].to_pylist() == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_no_null_takes_the_place_of_a_field_that_is_not_nullable(version) -> None:
    inner = pa.struct([pa.field("x", pa.int64()), pa.field("y", pa.int64(), nullable=False)])
    for strict in (pa.field("b", pa.int64(), nullable=False), pa.field("b", inner)):
        store = MemoryStore()
        schema = Schema.from_arrow(pa.schema([pa.field("a", pa.int64()), strict]))
        given = pa.table({"a": [1, 2]})
        if strict.nullable:
            given = given.append_column("b", pa.array([{"x": 1}] * 2, pa.struct([("x", pa.int64())])))
            own = Schema.from_arrow(pa.schema([pa.field("a", pa.int64()), pa.field("b", given["b"].type)]))
            file = write_file(store, own, given, version)
        else:
            file = write_file(store, Schema.from_arrow(given.schema), given, version)
        snapshot = make_snapshot(schema, [make_fragment(store, 5, [file], 2)], store)
        with pytest.raises(FormatError, match=r"fragment 5: no data file holds the field 'b"):
            read(snapshot)
        assert read(snapshot, columns=["a"]).equals(given.select(["a"]))


def test_renamed_fields_and_layouts_of_binary_copies() -> None:
    table, store = rows(20), MemoryStore()
    file = write_file(store, FIELDS, table, Version.V2_1)
    names = {"a": "b", "st": "ts"}
    renamed = Schema(tuple(replace(field, name=names.get(field.name, field.name)) for field in FIELDS.fields))
    ids = [field.id for field in FIELDS.walk()]
    columns = [file.columns_of.get(number, -1) for number in ids]
    copied = replace(file, fields=tuple(ids), column_indices=tuple(columns))
    for layout in (file, copied):
        found = read(make_snapshot(renamed, [make_fragment(store, 0, [layout], 20)], store))
        assert found.column_names == ["b", "ts", "l", "s"]
        assert found.rename_columns(SCHEMA.names).equals(table)


def test_files_of_several_versions_in_one_dataset() -> None:
    table, store = rows(30, nulls=False), MemoryStore()
    fragments = [
        make_fragment(store, number, [write_file(store, FIELDS, table.slice(10 * number, 10), version)], 10)
        for number, version in enumerate(VERSIONS)
    ]
    assert read(make_snapshot(FIELDS, fragments, store)).equals(table)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1, 2, 3, 50, 997])
def test_deletions_of_every_density(version, step) -> None:
    num_rows = 6000
    table = pa.table({"a": range(num_rows), "s": [f"text {row}" for row in range(num_rows)]})
    gone = {0: list(range(0, num_rows, step)), 1: list(range(step, num_rows)), 2: [5, 6, 7, num_rows - 1]}
    snapshot, live = split_snapshot(
        pa.concat_tables([table] * 3), [num_rows] * 3, gone, version, max_page_bytes=4096
    )
    assert read(snapshot).equals(live)
    assert Scanner(snapshot).count_rows() == live.num_rows
    chance = np.random.default_rng(step)
    for _ in range(5):
        start, size = chance.integers(0, live.num_rows, 2).tolist()
        assert read(snapshot, offset=start, limit=size).equals(live.slice(start, size))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, unique=True).map(sorted),
    st.sampled_from([0.125, 8.0, 64.0, 1024.0, 1e6]),
)
def test_widened_rows_hold_the_wanted_ones(wanted: list[int], row_bytes: float) -> None:
    wanted_rows = RowRanges.from_sorted(np.array(wanted) * 3)
    import lancelet.table.reads.fragment_reader as module

    few, module._FEW_ROWS = module._FEW_ROWS, 0
    try:
        around, wanted_there = _widened(wanted_rows, row_bytes)
    finally:
        module._FEW_ROWS = few
    found = np.concatenate(
        [np.arange(start, stop) for start, stop in zip(around.starts, around.stops, strict=True)]
    )
    assert (found if wanted_there is None else found[wanted_there]).tolist() == [3 * row for row in wanted]


# ---- damaged descriptions


@pytest.fixture
def good():
    table, store = rows(20), MemoryStore()
    return store, table, write_file(store, FIELDS, table)


def refused(store, files, num_rows=20, error=FormatError, match=None, **options) -> None:
    snapshot = make_snapshot(FIELDS, [make_fragment(store, 0, files, num_rows)], store)
    with pytest.raises(error, match=match):
        read(snapshot, **options)


def test_column_outside_of_the_file(good) -> None:
    store, _, file = good
    columns = (*file.column_indices[:-1], 77)
    refused(store, [replace(file, column_indices=columns)], match=r"column 77, and the file has 7 columns")


def test_two_fields_of_one_column(good) -> None:
    store, _, file = good
    columns = (*file.column_indices[:-1], file.column_indices[0])
    refused(store, [replace(file, column_indices=columns)], match="two fields have the same column")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("column", [-1, -5])
def test_a_field_in_no_column(version, column) -> None:
    """Structs and lists own no column from 2.1 on; what has values must have one, or they would read as nulls."""
    store = MemoryStore()
    file = write_file(store, FIELDS, rows(20, nulls=False), version)
    columns = dict(zip(file.fields, file.column_indices, strict=True))
    for path in (["a"], ["st", "x"], ["l", "item", "u"]):
        fields = FIELDS.fields
        for name in path:
            (field,) = [found for found in fields if found.name == name]
            fields = field.children
        damaged = {**columns, field.id: column}
        refused(
            store,
            [replace(file, fields=tuple(damaged), column_indices=tuple(damaged.values()))],
            match=f"fragment 0: a data file lists the field '{path[-1]}', and says that it is in no column",
        )


def test_rows_that_disagree(good) -> None:
    store, table, file = good
    refused(store, [file], num_rows=19, match=r"the file has 20 rows, and fragment 0 has 19")
    other = write_file(store, FIELDS, table.select(["s"]).slice(0, 10))
    without = replace(file, fields=(*file.fields[:-1], TOMBSTONE))
    refused(store, [without, other], match=r"has 10 rows, and fragment 0 has 20")
    unknown = make_fragment(store, 0, [without, other], 20)
    snapshot = make_snapshot(FIELDS, [replace(unknown, physical_rows=None)], store)
    with pytest.raises(FormatError, match=r"has 10 rows, and fragment 0 has 20"):
        read(snapshot)


def test_rows_that_no_manifest_counts(good) -> None:
    store, table, file = good
    fragment = replace(make_fragment(store, 0, [file], 20), physical_rows=None)
    snapshot = make_snapshot(FIELDS, [fragment], store)
    assert snapshot.num_rows == 20
    assert read(snapshot).equals(table)


def test_another_file_version(good) -> None:
    store, _, file = good
    refused(store, [replace(file, file_minor_version=1)], match=r"version 2\.2, and the manifest says 2\.1")
    refused(store, [replace(file, file_major_version=0, file_minor_version=2)], match="legacy")
    refused(store, [replace(file, file_minor_version=9)], match=r"unknown file version 2\.9")


def test_missing_or_other_file(good) -> None:
    store, _, file = good
    refused(store, [replace(file, path="0" * 50 + ".lance")], match="does not exist, and a manifest names it")
    refused(store, [replace(file, file_size_bytes=7)], match="7 bytes")
    refused(store, [replace(file, path="../x.lance")], match="no path below")
    refused(store, [replace(file, base_id=1)], error=UnsupportedError, match="base path 1, of which nothing")
    store.put(f"data/{file.path}", b"no file of the format" * 10)
    refused(store, [replace(file, file_size_bytes=None)])


def test_type_of_another_width(good) -> None:
    """A field whose id was given out again reads as an error or as values, and nothing else escapes."""
    store, table, file = good
    for type_ in (pa.int8(), pa.float64(), pa.string(), pa.list_(pa.int64()), pa.bool_()):
        schema = Schema.from_arrow(SCHEMA.set(0, pa.field("a", type_)))
        own = Schema((replace(schema.fields[0], id=0), *FIELDS.fields[1:]))
        snapshot = make_snapshot(own, [make_fragment(store, 0, [file], 20)], store)
        try:
            read(snapshot, columns=["a"])
        except LanceletError:
            continue
    assert table.num_rows == 20


# ---- the public fragment


def test_fragment_shows_what_it_is(tmp_path) -> None:
    store, table = LocalStore(tmp_path), rows(20)
    files = [
        write_file(store, FIELDS, table.select(["a", "st", "l"])),
        write_file(store, FIELDS, table.select(["s"])),
    ]
    fragments = [make_fragment(store, 4, files, 20, [1, 2]), make_fragment(store, 9, files, 20)]
    snapshot = make_snapshot(FIELDS, fragments, store)
    fragment = pickle.loads(pickle.dumps(Fragment(snapshot, 4)))
    expected = table.take([0, *range(3, 20)])
    assert (fragment.fragment_id, fragment.physical_rows, fragment.num_deletions) == (4, 20, 2)
    assert fragment.metadata == fragments[0]
    assert fragment.data_files() == files
    assert fragment.deletion_file() == fragments[0].deletion_file.path(4)
    assert Fragment(snapshot, 9).deletion_file() is None
    assert fragment.schema.equals(SCHEMA)
    assert fragment.count_rows() == 18
    assert fragment.to_table().equals(expected)
    assert pa.Table.from_batches(fragment.to_batches(batch_size=4)).equals(expected)
    assert fragment.head(3).equals(expected.slice(0, 3))
    assert fragment.take([17, 0, 0]).equals(expected.take([17, 0, 0]))
    assert "2 data files" in repr(fragment)
    with pytest.raises(OptionError, match="no fragment 5"):
        Fragment(snapshot, 5)
    with pytest.raises(OptionError, match="row 18 does not exist"):
        fragment.take([18])


MANY = 1 << 30


def wrong_rows(store: MemoryStore, kind: str = "") -> FragmentMetadata:
    """A fragment of a file of two rows, of which the manifest says that it has many."""
    file = write_file(store, FIELDS, rows(2, nulls=False))
    fragment = make_fragment(store, 0, [file], MANY)
    if not kind:
        return fragment
    deletion = DeletionFile("bitmap", 1, 1, MANY - (1 << 16) if kind == "counted" else None)
    store.put(deletion.path(0), full_bitmap((MANY >> 16) - 1))
    return replace(fragment, deletion_file=deletion)


@pytest.mark.parametrize("kind", ["", "counted", "uncounted"])
@pytest.mark.parametrize(
    "options",
    [
        {"columns": []},
        {"columns": ["_rowid"]},
        {"columns": {"id": "_rowaddr + 1"}},
        {"columns": [], "filter": "_rowid < 5"},
        {"columns": ["nothing"]},
        {"columns": ["a"]},
    ],
    ids=str,
)
def test_more_rows_than_a_data_file_has(options, kind) -> None:
    """What no file holds was made without a look at one: counts were wrong, or memory ended."""
    store = MemoryStore()
    schema = Schema((*FIELDS.fields, replace(FIELDS.fields[0], name="nothing", id=99)))
    snapshot = make_snapshot(schema, [wrong_rows(store, kind)], store)
    with pytest.raises(FormatError, match=f"the file has 2 rows, and fragment 0 has {MANY}"):
        next(Scanner(snapshot, **options).to_batches())
    if kind != "uncounted":
        assert Scanner(snapshot, columns=[]).count_rows() == (1 << 16 if kind else MANY)


def test_single_rows_that_a_data_file_does_not_have() -> None:
    store = MemoryStore()
    fragment = Fragment(make_snapshot(FIELDS, [wrong_rows(store)], store), 0)
    for columns in (["_rowid"], ["a"]):
        with pytest.raises(FormatError, match="the file has 2 rows"):
            fragment.take([5], columns=columns)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_struct_that_is_marked_as_packed_afterwards_or_no_more(packed, version, tmp_path) -> None:
    """It was read as null, and a compaction would have lost its values for good."""
    mark = {"lance-encoding:packed": "true"}
    type_ = pa.struct([("x", pa.int32()), ("y", pa.int64())])
    schema = pa.schema([("a", pa.int32()), pa.field("p", type_, metadata=mark if packed else None)])
    code = """
dataset = lance.write_dataset(table, root, data_storage_version=version)
dataset.replace_field_metadata("p", after)
"""
    table = pa.table({"a": [1, 2], "p": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}, schema=schema)
    release = "4.0.1" if packed else "14.0.2"  # each refuses the other
    after = {} if packed else mark
    oracle(release).run(code, table=table, root=str(tmp_path / "d"), version=version, after=after)
    made = lancelet.dataset(tmp_path / "d")
    how = "in one column" if packed else "unpacked"
    for act in (made.to_table, lambda: made.take([1]), lambda: made.add_columns({"b": "p.x"})):
        with pytest.raises(FormatError, match=f"fragment 0: a data file stores the struct 'p' {how}"):
            act()
    assert made.to_table(columns=["a"])["a"].to_pylist() == [1, 2]
    made.delete("a = 1")
    with pytest.raises(FormatError, match=f"stores the struct 'p' {how}"):
        made.optimize.compact_files()
    made.replace_field_metadata("p", mark if packed else {})
    assert made.to_table(columns=["p"]).to_pylist() == [{"p": {"x": 3, "y": 4}}]


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_rests_while_many_files_are_opened(
    is_enabled: bool, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lancelet.table.reads import take as module

    made = lancelet.write_dataset(pa.table({"a": range(40)}), MemoryStore(), max_rows_per_file=1)
    states, read = [], module._read_run

    def watched(*arguments: Any) -> None:
        states.append(gc.isenabled())
        if fails and len(states) == 3:
            raise MemoryError
        read(*arguments)

    monkeypatch.setattr(module, "_read_run", watched)
    if not is_enabled:
        gc.disable()
    try:
        with pytest.raises(MemoryError) if fails else contextlib.nullcontext():
            assert made.take(range(40))["a"].to_pylist() == list(range(40))
        assert gc.isenabled() == is_enabled
        assert not any(states)
        states.clear()
        made.take(range(2))
        assert states == [is_enabled] * 2
    finally:
        gc.enable()
