"""Arrow dictionary columns: every file that holds them reads right, and what we write is what pylance reads."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lancelet
from golden_index import golden_files
from lancelet.blocks import Dictionary
from lancelet.blocks.dictionary import expand
from lancelet.blocks.stats import Stats
from lancelet.buffers import allocate
from lancelet.errors import FormatError, OptionError
from lancelet.pages import choose
from lancelet.pb.encodings21_pb2 import PageLayout
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle
from sandbox import sandbox
from test_corrupt import mutate
from test_golden import check_file
from tiers import FULL, sample_or_full

if TYPE_CHECKING:
    from golden_index import GoldenFile
    from lancelet.levels import Leaf

VERSIONS = ("2.1", "2.2")
INDEX_TYPES = (
    *(pa.int8(), pa.uint8(), pa.int16(), pa.uint16()),
    *(pa.int32(), pa.uint32(), pa.int64(), pa.uint64()),
)
VALUES = (
    pa.array([f"value {number}" for number in range(90)]),
    pa.array([True, False]),
    pa.array([5, -2, 7], pa.int8()),
    pa.array(range(100), pa.uint16()),
    pa.array(range(-20, 20), pa.int32()),
    pa.array([2**64 - 1, 0, 5], pa.uint64()),
    # no two zeros: Arrow streams, by which tables come from pylance, take -0.0 and 0.0 for the same dictionary
    pa.array(np.array([1, 2, np.nan, -0.0], np.float16)),
    pa.array([1.5, float("nan"), -0.0], pa.float32()),
    pa.array(np.arange(100) / 8),
    pa.array(["", "é" * 300, "x"], pa.large_string()),
    pa.array([b"", b"\0", b"abc"], pa.binary()),
    pa.array([b"", b"\xff" * 20], pa.large_binary()),
)


def dictionary_files() -> list[GoldenFile]:
    return [
        file for file in golden_files() if file.version in VERSIONS and "dictionary<" in str(file.schema())
    ]


def write(path: Path, table: pa.Table, **options: Any) -> None:
    with lancelet.FileWriter(str(path), table.schema, **options) as writer:
        writer.write_batches(table.to_batches())


def layouts(path: Path) -> list[list[Any]]:
    """Return the layout messages of all pages, a list for each column."""
    return [
        [PageLayout.FromString(page.encoding) for page in column.pages]
        for column in lancelet.FileReader(str(path)).metadata()
    ]


def taken(table: pa.Table, rows: list[int]) -> pa.Table:
    """Return rows of a table; pyarrow's own `take` joins dictionaries, which fails for many values and spoils halves."""
    return pa.concat_tables([table.slice(row, 1) for row in rows])


def check_all(path: Path, table: pa.Table) -> None:
    """Compare a file, read by us and by both releases in several ways, with `table`."""
    reader = lancelet.FileReader(str(path))
    assert reader.schema.equals(table.schema)
    assert_tables_equal(reader.read_all().to_table(), table)
    for batch_size in (3, 1000):
        batches = list(reader.read_all(batch_size=batch_size).to_batches())
        assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
    rows = [int(row) for row in np.random.default_rng(len(table)).integers(0, len(table), 30)]
    assert_tables_equal(reader.take_rows(rows).to_table(), taken(table, rows))
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(path)[0], table)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in dictionary_files()])
def test_golden(file: GoldenFile) -> None:
    check_file(file, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.type))
