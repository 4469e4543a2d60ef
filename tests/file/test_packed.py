"""Files with packed structs and with structs without children, both ways and before two releases of pylance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from golden_index import golden_files, golden_root
from lancelet import FileReader, FileWriter, FormatError, OptionError
from lancelet.pages.fullzip import FullZip
from lancelet.pages.miniblock import MiniBlock
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle
from test_golden import check_file

PACKED = {"lance-encoding:packed": "true"}
VERSIONS = ("2.1", "2.2")
NUM_ROWS = 3000


def packed(array, name="p", **metadata):
    """Return a table of one column of packed structs; of a list, its items are packed."""
    type_ = array.type
    if pa.types.is_list(type_):
        type_ = pa.list_(pa.field("item", type_.value_type, metadata=PACKED))
        return pa.table([array.cast(type_)], pa.schema([pa.field(name, type_, metadata=metadata)]))
    return pa.table([array], pa.schema([pa.field(name, type_, metadata=PACKED | metadata)]))


def structs(*children, mask=None):
    names = [f"f{i}" for i in range(len(children))]
    return pa.StructArray.from_arrays(children, names=names, mask=None if mask is None else pa.array(mask))


def lists_of(items):
    ends = np.sort(np.random.default_rng(1).integers(0, len(items) + 1, 700))
    offsets = pa.array(np.concatenate(([0], ends, [len(items)])), pa.int32())
    lists = pa.ListArray.from_arrays(offsets, items)
    return pa.ListArray.from_arrays(offsets, items, mask=pa.array(np.arange(len(lists)) % 5 == 0))


INTS = pa.array(range(NUM_ROWS), pa.int32())
FLOATS = pa.array(np.arange(NUM_ROWS) / 3)
BYTES = pa.array(np.arange(NUM_ROWS) % 251, pa.uint8())
TEXT = pa.array([f"text of row {i}" * (i % 4) for i in range(NUM_ROWS)])
BLOBS = pa.array([b"x" * (i % 5) for i in range(NUM_ROWS)], pa.large_binary())
VECTORS = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(4 * NUM_ROWS), pa.float32()), 4)
HOLES = pa.FixedSizeListArray.from_arrays(
    pa.array([None if i % 5 == 0 else i for i in range(2 * NUM_ROWS)]), 2
)
FLAGS = pa.FixedSizeListArray.from_arrays(pa.array([i % 3 == 0 for i in range(8 * NUM_ROWS)]), 8)
STAMPS = pa.array(range(NUM_ROWS), pa.timestamp("us", "UTC"))
WIDE = pa.array([bytes([i % 256]) * 300 for i in range(NUM_ROWS)], pa.binary(300))
THIRD = np.arange(NUM_ROWS) % 3 == 0

FIXED = {
    "fixed": structs(INTS, FLOATS, BYTES),
    "one": structs(INTS),
    "stamps": structs(STAMPS, INTS.cast(pa.decimal128(20, 2)), FLOATS.cast(pa.float16(), safe=False)),
    "wide": structs(INTS, WIDE),
    "nulls": structs(INTS, FLOATS, mask=THIRD),
    "hidden": structs(pa.array([None if null else 7 for null in THIRD]), FLOATS, mask=THIRD),
    "all_null": structs(INTS, FLOATS, mask=np.ones(NUM_ROWS, bool)),
    "equal": structs(pa.array([1] * NUM_ROWS), pa.array([2] * NUM_ROWS)),
    "lists": lists_of(structs(INTS, FLOATS, mask=THIRD)),
    "slice": structs(INTS, FLOATS, mask=THIRD).slice(5, 1001),
}
VARIABLE = {
    "text": structs(INTS, TEXT),
    "only_text": structs(TEXT),
    "many": structs(BLOBS, INTS, TEXT, VECTORS, BYTES),
    "vectors": structs(VECTORS, BYTES),
    "holes": structs(HOLES, INTS),
    "flags": structs(FLAGS),
    "nulls": structs(INTS, TEXT, VECTORS, mask=THIRD),
    "hidden": structs(pa.array([None if null else "x" for null in THIRD]), FLOATS, mask=THIRD),
    "all_null": structs(INTS, TEXT, mask=np.ones(NUM_ROWS, bool)),
    "views": structs(INTS, TEXT.cast(pa.string_view())),
    "long": structs(INTS.slice(0, 20), pa.array([str(i) * 40_000 for i in range(20)])),
    "lists": lists_of(structs(INTS, TEXT, mask=THIRD)),
    "slice": structs(INTS, TEXT, mask=THIRD).slice(5, 1001),
}
CASES = [
    *((f"fixed-{name}", version, packed(array)) for name, array in FIXED.items() for version in VERSIONS),
    *((f"variable-{name}", "2.2", packed(array)) for name, array in VARIABLE.items()),
]
cases = pytest.mark.parametrize(
    ("version", "table"), [pytest.param(*case, id=f"{case[0]}-{name}") for name, *case in CASES]
)


def write(path, table, version, **options):
    with FileWriter(path, version=version, **options) as writer:
        writer.write_batches(table.to_batches(max_chunksize=900))


def as_shown(table):
    """Views come back as what they view."""
    if pa.types.is_struct(table.schema[0].type):
        fields = [
            field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field
            for field in table.schema[0].type
        ]
        return table.cast(table.schema.set(0, table.schema[0].with_type(pa.struct(fields))))
    return table


def check(path, table):
    reader = FileReader(path)
    assert_tables_equal(reader.read_all().to_table(), table)
    num_rows = table.num_rows
    for start, length in ((0, 1), (num_rows // 3, num_rows // 2), (num_rows - 1, 1)):
        assert_tables_equal(reader.read_range(start, length).to_table(), table.slice(start, length))
    for rows in ([0], [num_rows - 1, 3, 3], list(range(0, num_rows, 7))):
        assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))


def layouts(path, column=0):
    pages = FileReader(path).pages(column)
    return [pages.layout(page) for page in range(len(pages.metadata.pages))]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.name)
        for file in golden_files()
        if file.group == "packed" and file.version in VERSIONS
    ],
)
def test_golden_files(file):
    check_file(file, None)


@cases
def test_ours_by_all(tmp_path, version, table):
    path, expected = tmp_path / "file.lance", as_shown(table)
    write(path, table, version)
    check(path, expected)
    rows = [0, 1, 7, table.num_rows - 1]
    parts = [("all", 1024), ("range", 3, 9), ("take", rows)]
    for release in RELEASES:
        found = oracle(release).read(path, parts)
        assert_tables_equal(found[0], expected)
        assert_tables_equal(found[1], expected.slice(3, 9))
        assert_tables_equal(found[2], expected.take(rows))


@cases
def test_several_pages(tmp_path, version, table):
    path = tmp_path / "file.lance"
    write(path, table, version, data_cache_bytes=0)
    assert len(layouts(path)) == -(-table.num_rows // 900)
    check(path, as_shown(table))
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(path)[0], as_shown(table))


@pytest.mark.parametrize("version", VERSIONS)
def test_fixed_children_go_to_chunks(tmp_path, version):
    for name in ("fixed", "wide", "nulls", "equal", "lists"):
        path = tmp_path / f"{name}.lance"
        write(path, packed(FIXED[name]), version)
        (layout,) = layouts(path)
        assert isinstance(layout, MiniBlock)
        assert layout.value_codec.name == "packed_struct"
        assert layout.dictionary_codec is None


def test_other_children_go_to_records(tmp_path):
    for hint in ({}, {"lance-encoding:structural-encoding": "miniblock"}):
        for name in ("text", "vectors", "nulls", "long"):
            path = tmp_path / f"{name}.lance"
            write(path, packed(VARIABLE[name], **hint), "2.2")
            (layout,) = layouts(path)
            assert isinstance(layout, FullZip)
            assert layout.codec.name == "variable_packed_struct"


def test_full_zip_on_request(tmp_path):
    table = packed(FIXED["nulls"], **{"lance-encoding:structural-encoding": "fullzip"})
    path = tmp_path / "file.lance"
    write(path, table, "2.2")
    assert layouts(path)[0].codec.name == "variable_packed_struct"
    check(path, table)
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(path)[0], table)
    with pytest.raises(OptionError, match=r"only from 2\.2 on"):
        write(tmp_path / "old.lance", table, "2.1")


def test_children_have_encodings_of_their_own(tmp_path):
    words = pa.array([f"a sentence with the number {i} in it" for i in range(NUM_ROWS)])
    fields = [
        pa.field("fsst", pa.string()),
        pa.field("zstd", pa.string(), metadata={"lance-encoding:compression": "zstd"}),
        pa.field("none", pa.string(), metadata={"lance-encoding:compression": "none"}),
    ]
    table = packed(pa.StructArray.from_arrays([words] * 3, fields=fields))
    path = tmp_path / "file.lance"
    write(path, table, "2.2")
    (layout,) = layouts(path)
    assert [field.codec.name for field in layout.codec.fields] == ["fsst", "general", "variable"]
    check(path, table)
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(path)[0], table)


def test_inside_of_structs_and_maps(tmp_path):
    item = pa.field("p", FIXED["nulls"].type, metadata=PACKED)
    outer = pa.StructArray.from_arrays(
        [FIXED["nulls"], INTS], fields=[item, pa.field("i", pa.int32())], mask=pa.array(THIRD[::-1].copy())
    )
    for version in VERSIONS:
        path, table = tmp_path / f"{version}.lance", pa.table({"s": outer})
        write(path, table, version)
        check(path, table)
        for release in RELEASES:
            assert_tables_equal(oracle(release).read(path)[0], table)


# ---- what is refused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "child",
    [
        pa.array([True]),
        pa.nulls(1),
        pa.array([{"a": 1}]),
        pa.array([[1]]),
        pa.array([[{"a": 1}]], pa.list_(pa.struct({"a": "int8"}), 1)),
        pa.array([[True, False]], pa.list_(pa.bool_(), 2)),
        pa.array(["a"]).dictionary_encode(),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
    ],
    ids=lambda child: str(child.type),
)
def test_children_without_a_form(tmp_path, version, child):
    table = packed(structs(INTS.slice(0, 1), child))
    with pytest.raises(OptionError, match="'f1'"):
        write(tmp_path / "file.lance", table, version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("child", [TEXT, BLOBS, VECTORS], ids=lambda child: str(child.type))
def test_children_that_need_2_2(tmp_path, child):
    with pytest.raises(OptionError, match=r"'f1'.*only from 2\.2 on"):
        write(tmp_path / "file.lance", packed(structs(INTS, child)), "2.1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrap", [lambda array: array, lists_of], ids=["flat", "list"])
def test_nulls_of_children(tmp_path, version, wrap):
    holes = pa.array([None if i == 1700 else i for i in range(NUM_ROWS)])
    table = packed(wrap(structs(INTS, holes)))
    with FileWriter(tmp_path / "file.lance", version=version) as writer:
        with pytest.raises(OptionError, match="'f1' has nulls"):
            writer.write_table(table)
        writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_golden_files_that_nobody_reads():
    paths = sorted(golden_root().glob("files/*/v2.[12]/packed_bool.lance"))
    for path in paths:
        with pytest.raises(FormatError, match="1 bits; whole bytes"):
            FileReader(path).read_all().to_table()


# ---- structs without children


def empty(num_rows, mask=None):
    bitmap = None if mask is None else np.packbits(~mask, bitorder="little")
    return pa.Array.from_buffers(
        pa.struct([]), num_rows, [None if mask is None else pa.py_buffer(bitmap)], children=[]
    )


EMPTY = empty(NUM_ROWS)
NO_CHILDREN = {
    "top": EMPTY,
    "beside": pa.StructArray.from_arrays([INTS, EMPTY], names=["a", "e"]),
    "only": pa.StructArray.from_arrays([EMPTY], names=["e"]),
    "two": pa.StructArray.from_arrays([EMPTY, INTS, EMPTY], names=["e", "a", "f"]),
    "deep": pa.StructArray.from_arrays(
        [TEXT, pa.StructArray.from_arrays([EMPTY], names=["e"])], names=["t", "x"]
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NO_CHILDREN)
def test_structs_without_children(tmp_path, version, name):
    # Both releases shift the columns that follow such a struct, in their own files too: it must be the last one for them.
    table = pa.table({"i": INTS, "e": NO_CHILDREN[name]})
    for first in (table, table.select(["e", "i"])):
        path = tmp_path / f"{first.column_names[0]}.lance"
        write(path, first, version, data_cache_bytes=10_000)
        check(path, first)
        check_projection(path, first)
    if name != "two":
        for release in RELEASES:
            assert_tables_equal(oracle(release).read(tmp_path / "i.lance")[0], table)


def check_projection(path, table):
    for name in table.column_names:
        assert_tables_equal(FileReader(path, columns=[name]).read_all().to_table(), table.select([name]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", NO_CHILDREN)
def test_structs_without_children_of_pylance(tmp_path, version, release, name):
    table = pa.table({"e": NO_CHILDREN[name], "i": INTS})
    oracle(release).write(tmp_path / "file.lance", table, version)
    check(tmp_path / "file.lance", table)


def test_page_of_a_struct_without_children(tmp_path):
    path = tmp_path / "file.lance"
    write(path, pa.table({"e": EMPTY}), "2.1")
    (page,) = FileReader(path).pages(0).metadata.pages
    assert page.buffers == ()
    assert page.num_rows == NUM_ROWS
    assert page.encoding.hex() == "12032a0103"  # all_null, layers [NULLABLE_ITEM]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "array",
    [
        empty(NUM_ROWS, THIRD),
        pa.StructArray.from_arrays([INTS, empty(NUM_ROWS, THIRD)], names=["a", "e"]),
        pa.StructArray.from_arrays([INTS, EMPTY], names=["a", "e"], mask=pa.array(THIRD)),
        pa.ListArray.from_arrays(pa.array([0, 5], pa.int32()), EMPTY),
        pa.ListArray.from_arrays(
            pa.array([0, 5], pa.int32()), pa.StructArray.from_arrays([INTS, EMPTY], names=["a", "e"])
        ),
        pa.FixedSizeListArray.from_arrays(pa.StructArray.from_arrays([INTS, EMPTY], names=["a", "e"]), 2),
    ],
)
def test_structure_that_an_empty_struct_cannot_hold(tmp_path, version, array):
    with pytest.raises(OptionError):
        write(tmp_path / "file.lance", pa.table({"e": array}), version)
    assert list(tmp_path.iterdir()) == []


def test_golden_files_with_structs_without_children():
    root = golden_root()
    for path in sorted(root.glob("files/*/v2.[12]/nest_emptystruct.lance")):
        table = lancelet.FileReader(path).read_all().to_table()
        assert table["e"].null_count == 0
        assert table["i"].null_count == 0


def test_rows_that_no_chunk_holds_name_their_field(tmp_path):
    wide = pa.StructArray.from_arrays([pa.array([bytes(40_000)] * 3, pa.binary(40_000))], ["w"])
    schema = pa.schema([pa.field("p", wide.type, metadata={"lance-encoding:packed": "true"})])
    with pytest.raises(OptionError, match="field 'p': full-zip pages of packed structs cannot be stored"):
        write(tmp_path / "file.lance", pa.table([wide], schema=schema), "2.1")
