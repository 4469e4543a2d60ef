"""Blob columns, written and read: bodies out of line, two views, a second fetch."""

from __future__ import annotations

import io
import pickle
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from golden_index import golden_files
from lancelet import FileReader, FileWriter, FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.buffers import as_values
from lancelet.schema.blobs import DESCRIPTOR_V1, DESCRIPTOR_V2, LOGICAL_INPUT, PREPARED_INPUT
from lancelet.storage.memory import MemorySource
from lancelet.testing import assert_tables_equal
from sandbox import sandbox
from test_corrupt import mutate
from tiers import sample_or_full

V1 = {"lance-encoding:blob": "true"}
V2 = {"ARROW:extension:name": "lance.blob.v2"}
LOGICAL = pa.struct(list(LOGICAL_INPUT.items()))
PREPARED = pa.struct(list(PREPARED_INPUT.items()))
FILES = Path(__file__).parent / "blobs"

BOTH = pytest.mark.parametrize("version", ["2.1", "2.2"])
NULL = 1 << 16


def v1_table(values, name="b"):
    field = pa.field(name, pa.large_binary(), metadata=V1)
    return pa.table([pa.array(values, pa.large_binary())], pa.schema([field]))


def v2_table(values, type_=LOGICAL):
    return pa.table([pa.array(values, type_)], pa.schema([pa.field("b", type_, metadata=V2)]))


def write(table, version="2.2", **options):
    out = io.BytesIO()
    with FileWriter(out, table.schema, version=version, **options) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return out.getvalue()


def read(data, **options):
    return FileReader(data, **options).read_all().to_table()


def random_values(num_values, seed, longest=300):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest, num_values)
    kinds = rng.random(num_values)
    return [
        None if kind < 0.1 else b"" if kind < 0.2 else rng.bytes(length)
        for kind, length in zip(kinds, lengths, strict=True)
    ]


class Counting(MemorySource):
    """Counts what is fetched."""

    def __init__(self, data):
        super().__init__(data)
        self.calls = []

    def read_ranges(self, ranges):
        self.calls.append([tuple(range_) for range_ in ranges])
        return super().read_ranges(ranges)


# ---- files of pylance


GOLDEN = [
    pytest.param(file, id=file.name)
    for file in golden_files()
    if file.group == "blob" and file.version in ("2.1", "2.2")
]


@pytest.mark.parametrize("file", GOLDEN)
def test_golden(file):
    expected = file.expected()
    reader = FileReader(file.path)
    assert_tables_equal(reader.read_all().to_table(), expected, metadata=True)
    for batch_size in (1, 7, 1000):
        batches = reader.read_all(batch_size=batch_size).to_batches()
        assert_tables_equal(pa.Table.from_batches(batches), expected)
    for start in range(0, len(expected), 11):
        assert_tables_equal(reader.read_range(start, 5).to_table(), expected.slice(start, 5))
    for rows in ([0], [59, 0, 59], [3, 4, 5, 20, 40]):
        assert_tables_equal(reader.take_rows(rows).to_table(), expected.take(rows))
    described = read(file.path, blobs="descriptors")
    sizes = [None if value is None else len(value) for value in expected["b"].to_pylist()]
    assert [value and value["size"] for value in described["b"].to_pylist()] == sizes


FLAT = [b"hello", None, b"", b"x" * 100]
FLAT_DESCRIPTORS = [
    {"kind": 0, "position": 0, "size": 5, "blob_id": 0, "blob_uri": ""},
    None,
    {"kind": 0, "position": 64, "size": 0, "blob_id": 0, "blob_uri": ""},
    {"kind": 0, "position": 64, "size": 100, "blob_id": 0, "blob_uri": ""},
]