def test_every_type(values: pa.Array, version: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    columns = {}
    for index_type in INDEX_TYPES:
        indices = rng.integers(0, len(values), 700)
        columns[f"{index_type}"] = make(indices, index_type, values)
        columns[f"{index_type} with nulls"] = make(indices, index_type, values, rng.random(700) < 0.2)
    table, path = pa.table(columns), tmp_path / "table.lance"
    write(path, table, version=version)
    check_all(path, table)
    for (message,), column in zip(layouts(path), table.columns, strict=True):
        layout = message.mini_block_layout
        assert layout.num_dictionary_items == len(column.unique()) - bool(column.null_count)
        assert layout.HasField("dictionary")
        assert index_bits(layout.value_compression) == column.type.index_type.bit_width


def index_bits(encoding: Any) -> int:
    """Return the width of values that an encoding says."""
    name = encoding.WhichOneof("compression")
    member = getattr(encoding, name)
    if name == "flat":
        return int(member.bits_per_value)
    if name == "inline_bitpacking":
        return int(member.uncompressed_bits_per_value)
    return index_bits(member.values)


def make(indices: Any, index_type: pa.DataType, values: pa.Array, null: Any = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices, index_type, mask=null), values)


def column_of(path: Path) -> Any:
    return lancelet.FileReader(str(path)).read_all().to_table().column(0)


@pytest.mark.parametrize("version", VERSIONS)
def test_unused_and_null_values_are_dropped(version: str, tmp_path: Path) -> None:
    values = pa.array(["a", None, "b", "unused", "b", None])
    array = make([0, 1, 2, 4, 5, 2, 0, 3], pa.int8(), values, [False] * 7 + [True])
    path = tmp_path / "table.lance"
    table = pa.table({"d": array})
    write(path, table, version=version)
    check_all(path, table)
    ((message,),) = layouts(path)
    assert message.mini_block_layout.num_dictionary_items == 3
    assert column_of(path).null_count == 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("null_where", ["indices", "values"])
def test_all_null(null_where: str, version: str, tmp_path: Path) -> None:
    values = pa.array(["a"] if null_where == "indices" else [None], pa.string())
    array = make([0] * 9, pa.int16(), values, [null_where == "indices"] * 9)
    path, table = tmp_path / "table.lance", pa.table({"d": array})
    write(path, table, version=version)
    check_all(path, table)
    ((message,),) = layouts(path)
    assert message.WhichOneof("layout") in ("constant_layout", "all_null_layout")


def test_whatever_null_slots_hold(tmp_path: Path) -> None:
    indices = pa.Array.from_buffers(
        pa.int8(), 4, [pa.py_buffer(b"\x05"), pa.py_buffer(np.array([1, -77, 0, 99], np.int8))]
    )
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    path, clean = (
        tmp_path / "table.lance",
        pa.table({"d": make([1, 0, 0, 0], pa.int8(), array.dictionary, [False, True, False, True])}),
    )
    write(path, pa.table({"d": array}))
    check_all(path, clean)


@pytest.mark.parametrize("nulls", [False, True])
def test_index_outside_of_the_dictionary(nulls: bool, tmp_path: Path) -> None:
    values = pa.array(["a", None] if nulls else ["a", "b"])
    array = pa.DictionaryArray.from_arrays(pa.array([0, 2], pa.int8()), values, safe=False)
    with pytest.raises(OptionError, match="index 2"):
        write(tmp_path / "table.lance", pa.table({"d": array}))
    assert not list(tmp_path.iterdir())


