"""What the 2.0 writer emits: page by page as the specification states, cut as the reference cuts, refused with reasons."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lancelet
from lancelet.errors import OptionError
from lancelet.pb.encodings20_pb2 import ArrayEncoding, ColumnEncoding
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle
from test_properties import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

MEBIBYTE = 1 << 20


def write(path: Path, table: pa.Table, **options: Any) -> lancelet.FileReader:
    with lancelet.FileWriter(str(path), table.schema, version="2.0", **options) as writer:
        writer.write_batches(table.to_batches())
    return lancelet.FileReader(path.read_bytes())


def pages(reader: lancelet.FileReader, column: int = 0) -> list[tuple[ArrayEncoding, list[bytes], int]]:
    """Return message, buffers and length of each page of a column."""
    source = reader._container.source
    return [
        (
            ArrayEncoding.FromString(page.encoding),
            [bytes(source.read(*buffer)) for buffer in page.buffers],
            page.num_rows,
        )
        for page in reader.metadata()[column].pages
    ]


def one_page(path: Path, array: pa.Array, column: int = 0, **options: Any) -> tuple[Any, list[bytes]]:
    metadata = options.pop("metadata", None)
    schema = pa.schema([pa.field("x", array.type, metadata=metadata)])
    reader = write(path / "file.lance", pa.table([array], schema=schema), **options)
    assert_tables_equal(reader.read_all().to_table(), pa.table([array], schema=schema))
    ((message, buffers, _),) = pages(reader, column)
    return getattr(message, message.WhichOneof("array_encoding")), buffers


def numbers(data: bytes, dtype: str = "<u8") -> list[int]:
    found: list[int] = np.frombuffer(data, dtype).tolist()
    return found


def test_text(tmp_path: Path) -> None:
    for type_ in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        message, buffers = one_page(tmp_path, pa.array(["ab", None, "", "cde"]).cast(type_))
        assert message.null_adjustment == 6
        assert (numbers(buffers[0]), buffers[1]) == ([2, 8, 2, 5], b"abcde")
    message, buffers = one_page(tmp_path, pa.array([None, None], pa.string()))
    assert (message.null_adjustment, numbers(buffers[0]), buffers[1]) == (1, [1, 1], b"")


def test_lists(tmp_path: Path) -> None:
    array = pa.array([[1, 2], None, [], [3, None, 5]], pa.list_(pa.int32()))
    message, (offsets,) = one_page(tmp_path, array)
    assert (message.null_offset_adjustment, message.num_items, numbers(offsets)) == (6, 5, [2, 8, 2, 5])


def test_null_lists_lose_their_items(tmp_path: Path) -> None:
    bitmap, offsets = pa.py_buffer(b"\x05"), pa.array([0, 2, 4, 5], pa.int32()).buffers()[1]
    items = pa.array([1, 2, 3, 4, 5], pa.int32())
    array = pa.Array.from_buffers(pa.list_(pa.int32()), 3, [bitmap, offsets], children=[items])
    message, (stored,) = one_page(tmp_path, array)
    assert (message.num_items, numbers(stored)) == (3, [2, 2 + 4, 3])


def test_nested_fixed_size_lists(tmp_path: Path) -> None:
    array = pa.array([[1, None], [5, 6], [3, 4]], pa.list_(pa.int32(), 2))
    masked = pa.FixedSizeListArray.from_arrays(array.values, 2, mask=pa.array([False, True, False]))
    message, buffers = one_page(tmp_path, masked)
    assert [buffer[0] for buffer in buffers[:2]] == [0b101, 0b111101]
    assert numbers(buffers[2], "<i4") == [1, 0, 0, 0, 3, 4]
    assert message.some_nulls.values.fixed_size_list.dimension == 2
    message, buffers = one_page(
        tmp_path, pa.array([[True, False, True], [True, True, True]], pa.list_(pa.bool_(), 3))
    )
    assert buffers == [b"\x3d"]
    nothing = pa.FixedSizeListArray.from_arrays(pa.nulls(6, pa.int8()), 2)
    message, buffers = one_page(tmp_path, nothing)
    assert message.no_nulls.values.fixed_size_list.items.nullable.HasField("all_nulls")
    assert buffers == []


def test_dictionary_of_keys(tmp_path: Path) -> None:
    array = pa.array(["x", "yy", None, "x"]).dictionary_encode()
    message, buffers = one_page(tmp_path, array)
    assert message.num_dictionary_items == 3
    assert numbers(buffers[0], "<i4") == [0, 1, 2, 0]
    assert (numbers(buffers[1]), buffers[2]) == ([1, 3, 7], b"xyy")
    message, buffers = one_page(tmp_path, pa.array([None] * 3, pa.dictionary(pa.int8(), pa.string())))
    assert (message.num_dictionary_items, buffers[0]) == (1, b"\0\0\0")
    # the null of the dictionary moves to its end
    keys = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array(["a", None, "b"]))
    message, buffers = one_page(tmp_path, keys)
    assert (message.num_dictionary_items, buffers[0]) == (3, b"\0\2\1")


def test_dictionary_that_keys_cannot_count(tmp_path: Path) -> None:
    items = pa.array([str(i) for i in range(128)])
    full = pa.DictionaryArray.from_arrays(pa.array([*range(128)], pa.int8()), items)
    assert one_page(tmp_path, full)[0].num_dictionary_items == 128
    # the item for nulls has no index; items that are not used make room
    some = pa.DictionaryArray.from_arrays(pa.array([5, None, 7, 5], pa.int8()), items)
    assert one_page(tmp_path, some)[0].num_dictionary_items == 3
    keys = pa.array([*range(128), None], pa.int8())
    with pytest.raises(OptionError, match="do not fit keys of type int8"):
        one_page(tmp_path, pa.DictionaryArray.from_arrays(keys, items))


def test_dictionary_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = pa.array(["b", None, "a", "b"] * 25)
    message, buffers = one_page(tmp_path, text)
    assert (message.num_dictionary_items, list(buffers[0][:4])) == (2, [1, 0, 2, 1])
    assert (numbers(buffers[1]), buffers[2]) == ([1, 2], b"ba")
    message, buffers = one_page(tmp_path, pa.array([None] * 150, pa.string()))
    assert (message.num_dictionary_items, set(buffers[0]), numbers(buffers[1])) == (1, {0}, [1])
    assert message.items.binary.null_adjustment == 1
    assert one_page(tmp_path, text[:99])[0].DESCRIPTOR.name == "Binary"
    assert one_page(tmp_path, text.cast(pa.large_string()))[0].DESCRIPTOR.name == "Binary"
    compressed = one_page(tmp_path, text, metadata={"lance-encoding:compression": "zstd"})
    assert compressed[0].DESCRIPTOR.name == "Dictionary"
    monkeypatch.setenv("LANCE_DICT_ENCODING_THRESHOLD", "3")
    assert one_page(tmp_path, text[:4])[0].DESCRIPTOR.name == "Dictionary"
    assert one_page(tmp_path, pa.array(["a", "b", "c", "a"]))[0].DESCRIPTOR.name == "Binary"


def test_packed_struct(tmp_path: Path) -> None:
    type_ = pa.struct([("x", pa.list_(pa.int8(), 3)), ("y", pa.int16())])
    array = pa.array([{"x": [1, 2, 3], "y": 7}, {"x": [4, 5, 6], "y": 8}], type_)
    message, buffers = one_page(tmp_path, array, metadata={"lance-encoding:packed": "true"})
    assert buffers == [bytes([1, 2, 3, 7, 0, 4, 5, 6, 8, 0])]
    assert len(message.inner) == 2
    for values, text in (
        ([{"x": [1, 2, 3], "y": 7}, None], "null rows.*2.1 can"),
        ([{"x": [1, 2, 3], "y": None}], r"nulls in a child \('y'\)"),
        ([{"x": [1, None, 3], "y": 1}], r"nulls in a child \('x'\)"),
    ):
        with pytest.raises(OptionError, match=text):
            one_page(tmp_path, pa.array(values, type_), metadata={"lance-encoding:packed": "true"})
    bools = pa.array([{"b": True}], pa.struct([("b", pa.bool_())]))
    with pytest.raises(OptionError, match="child of type bool"):
        one_page(tmp_path, bools, metadata={"packed": "true"})


TEXT = pa.array([f"value {i} of many" for i in range(5000)])


@pytest.mark.parametrize("level", [None, "9"])
@pytest.mark.parametrize("scheme", ["zstd", "lz4", "none", "fsst"])
def test_compression(scheme: str, level: str | None, tmp_path: Path) -> None:
    metadata = {"lance-encoding:compression": scheme}
    if level is not None:
        metadata["lance-encoding:compression-level"] = level
    for array in (TEXT, TEXT.cast(pa.large_binary()), TEXT[:0], pa.nulls(5, pa.string()), TEXT[:20]):
        if len(array) == 0:
            continue
        message, buffers = one_page(tmp_path, array, metadata=metadata)
        if message.DESCRIPTOR.name == "Fsst":
            assert scheme == "fsst"
            assert len(message.symbol_table) == 2312
            assert message.symbol_table[3] == (len(array) > 20)
            continue
        found = message.bytes.flat.compression
        if scheme == "fsst":  # large offsets, or nothing but nulls
            assert not found.scheme
            continue
        assert (found.scheme, found.level if found.HasField("level") else None) == (
            scheme,
            level and int(level),
        )
        if array.null_count:
            assert len(buffers[1]) == {"zstd": 17, "lz4": 5, "none": 0}[scheme]
        elif scheme != "none" and len(array) > 20:
            assert len(buffers[1]) < array.nbytes / 3


def test_compression_by_option(tmp_path: Path) -> None:
    columns = {"x": lancelet.ColumnOptions(compression="zstd", compression_level=5)}
    message, _ = one_page(tmp_path, TEXT, columns=columns)
    assert (message.bytes.flat.compression.scheme, message.bytes.flat.compression.level) == ("zstd", 5)


@pytest.mark.parametrize(
    ("array", "options", "text"),
    [
        (pa.array([1]), {"compression": "zstd"}, "compresses text and binary only"),
        (TEXT, {"structural_encoding": "fullzip"}, "2.0 has nothing of the kind; 2.1 has"),
        (pa.array([1]), {"bss": "on"}, "2.0 has nothing of the kind"),
    ],
)
def test_wishes_that_cannot_be_fulfilled(
    array: pa.Array, options: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=f"field 'x'.*{text}"):
        one_page(tmp_path, array, columns={"x": lancelet.ColumnOptions(**options)})


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_compact_is_for_version_20(version: str, tmp_path: Path) -> None:
    columns = {"x": lancelet.ColumnOptions(v20="compact")}
    with pytest.raises(OptionError, match=f"version {version} has other encodings"):
        lancelet.FileWriter(
            str(tmp_path / "x"), pa.schema([("x", pa.int8())]), version=version, columns=columns
        )
    with pytest.raises(OptionError, match="'tiny'"):
        lancelet.ColumnOptions(v20="tiny")


def compact(array: pa.Array, directory: Path) -> tuple[Any, list[bytes]]:
    return one_page(directory, array, columns={"x": lancelet.ColumnOptions(v20="compact")})


def read_by_pylance(directory: Path, array: pa.Array) -> None:
    rows = [0, len(array) // 2, len(array) - 1]
    table = pa.table({"x": array})
    for release in RELEASES:
        whole, some, part = oracle(release).read(
            directory / "file.lance", [("all", 1024), ("take", rows), ("range", 1, len(array) - 1)]
        )
        assert_tables_equal(whole, table)
        assert_tables_equal(some, table.take(rows))
        assert_tables_equal(part, table.slice(1))


@pytest.mark.parametrize(
    "type_", [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)], ids=str
)
@pytest.mark.parametrize("nulls", [False, True])
def test_compact_integers(type_: pa.DataType, nulls: bool, tmp_path: Path) -> None:
    values = np.arange(3000) % 100
    array = pa.array(values, type_, mask=(values == 7) if nulls else None)
    message, _ = compact(array, tmp_path)
    inner = message.some_nulls.values if nulls else message.no_nulls.values
    packed = inner.bitpacked_for_non_neg
    assert (packed.compressed_bits_per_value, packed.uncompressed_bits_per_value) == (7, type_.bit_width)
    read_by_pylance(tmp_path, array)


def test_compact_integers_at_the_edges(tmp_path: Path) -> None:
    zeros = pa.array(np.zeros(3000, np.int16))
    assert compact(zeros, tmp_path)[0].no_nulls.values.bitpacked_for_non_neg.compressed_bits_per_value == 1
    read_by_pylance(tmp_path, zeros)
    for array in (
        pa.array([-1, *range(3000)]),  # negative
        pa.array(np.arange(3000) % 256, pa.uint8()),  # as wide as it is
        pa.array([1, 2, 3]),  # too few
        pa.array(np.arange(3000, dtype=np.float32)),
    ):
        message, _ = compact(array, tmp_path)
        assert message.no_nulls.values.WhichOneof("array_encoding") == "flat"


def test_compact_text_of_one_size(tmp_path: Path) -> None:
    for type_ in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        for values in ([f"{i:06}" for i in range(3000)], [f"{i:06}" if i % 5 else None for i in range(3000)]):
            array = pa.array(values).cast(type_)
            message, buffers = compact(array, tmp_path)
            inner = message.some_nulls.values if array.null_count else message.no_nulls.values
            assert inner.fixed_size_binary.byte_width == 6
            assert len(buffers[-1]) == 18_000
            read_by_pylance(tmp_path, array)
    mixed = pa.array([*(f"{i:06}" for i in range(3000)), ""])
    assert compact(mixed, tmp_path)[0].DESCRIPTOR.name == "Binary"


@pytest.mark.parametrize("one_size", [False, True])
def test_compact_text_from_four_mebibytes(one_size: bool, tmp_path: Path) -> None:
    text = [f"{'' if one_size else 'x' * (i % 7)}https://example.org/items/{i:08}" for i in range(130_000)]
    small = pa.array(text[: len(text) // 2])
    assert compact(small, tmp_path)[0].DESCRIPTOR.name != "Fsst"
    array = pa.array(text)
    message, buffers = compact(array, tmp_path)
    assert message.DESCRIPTOR.name == "Fsst"
    assert sum(map(len, buffers)) < array.nbytes
    read_by_pylance(tmp_path, array)


def test_symbols_that_do_not_pay_are_not_used(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(5 << 20)
    array = pa.array([noise[i : i + 100 + i % 3] for i in range(0, len(noise) - 200, 103)], pa.binary())
    assert compact(array, tmp_path)[0].DESCRIPTOR.name == "Binary"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_eight_pages(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"max_page_bytes": MEBIBYTE} if by == "option" else {}
    if by == "environment":
        monkeypatch.setenv("LANCE_FILE_WRITER_MAX_PAGE_BYTES", str(MEBIBYTE))
    values = np.random.default_rng(5).integers(0, 1 << 64, 1_000_000, dtype=np.uint64)
    table = pa.table({"number": values})
    reader = write(tmp_path / "file.lance", table, **options)
    assert [length for _, _, length in pages(reader)] == [125_000] * 8
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(oracle("14.0.2").read(tmp_path / "file.lance", [("all", 100_000)])[0], table)


@pytest.mark.parametrize(
    ("num_rows", "nulls", "limit", "lengths"),
    [
        (1000, False, 1000, [125] * 8),
        (1000, True, 1000, [112] * 8 + [104]),
        (7, False, 8, [1] * 7),
        (7, False, 1, [1] * 7),
        (1000, False, 1 << 20, [1000]),
    ],
)
def test_one_array_is_cut_into_equal_parts(
    num_rows: int, nulls: bool, limit: int, lengths: list[int], tmp_path: Path
) -> None:
    values = np.arange(num_rows)
    table = pa.table({"x": pa.array(values, pa.int64(), mask=(values == 3) if nulls else None)})
    reader = write(tmp_path / "file.lance", table, max_page_bytes=limit)
    assert [length for _, _, length in pages(reader)] == lengths
    theirs = tmp_path / "theirs.lance"
    oracle("14.0.2").write(theirs, table, "2.0", max_page_bytes=limit)
    assert [length for _, _, length in pages(lancelet.FileReader(str(theirs)))] == lengths


def test_several_arrays_are_one_page(tmp_path: Path) -> None:
    table = pa.concat_tables([pa.table({"x": np.arange(100), "y": np.arange(100)})] * 10)
    reader = write(tmp_path / "file.lance", table, max_page_bytes=100)
    assert [length for _, _, length in pages(reader)] == [1000]
    # 800 bytes a batch; half of the cache belongs to each column
    reader = write(tmp_path / "file.lance", table, data_cache_bytes=2 * 2000)
    assert [length for _, _, length in pages(reader)] == [300, 300, 300, 100]
    reader = write(tmp_path / "file.lance", table, data_cache_bytes=0, max_page_bytes=400)
    assert [length for _, _, length in pages(reader)] == [50] * 20


def test_offsets_are_not_cut_and_items_follow_them(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([[i, i + 1] for i in range(1000)], pa.list_(pa.int64()))})
    reader = write(tmp_path / "file.lance", table, max_page_bytes=1000)
    assert [length for _, _, length in pages(reader)] == [1000]
    assert len(pages(reader, 1)) == 16
    batches = pa.concat_tables([table] * 10)
    reader = write(tmp_path / "file.lance", batches, data_cache_bytes=10_000)
    assert [length for _, _, length in pages(reader)] == [3000, 3000, 3000, 1000]
    assert_tables_equal(reader.read_all().to_table(), batches)
    assert_tables_equal(oracle("14.0.2").read(tmp_path / "file.lance")[0], batches)


def test_struct_headers(tmp_path: Path) -> None:
    type_ = pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string()), ("e", pa.struct([]))]))])
    rows = [{"a": i, "b": {"c": str(i), "e": {}}} for i in range(50)]
    schema = pa.schema([("s", type_), ("l", pa.list_(type_))])
    for num_rows in (0, 50):
        lists = [rows[: i % 3] if i % 4 else None for i in range(num_rows)]
        table = pa.table([pa.array(rows[:num_rows], type_), pa.array(lists, pa.list_(type_))], schema=schema)
        reader = write(tmp_path / "file.lance", table)
        lengths = [[length for _, _, length in pages(reader, column)] for column in range(11)]
        items = sum(len(row or ()) for row in lists)
        assert [lengths[i] for i in (0, 2, 4)] == [[num_rows]] * 3
        assert [lengths[i] for i in (6, 8, 10)] == [[items]] * 3
        assert lengths[1] == ([num_rows] if num_rows else [])
        assert reader._container.num_columns == 11
        assert_tables_equal(reader.read_all().to_table(), table)
        if num_rows:
            assert_tables_equal(oracle("14.0.2").read(tmp_path / "file.lance")[0], table)
            assert_tables_equal(reader.take_rows([5, 2, 5, 49]).to_table(), table.take([5, 2, 5, 49]))
            names = ["s.b.c", "l", "s.b.e"]
            parts = lancelet.FileReader(str(tmp_path / "file.lance"), names).read_all().to_table()
            assert parts.schema.names == ["s", "l"]


def test_items_that_no_list_has(tmp_path: Path) -> None:
    type_ = pa.list_(pa.struct([("a", pa.int64()), ("l", pa.list_(pa.string()))]))
    table = pa.table({"x": pa.array([None, [], []], type_)})
    reader = write(tmp_path / "file.lance", table)
    assert [[length for _, _, length in pages(reader, i)] for i in range(5)] == [[3], [0], [], [], []]
    assert_tables_equal(reader.read_all().to_table(), table)
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(tmp_path / "file.lance")[0], table)


def test_null_structs_are_refused(tmp_path: Path) -> None:
    type_ = pa.struct([("a", pa.int64())])
    nested = pa.array([[{"a": 1}, None]], pa.list_(type_))
    for array, name in ((pa.array([{"a": 1}, None], type_), "x"), (nested, "item")):
        with pytest.raises(OptionError, match=f"field '{name}' has 1 null structs.*2.1 can"):
            write(tmp_path / "file.lance", pa.table({"x": array}))
        assert not list(tmp_path.iterdir())
    # nulls that nobody sees: in a null list, and outside of a slice
    items = pa.array([{"a": 1}, None, {"a": 2}], type_)
    offsets = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]
    lists = pa.Array.from_buffers(pa.list_(type_), 3, [pa.py_buffer(b"\x05"), offsets], children=[items])
    table = pa.table({"x": lists})
    assert_tables_equal(write(tmp_path / "file.lance", table).read_all().to_table(), table)
    write(tmp_path / "file.lance", pa.table({"x": items.slice(2)}))


def test_blobs(tmp_path: Path) -> None:
    values = [b"abc", b"", None, b"x" * 100, None, b"yz"]
    field = pa.field("x", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    table = pa.table(
        [pa.chunked_array([values[:4], values[4:]], pa.large_binary())], schema=pa.schema([field])
    )
    reader = write(tmp_path / "file.lance", table)
    ((_, (described,), length),) = pages(reader)
    assert length == 6
    assert numbers(described) == [0, 3, 0, 0, 1, 0, 64, 100, 1, 0, 192, 2]
    encoding = ColumnEncoding.FromString(reader.metadata()[0].encoding)
    assert encoding.blob.inner.WhichOneof("column_encoding") == "values"
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(reader.take_rows([3, 0, 4, 3]).to_table(), table.take([3, 0, 4, 3]))
    assert_tables_equal(oracle("14.0.2").read(tmp_path / "file.lance")[0], table)
    shown = (
        lancelet.FileReader(str(tmp_path / "file.lance"), blobs="descriptors").take_rows([3, 2, 1]).to_table()
    )
    assert shown["x"].to_pylist() == [{"position": 64, "size": 100}, None, {"position": 0, "size": 0}]


def test_blobs_in_lists(tmp_path: Path) -> None:
    item = pa.field("item", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    lists = [[b"abc", None], None, [], [b"", b"xyz" * 50], [None]]
    table = pa.table({"x": pa.array(lists, pa.list_(item))})
    reader = write(tmp_path / "file.lance", table)
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(reader.take_rows([3, 0]).to_table(), table.take([3, 0]))
    assert_tables_equal(oracle("14.0.2").read(tmp_path / "file.lance")[0], table)


def test_blobs_outside_of_the_file(tmp_path: Path) -> None:
    field = pa.field("x", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    write(
        tmp_path / "file.lance", pa.table([pa.array([b"abc"], pa.large_binary())], schema=pa.schema([field]))
    )
    data = (tmp_path / "file.lance").read_bytes()
    place = np.array([0, 3], np.uint64).tobytes()
    assert data.count(place) == 1
    for bad in ([0, 1 << 62], [1 << 63, 1 << 63], [len(data) - 1, 3]):
        damaged = data.replace(place, np.array(bad, np.uint64).tobytes())
        with pytest.raises(lancelet.FormatError, match="column 0"):
            lancelet.FileReader(damaged).read_all().to_table()


def test_what_waits_is_copied(tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    with lancelet.FileWriter(str(tmp_path / "file.lance"), version="2.0") as writer:
        for _ in range(100):
            wide = pa.array(["x" * MEBIBYTE, "y"])
            writer.write_batch(pa.record_batch({"b": pa.array([True]), "s": wide[1:]}))
            del wide
        assert pa.total_allocated_bytes() - before < 4 * MEBIBYTE


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> pa.DataType:
    """Draw types that version 2.0 holds."""
    leaves: Sequence[pa.DataType] = (
        *(pa.int8(), pa.uint16(), pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.large_binary()),
        *(pa.null(), pa.binary(3), pa.decimal128(20, 2), pa.timestamp("us", "UTC")),
        *(pa.list_(pa.int16(), 3), pa.list_(pa.bool_(), 5), pa.list_(pa.list_(pa.float32(), 2), 2)),
        pa.dictionary(pa.int16(), pa.string()),
    )
    kinds = ("leaf", "list", "large_list", "struct") if depth else ("leaf",)
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(st.sampled_from(leaves))
    if kind == "struct":
        children = draw(st.lists(types(depth=depth - 1), max_size=3))
        return pa.struct([(f"c{i}", child) for i, child in enumerate(children)])
    return getattr(pa, {"list": "list_"}.get(kind, kind))(draw(types(depth=depth - 1)))


def make(type_: pa.DataType, num_values: int, null_share: float, rng: np.random.Generator) -> pa.Array:
    """Make an array with nulls at any depth, but for structs."""
    valid = rng.random(num_values) >= null_share
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    if pa.types.is_null(type_):
        return pa.nulls(num_values)
    if pa.types.is_struct(type_):
        children = [make(child.type, num_values, null_share, rng) for child in type_]
        return pa.Array.from_buffers(type_, num_values, [None], children=children)
    if pa.types.is_fixed_size_list(type_):
        items = make(type_.value_type, num_values * type_.list_size, null_share, rng)
        return pa.Array.from_buffers(type_, num_values, [bitmap], children=[items])
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        lengths = rng.integers(0, 4, num_values) * (rng.random(num_values) < 0.7)
        dtype = np.int64 if pa.types.is_large_list(type_) else np.int32
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(dtype)
        items = make(type_.value_type, int(offsets[-1]), null_share, rng)
        return pa.Array.from_buffers(type_, num_values, [bitmap, pa.py_buffer(offsets)], children=[items])
    if pa.types.is_dictionary(type_):
        keys = pa.array(rng.integers(0, 5, num_values), type_.index_type, mask=~valid)
        return pa.DictionaryArray.from_arrays(keys, pa.array(["a", "", "ccc", "a", "e"]))
    if pa.types.is_string(type_) or pa.types.is_large_binary(type_):
        values = [f"{number}" * (number % 3) for number in rng.integers(0, 120, num_values).tolist()]
        return pa.array(values, pa.string(), mask=~valid).cast(type_)
    width = type_.bit_width
    data = (
        np.packbits(rng.random(num_values) < 0.5, bitorder="little")
        if width == 1
        else rng.bytes(num_values * width // 8)
    )
    if pa.types.is_decimal(type_):
        data = np.repeat(rng.integers(0, 100, num_values), 2) * np.tile([1, 0], num_values)
        return pa.Array.from_buffers(type_, num_values, [bitmap, pa.py_buffer(data.astype(np.int64))])
    return pa.Array.from_buffers(type_, num_values, [bitmap, pa.py_buffer(data)])


SIZES = st.sampled_from([None, 0, 64, 1000, 1 << 16])


@given(
    wanted=st.lists(types(), min_size=1, max_size=3),
    num_rows=st.sampled_from([0, 1, 2, 9, 130, 1025]),
    num_batches=st.integers(1, 4),
    null_share=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 1 << 32),
    cache=SIZES,
    page=SIZES,
    mode=st.sampled_from([None, "compact"]),
)
@examples(60, 1500)
def test_nested_tables_survive(
    wanted: list[pa.DataType],
    num_rows: int,
    num_batches: int,
    null_share: float,
    seed: int,
    cache: int | None,
    page: int | None,
    mode: str | None,
) -> None:
    rng = np.random.default_rng(seed)
    schema = pa.schema([(f"f{i}", type_) for i, type_ in enumerate(wanted)])
    batches = []
    for _ in range(num_batches):
        start = int(rng.integers(0, 4))
        arrays = [make(type_, num_rows + start, null_share, rng).slice(start) for type_ in wanted]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    table = pa.Table.from_batches(batches, schema)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file.lance"
        columns = {name: lancelet.ColumnOptions(v20=mode) for name in schema.names}
        reader = write(
            path, table, data_cache_bytes=cache, max_page_bytes=None if page == 0 else page, columns=columns
        )
        assert_tables_equal(reader.read_all().to_table(), table)
        if table.num_rows:
            rows = rng.integers(0, table.num_rows, 20).tolist()
            # pyarrow takes wrong values from slices of nested fixed-size lists (release 26)
            expected = pa.concat_tables([table.slice(row, 1) for row in rows])
            assert_tables_equal(reader.take_rows(rows).to_table(), expected)
            start = int(rng.integers(0, table.num_rows))
            assert_tables_equal(
                reader.read_range(start, table.num_rows - start).to_table(), table.slice(start)
            )
            read = reader.read_all(batch_size=7).to_batches()
            assert_tables_equal(pa.Table.from_batches(read, schema), table)
        if table.num_rows and not any(map(has_empty_struct, wanted)):
            assert_tables_equal(oracle("14.0.2").read(path)[0], table)


def has_empty_struct(type_: pa.DataType) -> bool:
    """Tell whether a type has structs without children, whose rows pylance cannot count."""
    if pa.types.is_struct(type_) and not type_.num_fields:
        return True
    return any(has_empty_struct(type_.field(i).type) for i in range(type_.num_fields))