@pytest.mark.parametrize("release", ["14.0.2", "4.0.1"])
def test_second_kind_of_pylance(release):
    path = FILES / f"flat.p{release}.lance"
    table = read(path)
    assert table.schema.field("b").type == DESCRIPTOR_V2
    assert table.to_pydict() == {"b": FLAT_DESCRIPTORS, "i": [1, 2, 3, 4]}
    values = FileReader(path, blobs="values")
    assert values.schema.field("b").type == pa.large_binary()
    assert values.read_all().to_table().to_pydict() == {"b": FLAT, "i": [1, 2, 3, 4]}
    assert values.take_rows([3, 1, 0], columns=["b"]).to_table().to_pydict() == {
        "b": [FLAT[3], None, FLAT[0]]
    }
    for view in (None, "values", "descriptors"):
        assert read(FILES / f"all_null.p{release}.lance", blobs=view)["b"].to_pylist() == [None, None]


def test_second_kind_inside_of_structs_and_lists():
    nested = [*zip(FLAT, (1, 2, 3), strict=False)]
    assert read(FILES / "nested.p14.0.2.lance", blobs="values")["s"].to_pylist() == [
        *({"b": value, "i": number} for value, number in nested),
        None,
    ]
    lists = [FLAT[:1], [], FLAT[1:]]
    assert read(FILES / "list.p14.0.2.lance", blobs="values")["l"].to_pylist() == lists
    reader = FileReader(FILES / "list.p14.0.2.lance", blobs="values")
    assert reader.take_rows([2, 0]).to_table()["l"].to_pylist() == [lists[2], lists[0]]


def test_bodies_in_other_files_are_not_read():
    path = FILES / "kinds.p14.0.2.lance"
    places = [
        value and (value["kind"], value["position"], value["size"]) for value in read(path)["b"].to_pylist()
    ]
    assert places == [(0, 0, 5), None, (1, 6, 5), (2, 0, 1234), (3, 0, 0), (3, 3, 4)]
    reader = FileReader(path, blobs="values")
    assert reader.read_range(0, 2).to_table()["b"].to_pylist() == [b"hello", None]
    for row, kind in ((2, "packed"), (3, "dedicated"), (4, "external"), (5, "external")):
        with pytest.raises(UnsupportedError, match=f"another file .{kind}.*blobs='descriptors'"):
            reader.take_rows([0, row]).to_table()


# ---- writing


@BOTH
@pytest.mark.parametrize("num_batches", [1, 3])
@pytest.mark.parametrize("cache", [None, 0])
def test_values_come_back(version, num_batches, cache):
    parts = [v1_table(random_values(700, seed)) for seed in range(num_batches)]
    table = pa.concat_tables(parts)
    data = write(table, version, data_cache_bytes=cache)
    assert_tables_equal(read(data), table, metadata=True)
    reader = FileReader(data)
    assert len(reader.metadata()[0].pages) == (num_batches if cache == 0 else 1)
    rows = np.random.default_rng(0).integers(0, len(table), 50)
    assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))
    assert_tables_equal(reader.read_range(100, 99).to_table(), table.slice(100, 99))


def test_what_is_stored():
    table = v1_table([b"hello world", None, b"x" * 100, b""])
    data = write(table, "2.1")
    assert data[:11] == b"hello world"
    assert data[11:64] == b"H" * 53
    assert data[64:164] == b"x" * 100
    _, chunks = FileReader(data).metadata()[0].pages[0].buffers
    stored = as_values(data[chunks.position + 8 : chunks.position + chunks.size], 64)
    assert stored.tolist() == [0, 11, NULL, 0, 64, 100, 0, 0]
    described = read(data, blobs="descriptors")
    assert described.schema.field("b").type == DESCRIPTOR_V1
    assert described["b"].to_pylist() == [
        {"position": 0, "size": 11},
        None,
        {"position": 64, "size": 100},
        {"position": 0, "size": 0},
    ]


@BOTH
def test_nulls_that_begin_in_a_later_batch(version):
    table = pa.concat_tables([v1_table([b"a", b"b"]), v1_table([None, b"", b"c"]), v1_table([None, None])])
    for cache in (None, 0):
        assert_tables_equal(read(write(table, version, data_cache_bytes=cache)), table)