def test_nulls_among_the_values_are_nulls(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("d", pa.dictionary(pa.int8(), pa.string()), nullable=False)])
    hidden = make([0, 0], pa.int8(), pa.array(["a", None]))
    write(tmp_path / "table.lance", pa.table([hidden], schema=schema))
    shown = make([0, 1], pa.int8(), pa.array(["a", None]))
    with pytest.raises(OptionError, match="'d' is not nullable, and the batch has 1 nulls"):
        write(tmp_path / "other.lance", pa.table([shown], schema=schema))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_compression(compression: str, version: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    metadata = {
        "lance-encoding:compression": compression,
        "lance-encoding:dict-values-compression": compression,
    }
    arrays = [
        make(rng.integers(0, len(values), 5000), index_type, values)
        for values in (VALUES[0], VALUES[3])
        for index_type in (pa.int8(), pa.int32(), pa.int64())
    ]
    fields = [pa.field(f"d{number}", array.type, metadata=metadata) for number, array in enumerate(arrays)]
    path, table = tmp_path / "table.lance", pa.table(arrays, schema=pa.schema(fields))
    write(path, table, version=version)
    check_all(path, table)
    for (message,) in layouts(path):
        layout = message.mini_block_layout
        if compression == "none":
            assert layout.value_compression.WhichOneof("compression") == "flat"
        if compression != "none" and version == "2.2":
            assert layout.dictionary.general.compression.scheme == {"lz4": 1, "zstd": 2}[compression]
        if compression == "none" or version == "2.1":
            assert layout.dictionary.WhichOneof("compression") in ("variable", "flat")


def test_ordered_and_views(tmp_path: Path) -> None:
    indices, values = pa.array([0, 1, None, 0], pa.int8()), pa.array(["a", "b"])
    given_ = {
        "ordered": pa.DictionaryArray.from_arrays(indices, values, ordered=True),
        "text": pa.DictionaryArray.from_arrays(indices, values.cast(pa.string_view())),
        "bytes": pa.DictionaryArray.from_arrays(indices, values.cast(pa.binary_view())),
    }
    path = tmp_path / "table.lance"
    write(path, pa.table(given_))
    plain = pa.DictionaryArray.from_arrays(indices, values)
    in_bytes = pa.DictionaryArray.from_arrays(indices, values.cast(pa.binary()))
    check_all(path, pa.table({"ordered": plain, "text": plain, "bytes": in_bytes}))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.decimal128(5)),
        pa.array([b"a"], pa.binary(1)),
        pa.nulls(1),
    ],
    ids=lambda values: str(values.type),
)
def test_refused_values(values: pa.Array, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a dictionary has values of type"):
        write(tmp_path / "table.lance", pa.table({"d": make([0], pa.int8(), values)}))


# ---- several dictionaries


def chunked(*arrays: pa.Array) -> pa.Table:
    return pa.table({"d": pa.chunked_array(arrays)})


def in_lists(array: pa.Array, length: int = 4) -> pa.ListArray:
    stops = [*range(0, len(array), length), len(array)]
    return pa.ListArray.from_arrays(pa.array(stops, pa.int32()), array)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values.type))
def test_batches_with_different_dictionaries(
    values: pa.Array, nested: bool, version: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(11)
    arrays = []
    for start in range(len(values)):
        part = pa.concat_arrays([values[start:], values[:start]])[: max(2, len(values) // 2)]
        array = make(rng.integers(0, len(part), 40), pa.int8(), part, rng.random(40) < 0.1)
        arrays.append(in_lists(array) if nested else array)
    table, path = chunked(*arrays), tmp_path / "table.lance"
    write(path, table, version=version)
    check_all(path, table)
    ((message,),) = layouts(path)
    assert message.mini_block_layout.num_dictionary_items == len(values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_both_zeros_are_kept_apart(dtype: Any, tmp_path: Path) -> None:
    zeros = np.array([0.0, -0.0, np.nan], dtype)
    arrays = [make([0, 1, 2, 0], pa.int8(), pa.array(np.roll(zeros, shift))) for shift in range(3)]
    path, table = tmp_path / "table.lance", chunked(*arrays)
    for options in ({}, {"max_page_bytes": 1}):
        write(path, table, **options)
        result = lancelet.FileReader(str(path)).read_all(batch_size=5)
        assert_tables_equal(result.to_table(), table)
        assert_tables_equal(pa.Table.from_batches(result.to_batches()), table)


def overflowing(nested: bool) -> pa.Table:
    """Three batches of 100 distinct values each: more than 8 bits count."""
    arrays = []
    for start in (0, 100, 200):
        values = pa.array([f"value {number}" for number in range(start, start + 100)])
        array = make(np.random.default_rng(start).permutation(100), pa.int8(), values)
        arrays.append(in_lists(array) if nested else array)
    return chunked(*arrays)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("nested", [False, True])
def test_more_values_than_indices_count(nested: bool, version: str, tmp_path: Path) -> None:
    table, path = overflowing(nested), tmp_path / "table.lance"
    write(path, table, version=version)
    ((*messages,),) = layouts(path)
    assert [message.mini_block_layout.num_dictionary_items for message in messages] == [100, 100, 100]
    reader = lancelet.FileReader(str(path))
    assert_tables_equal(reader.read_all().to_table(), table)
    for batch_size in (1, 3, 7, 20, 1000):
        batches = list(reader.read_all(batch_size=batch_size).to_batches())
        assert all(0 < batch.num_rows <= batch_size for batch in batches)
        assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
    rows = np.random.default_rng(5).permutation(len(table)).tolist()
    assert_tables_equal(reader.take_rows(rows).to_table(), taken(table, rows))
    for release in RELEASES:
        parts = [
            ("range", start, 100 if not nested else 25) for start in range(0, len(table), len(table) // 3)
        ]
        assert_tables_equal(pa.concat_tables(oracle(release).read(path, parts)), table)


def test_small_dictionaries_of_large_ones_are_joined(tmp_path: Path) -> None:
    """Batches that show few values of large dictionaries fit one page though the dictionaries do not."""
    many = [pa.array([f"{letter}{number}" for number in range(120)]) for letter in "abc"]
    table = chunked(*(make([5, 7, 5], pa.int8(), values) for values in many))
    path = tmp_path / "table.lance"
    write(path, table)
    check_all(path, table)
    ((message,),) = layouts(path)
    assert message.mini_block_layout.num_dictionary_items == 6


@pytest.mark.parametrize("nested", [False, True])
def test_shared_dictionary_is_charged_once(nested: bool, tmp_path: Path) -> None:
    """A dictionary far above the cache does not make a page of every batch."""
    values = pa.array([f"a rather long value with the number {number}" for number in range(50_000)])
    rng = np.random.default_rng(2)
    arrays = [make(rng.integers(0, len(values), 400), pa.int32(), values) for _ in range(40)]
    table = chunked(*(in_lists(array, 40) if nested else array for array in arrays))
    path = tmp_path / "table.lance"
    write(path, table, data_cache_bytes=300_000)
    assert len(layouts(path)[0]) < 5
    check_all(path, table)
    write(path, table, max_page_bytes=100_000)
    sizes = [
        sum(buffer.size for buffer in page.buffers)
        for page in lancelet.FileReader(str(path)).metadata()[0].pages
    ]
    assert len(sizes) < 20
    assert max(sizes) <= 100_000
    check_all(path, table)


def test_reads_of_a_page_share_its_dictionary(tmp_path: Path) -> None:
    path, table = tmp_path / "table.lance", pa.table({"d": make(range(90), pa.int8(), VALUES[0])})
    write(path, table)
    reader = lancelet.FileReader(str(path))
    arrays = [batch.column(0) for batch in reader.read_all(batch_size=30).to_batches()]
    assert len({array.dictionary.buffers()[1].address for array in arrays}) == 1
    assert_tables_equal(chunked(*arrays), table)


def test_large_shared_dictionary_is_not_copied(tmp_path: Path) -> None:
    values = pa.array(np.arange(1_000_000))
    batches = [make(np.arange(10) * number, pa.int32(), values) for number in range(200)]
    before = pa.total_allocated_bytes()
    with lancelet.FileWriter(str(tmp_path / "table.lance"), chunked(*batches[:1]).schema) as writer:
        for array in batches:
            writer.write_batch(pa.record_batch([array], names=["d"]))
        assert pa.total_allocated_bytes() - before < values.nbytes
    check_all(tmp_path / "table.lance", chunked(*batches))


def test_row_that_no_page_can_hold(tmp_path: Path) -> None:
    offsets = np.concatenate([[0, 1], np.full(70_000, 1), [2]]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), make([0, 1], pa.int8(), pa.array(["x", "y"])))
    table = pa.table({"d": pa.ListArray.from_arrays(pa.array([0, len(lists)], pa.int32()), lists)})
    with pytest.raises(OptionError, match="no page can hold a row"):
        write(tmp_path / "table.lance", table)


# ---- properties


@st.composite
def dictionary_tables(draw: st.DrawFn) -> tuple[pa.Table, dict[str, Any]]:
    """Tables of one dictionary column, plain or in lists or structs, in batches with dictionaries of their own."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    index_type = draw(st.sampled_from(INDEX_TYPES))
    pool = draw(st.sampled_from(VALUES))
    share = draw(st.booleans())
    null_values, null_indices = draw(st.sampled_from([0.0, 0.2])), draw(st.sampled_from([0.0, 0.1, 0.9]))
    nesting = draw(st.sampled_from(["none", "none", "list", "struct"]))
    values = None
    arrays = []
    for num_rows in draw(st.lists(st.integers(1, 300), min_size=1, max_size=5)):
        if values is None or not share:
            picks = rng.integers(0, len(pool), rng.integers(1, 120))
            values = pool.take(pa.array(picks))
            if null_values:
                values = pa.array(values.to_pylist(), pool.type, mask=rng.random(len(values)) < null_values)
        array = make(
            rng.integers(0, len(values), num_rows + 9),
            index_type,
            values,
            rng.random(num_rows + 9) < null_indices,
        )
        array = array.slice(draw(st.sampled_from([0, 3, 8])), num_rows)
        if nesting == "list":
            stops = np.sort(rng.integers(0, num_rows + 1, 20))
            lists_null = rng.random(21) < 0.2
            array = pa.ListArray.from_arrays(
                pa.array([0, *stops, num_rows], pa.int32()), array, mask=pa.array(lists_null)
            )
        if nesting == "struct":
            array = pa.StructArray.from_arrays([array], ["x"], mask=pa.array(rng.random(len(array)) < 0.2))
        arrays.append(array)
    sizes = st.sampled_from([None, 1, 200, 2000])
    options = {
        "version": draw(st.sampled_from(VERSIONS)),
        "data_cache_bytes": draw(sizes),
        "max_page_bytes": draw(sizes),
    }
    return chunked(*arrays), options


@settings(
    max_examples=sample_or_full(40, 3000),
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(drawn=dictionary_tables(), data=st.data())
def test_dictionary_tables_survive(drawn: tuple[pa.Table, dict[str, Any]], data: st.DataObject) -> None:
    table, options = drawn
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        write(path, table, **options)
        reader = lancelet.FileReader(str(path))
        found = reader.read_all().to_table()
        assert_tables_equal(found, table)
        start = data.draw(st.integers(0, len(table) - 1), "start")
        num_rows = data.draw(st.integers(1, len(table) - start), "num_rows")
        assert_tables_equal(reader.read_range(start, num_rows).to_table(), table.slice(start, num_rows))
        rows = data.draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=20), "rows")
        assert_tables_equal(reader.take_rows(rows).to_table(), taken(table, rows))
        batches = list(reader.read_all(batch_size=data.draw(st.integers(5, 400), "batch_size")).to_batches())
        assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
        assert_tables_equal(oracle("14.0.2").read(path, [("all", 50)])[0], table)


# ---- bad input


def damaged(path: Path, old: bytes, new: bytes) -> bytes:
    data = path.read_bytes()
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("nulls", [False, True])
def test_index_outside_in_a_file(nulls: bool, nested: bool, tmp_path: Path) -> None:
    """An index that points nowhere is an error in a valid slot, and nothing in a null one."""
    codes = np.array([3, 1, 2, 3, 0, 1, 2, 3], np.uint8)
    null = np.array([False, nulls, False, False, False, False, False, False])
    array = make(codes, pa.uint8(), pa.array(["a", "b", "c", "d"]), null)
    path = tmp_path / "table.lance"
    table = pa.table({"d": in_lists(array) if nested else array})
    write(path, table, version="2.1")
    stored = np.where(null, 0, codes).tobytes()
    in_null, in_valid = bytearray(stored), bytearray(stored)
    in_null[1], in_valid[2] = 200, 200
    if nulls:
        reader = lancelet.FileReader(damaged(path, stored, bytes(in_null)))
        assert_tables_equal(reader.read_all().to_table(), table)
    with pytest.raises(FormatError, match="index 200"):
        lancelet.FileReader(damaged(path, stored, bytes(in_valid))).read_all().to_table()


@pytest.mark.parametrize("layout", ["_mini_block", "_full_zip"])
@pytest.mark.parametrize("nested", [False, True])
def test_page_without_a_dictionary(
    nested: bool, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema says dictionary, the page has the values themselves: no release writes or reads that."""

    def plain(leaf: Leaf, indices: Any, items: Any, num_items: int, params: Any) -> Any:
        assert isinstance(leaf.values, Dictionary)
        values = expand(leaf.values.indices, leaf.values.items, None, allocate)
        return getattr(choose, layout)(replace(leaf, values=values), Stats(values), params)

    monkeypatch.setattr(choose, "_indexed", plain)
    array = make([0, 1, 0], pa.int8(), pa.array([10, 20], pa.int32()))
    path = tmp_path / "table.lance"
    write(path, pa.table({"d": in_lists(array) if nested else array}))
    with pytest.raises(FormatError, match="stand in a dictionary"):
        lancelet.FileReader(str(path)).read_all().to_table()


@pytest.mark.parametrize(("stored", "read"), [("int32", "int16"), ("int16", "int32")])
def test_indices_of_another_width(stored: str, read: str, tmp_path: Path) -> None:
    """A page may have other indices than its column, if those of the column can count the items."""
    path, types = tmp_path / "table.lance", {"int16": pa.int16(), "int32": pa.int32()}
    for num_items in (30_000, 50_000 if stored == "int32" else 32_768):
        indices = np.random.default_rng(1).permutation(num_items)
        null = indices % 5 == 0
        values = pa.array(np.arange(num_items, dtype=np.int64))
        write(path, pa.table({"d": make(indices, types[stored], values, null)}))
        data = damaged(path, f"dict:int64:{stored}:false".encode(), f"dict:int64:{read}:false".encode())
        result = lancelet.FileReader(data).read_all()
        if num_items < 50_000:
            assert_tables_equal(result.to_table(), pa.table({"d": make(indices, types[read], values, null)}))
        else:
            with pytest.raises(FormatError, match="index 39999"):
                result.to_table()


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in dictionary_files()])
def test_mutations(file: GoldenFile) -> None:
    data = file.path.read_bytes()
    for index in range(sample_or_full(20, 500)):
        what, mutated = mutate(data, np.random.default_rng([len(data), index]))
        outcome = sandbox().read(mutated)
        assert outcome.is_orderly, f"mutation {index} ({what}): {outcome.kind}: {outcome.message}"


def test_reading_is_bounded(tmp_path: Path) -> None:
    """Plain text looked up in a page's dictionary counts against the limit of the result."""
    values = ["x" * 200 + str(number) for number in range(3)]
    table = pa.table({"s": [values[number % 3] for number in range(10_000)]})
    path = tmp_path / "table.lance"
    write(path, table)
    assert layouts(path)[0][0].mini_block_layout.num_dictionary_items == 3
    with pytest.raises(OptionError, match="max_result_bytes"):
        lancelet.FileReader(str(path)).read_all().to_table(max_result_bytes=1_000_000)