@BOTH
def test_blob_in_a_struct(version):
    inner = [pa.field("b", pa.large_binary(), metadata=V1), pa.field("i", pa.int32())]
    values = random_values(500, 3)
    hidden = np.random.default_rng(4).random(500) < 0.2
    children = [pa.array(values, pa.large_binary()), pa.array(range(500), pa.int32())]
    structs = pa.StructArray.from_arrays(children, fields=inner, mask=pa.array(hidden))
    table = pa.table({"s": structs})
    data = write(table, version)
    assert_tables_equal(read(data), table, metadata=True)
    assert_tables_equal(FileReader(data).take_rows([7, 400, 8]).to_table(), table.take([7, 400, 8]))
    assert_tables_equal(FileReader(data, ["s.b"]).read_all().to_table(), table_of_child(structs, "b"))
    shown = sum(-(-len(v or b"") // 64) * 64 for v, hide in zip(values, hidden, strict=True) if not hide)
    assert FileReader(data).metadata()[0].pages[0].buffers[0].position == shown, "hidden bodies are stored"


def table_of_child(structs, name):
    field = structs.type.field(name)
    child = pa.StructArray.from_arrays([structs.field(name)], fields=[field], mask=structs.is_null())
    return pa.table({"s": child})


def test_two_columns_slices_and_other_columns():
    values = pa.array(random_values(900, 5), pa.large_binary())
    fields = [pa.field(name, pa.large_binary(), metadata=V1) for name in ("a", "b")]
    schema = pa.schema([fields[0], ("n", pa.int64()), fields[1]])
    table = pa.table([values[100:400], pa.array(range(300)), values[550:850]], schema)
    data = write(table)
    assert_tables_equal(read(data), table, metadata=True)
    assert_tables_equal(read(data, columns=["b", "n"]), table.select(["b", "n"]))


def test_no_rows_and_empty_batches():
    table = v1_table([])
    assert_tables_equal(read(write(table)), table, metadata=True)
    assert_tables_equal(read(write(table), blobs="descriptors"), pa.table({"b": pa.array([], DESCRIPTOR_V1)}))
    assert read(write(v2_table([])), blobs="values").num_rows == 0


@pytest.mark.parametrize("values", [[None, None], [b"", b""], [b"", None], [b"one"]])
def test_few_values(values):
    table = v1_table(values)
    for version in ("2.1", "2.2"):
        assert_tables_equal(read(write(table, version)), table)
    logical = v2_table([None if value is None else {"data": value} for value in values])
    assert read(write(logical), blobs="values")["b"].to_pylist() == values


@BOTH
def test_blobs_that_versions_cannot_hold(version):
    lists = pa.list_(pa.field("item", pa.large_binary(), metadata=V1))
    refused = [pa.field("b", pa.binary(), metadata=V1), pa.field("l", lists)]
    if version == "2.1":
        refused.append(pa.field("b", LOGICAL, metadata=V2))
    for field in refused:
        with pytest.raises(OptionError):
            FileWriter(io.BytesIO(), pa.schema([field]), version=version)


def test_large_bodies():
    value = np.random.default_rng(0).bytes(40 << 20)
    table = v1_table([b"before", value, None, b"after"])
    data = write(table)
    source = Counting(data)
    reader = FileReader(source)
    taken = reader.take_rows([1]).to_table()
    assert taken["b"][0].as_py() == value
    assert source.calls[-1] == [(64, len(value))]
    assert reader.read_all().to_table().equals(table)
    assert [batch.num_rows for batch in reader.read_all().to_batches()] == [1, 1, 1, 1]
    with pytest.raises(OptionError, match="max_result_bytes"):
        reader.read_all().to_table(max_result_bytes=1 << 20)


# ---- the second kind


ROWS = [
    {"data": b"hello"},
    None,
    {"data": b""},
    {"uri": "s3://bucket/key"},
    {"uri": "file:///x", "position": 3, "size": 4},
    {"data": b"x" * 100},
]
STORED = [
    (0, 0, 5, 0, ""),
    None,
    (0, 0, 0, 0, ""),
    (3, 0, 0, 0, "s3://bucket/key"),
    (3, 3, 4, 0, "file:///x"),
]
STORED.append((0, 64, 100, 0, ""))


def tuples(column):
    return [value and tuple(value.values()) for value in column.to_pylist()]


def test_second_kind_is_stored_as_descriptors():
    data = write(v2_table(ROWS))
    assert tuples(read(data)["b"]) == STORED
    values = FileReader(data, blobs="values")
    assert values.take_rows([5, 0, 1, 2]).to_table()["b"].to_pylist() == [b"x" * 100, b"hello", None, b""]
    with pytest.raises(UnsupportedError, match="external"):
        values.read_all().to_table()


def test_second_kind_without_ranges_of_objects():
    short = pa.struct(list(LOGICAL_INPUT.items())[:2])
    rows = [row and {name: row.get(name) for name in ("data", "uri")} for row in ROWS]
    assert tuples(read(write(v2_table(rows, short)))["b"])[3:5] == [STORED[3], (3, 0, 0, 0, "file:///x")]


def test_second_kind_as_prepared_by_a_program():
    rows = [
        {"kind": 0, "data": b"hello"},
        None,
        {"kind": 1, "blob_id": 7, "blob_size": 5, "position": 6},
        {"kind": 2, "blob_id": 8, "blob_size": 1234},
        {"kind": 3, "uri": "s3://bucket/key"},
        {"kind": 4, "uri": "_blobs/x.blob", "blob_size": 6, "position": 5},
    ]
    assert tuples(read(write(v2_table(rows, PREPARED)))["b"]) == [
        (0, 0, 5, 0, ""),
        None,
        (1, 6, 5, 7, ""),
        (2, 0, 1234, 8, ""),
        (3, 0, 0, 0, "s3://bucket/key"),
        (4, 5, 6, 0, "_blobs/x.blob"),
    ]


def test_second_kind_at_every_depth():
    blobs = pa.array(ROWS, LOGICAL)
    field = pa.field("b", LOGICAL, metadata=V2)
    structs = pa.StructArray.from_arrays([blobs], fields=[field], mask=pa.array([True] + [False] * 5))
    offsets = pa.array([0, 1, None, 4, 4, 6], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, blobs, type=pa.list_(field.with_name("item")))
    table = pa.table({"s": structs.slice(1), "l": lists})
    found = read(write(table))
    assert [value["b"] and tuple(value["b"].values()) for value in found["s"].to_pylist()] == [
        None,
        STORED[2],
        STORED[3],
        STORED[4],
        (0, 0, 100, 0, ""),
    ]
    places = [value and tuples(pa.array(value, DESCRIPTOR_V2)) for value in found["l"].to_pylist()]
    hello, last = (0, 128, 5, 0, ""), (0, 192, 100, 0, "")
    assert places == [[hello], [None, STORED[2], STORED[3]], None, [], [STORED[4], last]]
    values = FileReader(write(table), blobs="values").take_rows([3, 0, 2], columns=["l"]).to_table()
    assert values["l"].to_pylist() == [[], [b"hello"], None]


def test_hidden_bodies_are_not_stored():
    field = pa.field("item", LOGICAL, metadata=V2)
    items = pa.array([{"data": b"hidden"}, {"data": b"shown"}], LOGICAL)
    offsets, validity = pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\x02")
    lists = pa.Array.from_buffers(pa.list_(field), 2, [validity, offsets], children=[items])
    data = write(pa.table({"l": lists}))
    assert b"hidden" not in data
    assert read(data, blobs="values")["l"].to_pylist() == [None, [b"shown"]]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({}, "either data or a uri"),
        ({"data": b"a", "uri": "b"}, "either data or a uri"),
        ({"uri": ""}, "empty uri"),
        ({"data": b"a", "position": 1, "size": 1}, "with a uri only"),
        ({"uri": "b", "position": 1}, "both a position and a size"),
        ({"uri": "b", "size": 1}, "both a position and a size"),
        ({"uri": "b", "position": 1, "size": 0}, "range without bytes"),
    ],
)
def test_rows_that_make_no_sense(row, what):
    with pytest.raises(OptionError, match=f"field 'b': blob 2 of the batch .*{what}"):
        write(v2_table([{"data": b"a"}, None, row]))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"data": b"a"}, "none of the kinds"),
        ({"kind": 5, "uri": "a"}, "none of the kinds"),
        ({"kind": 0}, "must have data"),
        ({"kind": 1, "data": b"a"}, "must have data"),
        ({"kind": 0, "data": b"a", "position": 1}, "inline and has a position"),
        ({"kind": 1, "blob_size": 1}, "no blob_id"),
        ({"kind": 2, "blob_id": 1}, "no blob_size"),
        ({"kind": 3}, "no uri"),
        ({"kind": 4, "uri": ""}, "empty uri"),
    ],
)
def test_prepared_rows_that_make_no_sense(row, what):
    with pytest.raises(OptionError, match=f"field 'b': blob 1 of the batch .*{what}"):
        write(v2_table([None, row], PREPARED))


# ---- reading


def test_views_are_words():
    data = write(v1_table([b"a"]))
    with pytest.raises(OptionError, match="blobs is 'bytes'"):
        FileReader(data, blobs="bytes")
    reader = pickle.loads(pickle.dumps(FileReader(data, blobs="descriptors")))
    assert reader.schema.field("b").type == DESCRIPTOR_V1


def test_a_take_reads_its_bodies_and_no_others():
    values = [bytes([i]) * (10 * i) for i in range(200)]
    source = Counting(write(v1_table(values)))
    reader = FileReader(source)
    places = read(source, blobs="descriptors")["b"].to_pylist()
    place = [(value["position"], value["size"]) for value in places]
    source.calls.clear()
    for rows in ([17], [3, 5, 150], [9, 9, 1]):
        reader.take_rows(rows).to_table()
        assert source.calls[-1] == [place[row] for row in sorted(set(rows))]
    reader.take_rows([0]).to_table()
    assert source.calls[-1] != [place[0]], "an empty body is fetched"
    source.calls.clear()
    assert reader.read_range(10, 20).to_table()["b"].to_pylist() == values[10:30]
    assert source.calls[-1] == [(place[10][0], place[29][0] + place[29][1] - place[10][0])], "not one range"


def test_all_bodies_are_fetched_in_one_call():
    values = [b"x" * i for i in range(1, 50)]
    table = v1_table(values, "a").append_column(
        v1_table(values, "b").schema.field("b"), v1_table(values)["b"]
    )
    source = Counting(write(table, data_cache_bytes=0))
    source.gives_views = False  # as if every read had its price
    reader = FileReader(source)
    reader.read_all().to_table()
    source.calls.clear()
    assert_tables_equal(reader.read_all().to_table(), table)
    _, bodies = source.calls
    assert len(bodies) == 2
    source.calls.clear()
    read(source, blobs="descriptors")
    assert not set(bodies) & {range_ for call in source.calls for range_ in call}


def test_files_that_are_not_mapped(tmp_path):
    table = v1_table(random_values(300, 9))
    path = tmp_path / "blobs.lance"
    path.write_bytes(write(table))
    assert_tables_equal(read(path, mmap=False), table)
    with path.open("rb") as file:
        assert_tables_equal(read(file), table)


def test_batches_of_large_values_are_small():
    table = v1_table([b"x" * 100_000] * 100 + [b""])
    reader = FileReader(write(table))
    assert max(batch.num_rows for batch in reader.read_all().to_batches()) <= 11
    assert len(list(FileReader(write(table), blobs="descriptors").read_all().to_batches())) == 1


# ---- damage


def damaged(values, row, position=None, size=None):
    """A file of one page and one chunk in which a descriptor says something else."""
    data = bytearray(write(v1_table(values)))
    chunks = FileReader(bytes(data)).metadata()[0].pages[0].buffers[1]
    stored = np.frombuffer(memoryview(data), "<u8", 2 * len(values), chunks.position + 8).reshape(-1, 2)
    if position is not None:
        stored[row, 0] = position
    if size is not None:
        stored[row, 1] = size
    return bytes(data)


@pytest.mark.parametrize(
    ("position", "size"),
    [
        (1 << 20, None),
        ((1 << 64) - 1, None),
        ((1 << 64) - 4, 8),
        (None, 1 << 20),
        (None, (1 << 64) - 1),
        (1, (1 << 64) - 1),
        (1 << 63, 1 << 63),
        (None, 1 << 40),
    ],
)
def test_bodies_outside_of_the_file(position, size):
    data = damaged([b"hello", b"world", None], 1, position, size)
    for view in ("values", "descriptors"):
        with pytest.raises(FormatError, match=r"the body of a blob.*column 0"):
            read(data, blobs=view)
    assert FileReader(data).metadata()[0].pages


def test_bodies_end_with_the_data():
    values = [b"x" * 64, b"y" * 64]
    data = write(v1_table(values))
    descriptor = int.from_bytes(data[-24:-16], "little")
    stop = int.from_bytes(data[descriptor : descriptor + 8], "little")
    assert len(read(damaged(values, 1, 0, stop))["b"][1].as_py()) == stop
    with pytest.raises(FormatError, match="the body of a blob"):
        read(damaged(values, 1, 1, stop))


@pytest.mark.parametrize("position", [2 * NULL, NULL + 1, 5, 1 << 40])
def test_nulls_of_unknown_levels(position):
    with pytest.raises(FormatError, match="a null blob with the levels"):
        read(damaged([b"hello", None], 1, position, 0))


def test_many_bodies_that_are_the_same():
    """Bodies may be shared; what they take together is checked before it is allocated."""
    values = [b"x" * (1 << 16)] + [b"y"] * 255
    data = bytearray(write(v1_table(values)))
    chunks = FileReader(bytes(data)).metadata()[0].pages[0].buffers[1]
    np.frombuffer(memoryview(data), "<u8", 512, chunks.position + 8).reshape(-1, 2)[:] = (0, 1 << 16)
    reader = FileReader(bytes(data))
    assert set(reader.read_all().to_table()["b"].to_pylist()) == {values[0]}
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(OptionError, match="max_result_bytes"):
        reader.read_all().to_table(max_result_bytes=1 << 20)
    assert pa.default_memory_pool().max_memory() == before


def bases():
    paths = [file.path for file in golden_files() if file.group == "blob" and file.version in ("2.1", "2.2")]
    return [*paths, *sorted(FILES.glob("*.lance"))]


@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parts[-2]}-{path.name}") for path in bases()])
def test_mutations(path):
    data = path.read_bytes()
    failures = []
    for index in range(sample_or_full(20, 500)):
        rng = np.random.default_rng([zlib.crc32(path.name.encode()), index])
        what, broken = mutate(data, rng)
        outcome = sandbox().read(broken)
        if not outcome.is_orderly:
            failures.append(f"mutation {index} ({what}): {outcome.kind}\n{outcome.message}")
    assert not failures, "\n".join(failures[:3])


def test_mutations_of_the_second_kind_as_values():
    data = write(v2_table([{"data": value} if value is not None else None for value in random_values(40, 1)]))
    for index in range(sample_or_full(100, 2000)):
        what, broken = mutate(data, np.random.default_rng(index))
        try:
            read(broken, blobs="values").validate(full=True)
        except LanceletError:
            continue
        except Exception as error:
            raise AssertionError(f"mutation {index}: {what}") from error
