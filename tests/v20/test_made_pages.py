"""Pages made by hand: encodings that no golden file has, and every check of a reader.

What is well-formed is also read by both releases of pylance, apart from what they cannot read.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet import kernels
from lancelet.errors import FormatError, UnsupportedError
from lancelet.pb import encodings20_pb2 as pb
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle
from v20.pages20 import (
    all_nulls,
    binary,
    buffer,
    flat,
    lists,
    no_nulls,
    some_nulls,
    u64,
    write_columns,
)

if TYPE_CHECKING:
    from pathlib import Path

    from v20.pages20 import Page


def bit_stream(values: list[int], width: int) -> bytes:
    """Pack the lowest `width` bits of values one after the other."""
    bits = sum((value & ((1 << width) - 1)) << (i * width) for i, value in enumerate(values))
    return bits.to_bytes(-(-len(values) * width // 8), "little")


def bitpacked(width: int, bits: int, *, signed: bool = False, index: int = 0) -> pb.ArrayEncoding:
    message = pb.Bitpacked(
        compressed_bits_per_value=width,
        uncompressed_bits_per_value=bits,
        buffer=buffer(index),
        signed=signed,
    )
    return pb.ArrayEncoding(bitpacked=message)


def non_negative(width: int, bits: int, index: int = 0) -> pb.ArrayEncoding:
    message = pb.BitpackedForNonNeg(
        compressed_bits_per_value=width, uncompressed_bits_per_value=bits, buffer=buffer(index)
    )
    return pb.ArrayEncoding(bitpacked_for_non_neg=message)


def blocks(values: np.ndarray, width: int) -> bytes:
    """Pack values in blocks of 1024, the last one padded."""
    padded = np.zeros(-(-len(values) // 1024) * 1024, values.dtype)
    padded[: len(values)] = values
    out = np.empty(len(padded) // 1024 * 128 * width, np.uint8)
    counts = np.array([len(padded)])
    kernels.out_of_line_pack(padded, counts, 8 * values.itemsize, width, out, np.empty(1, np.int64))
    return out.tobytes()


def check(path: Path, table: pa.Table, releases: tuple[str, ...] = RELEASES) -> None:
    """Read a file in all ways with lancelet, and in some with pylance."""
    reader = lancelet.FileReader(str(path))
    num_rows = table.num_rows
    rng = np.random.default_rng(num_rows)
    takes = [
        sorted({0, num_rows - 1}),
        np.unique(rng.integers(0, num_rows, 50)).tolist(),
        rng.integers(0, num_rows, 50).tolist(),
        [num_rows // 2],
    ]
    starts = sorted({start % num_rows for start in (0, 1, 7, 1023, 1024, num_rows // 2)})
    assert_tables_equal(reader.read_all().to_table(), table)
    for batch_size in (7, 1000):
        batches = reader.read_all(batch_size=batch_size).to_batches()
        assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
    for start in starts:
        found = reader.read_range(start, num_rows - start).to_table()
        assert_tables_equal(found, table.slice(start))
    for rows in takes:
        assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))
    parts: list[tuple[Any, ...]] = [
        ("all", 1024),
        ("range", num_rows // 3, num_rows // 2),
        ("take", takes[1]),
    ]
    expected = [table, table.slice(num_rows // 3, num_rows // 2), table.take(takes[1])]
    for release in releases:
        for found, wanted in zip(oracle(release).read(path, parts), expected, strict=True):
            assert_tables_equal(found, wanted)


def one_column(path: Path, array: pa.Array, pages: list[Page], **buffers: Any) -> tuple[Path, pa.Table]:
    table = pa.table({"x": array})
    return write_columns(path / "made.lance", table.schema, len(array), [pages], **buffers), table


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("signed", [False, True])
def test_bitpacked(bits: int, signed: bool, tmp_path: Path) -> None:
    for width in sorted({1, 3, 5, bits // 2 + 1, bits - 1}):
        rng = np.random.default_rng(width)
        low, high = (-(1 << (width - 1)), 1 << (width - 1)) if signed else (0, 1 << width)
        values = [low, high - 1, *(int(rng.integers(low, high)) for _ in range(2998))]
        type_ = pa.from_numpy_dtype(f"{'i' if signed else 'u'}{bits // 8}")
        page = no_nulls(bitpacked(width, bits, signed=signed))
        path, table = one_column(
            tmp_path, pa.array(values, type_), [(page, [bit_stream(values, width)], len(values))]
        )
        check(path, table)


def test_bitpacked_of_full_width(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for width in range(55, 65):
        values = [int(value) >> (64 - width) for value in rng.integers(0, 1 << 64, 500, dtype=np.uint64)]
        page = no_nulls(bitpacked(width, 64))
        pages = [(page, [bit_stream(values, width)], len(values))]
        check(*one_column(tmp_path, pa.array(values, pa.uint64()), pages))


def test_bitpacked_with_nulls_in_two_pages(tmp_path: Path) -> None:
    values = [i % 23 if i % 5 else None for i in range(600)]
    pages = []
    for part in (values[:250], values[250:]):
        validity = np.packbits([value is not None for value in part], bitorder="little").tobytes()
        stream = bit_stream([value or 0 for value in part], 5)
        pages.append((some_nulls(bitpacked(5, 32, index=1)), [validity, stream], len(part)))
    check(*one_column(tmp_path, pa.array(values, pa.int32()), pages))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i4", "i8"])
@pytest.mark.parametrize("num_values", [1, 1023, 1024, 1025, 5000])
def test_bitpacked_for_non_negative(dtype: str, num_values: int, tmp_path: Path) -> None:
    for width in (1, 3, 4, 7):
        values = np.random.default_rng(width).integers(0, 1 << width, num_values).astype(dtype)
        pages = [(no_nulls(non_negative(width, 8 * values.itemsize)), [blocks(values, width)], num_values)]
        check(*one_column(tmp_path, pa.array(values), pages))


def test_bitpacked_for_non_negative_of_no_bits(tmp_path: Path) -> None:
    pages = [(no_nulls(non_negative(0, 32)), [b""], 3000)]
    # pylance panics
    check(*one_column(tmp_path, pa.array(np.zeros(3000, np.uint32)), pages), ())


def test_bitpacked_for_non_negative_with_nulls(tmp_path: Path) -> None:
    values = np.arange(2500, dtype=np.uint8) % 8
    valid = values != 3
    pages = [
        (
            some_nulls(non_negative(3, 8, index=1)),
            [np.packbits(valid, bitorder="little").tobytes(), blocks(values, 3)],
            2500,
        )
    ]
    check(*one_column(tmp_path, pa.array(values, mask=~valid), pages))


def fixed_size(width: int, bits: int = 8, index: int = 0) -> pb.ArrayEncoding:
    return pb.ArrayEncoding(fixed_size_binary=pb.FixedSizeBinary(bytes=flat(bits, index), byte_width=width))


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
def test_fixed_size_binary(type_: pa.DataType, tmp_path: Path) -> None:
    values = [f"{i:05}" for i in range(2000)]
    array = pa.array(values, pa.string()).cast(type_)
    data = "".join(values).encode()
    check(*one_column(tmp_path, array, [(no_nulls(fixed_size(5)), [data], 2000)]))
    # one value each: pylance asks for too many bytes
    check(*one_column(tmp_path, array, [(no_nulls(fixed_size(5, 40)), [data], 2000)]), ())


def test_fixed_size_binary_with_nulls(tmp_path: Path) -> None:
    values = [f"{i:05}" if i % 3 else None for i in range(2000)]
    validity = np.packbits([value is not None for value in values], bitorder="little").tobytes()
    data = "".join(value or "\0" * 5 for value in values).encode()
    pages = [(some_nulls(fixed_size(5, index=1)), [validity, data], 2000)]
    check(*one_column(tmp_path, pa.array(values), pages))


def old_text(
    text: list[str | None], row_cuts: tuple[int, ...], byte_cuts: tuple[int, ...]
) -> list[list[Page]]:
    """Return the two columns of text of the first writers: offsets, and bytes as items."""
    offsets: list[Page] = []
    for start, stop in pairwise((0, *row_cuts, len(text))):
        sizes = [len((value or "").encode()) for value in text[start:stop]]
        ends = np.cumsum(sizes)
        ends[[value is None for value in text[start:stop]]] += sum(sizes) + 1
        offsets.append((lists(sum(sizes) + 1, sum(sizes)), [u64(*ends.tolist())], stop - start))
    data = "".join(value or "" for value in text).encode()
    cuts = pairwise((0, *byte_cuts, len(data)))
    return [offsets, [(no_nulls(flat(8)), [data[start:stop]], stop - start) for start, stop in cuts]]


OLD_TEXT = [None if i % 7 == 3 else f"value {i}" * (i % 4) for i in range(500)]


@pytest.mark.parametrize("byte_cuts", [(), (1000,), (1000, 1000)], ids=str)
@pytest.mark.parametrize("row_cuts", [(), (200,)], ids=str)
def test_old_text(row_cuts: tuple[int, ...], byte_cuts: tuple[int, ...], tmp_path: Path) -> None:
    table = pa.table({"t": OLD_TEXT})
    columns = old_text(OLD_TEXT, row_cuts, byte_cuts)
    check(write_columns(tmp_path / "old.lance", table.schema, 500, columns), table)


def test_old_text_moves_the_columns_after_it(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(range(500)), "t": OLD_TEXT, "b": pa.array(range(500, 1000))})
    first, last = ([(no_nulls(flat(64)), [u64(*table[name].to_pylist())], 500)] for name in "ab")
    columns = [first, *old_text(OLD_TEXT, (200,), (1000, 1000)), last]
    path = write_columns(tmp_path / "old.lance", table.schema, 500, columns)
    check(path, table, ())  # pylance looks for the columns after it where they would be without it
    for name in table.column_names:
        assert_tables_equal(
            lancelet.FileReader(str(path), [name]).read_all().to_table(), table.select([name])
        )


def test_buffers_of_column_and_file(tmp_path: Path) -> None:
    numbers = pa.array([3, 1, 2], pa.uint64())
    pages = [(no_nulls(flat(64, 0, "column")), [], 3)]
    check(*one_column(tmp_path, numbers, pages, column_buffers=[u64(3, 1, 2)]))
    pages = [(no_nulls(flat(64, 1, "file")), [], 3)]
    # pylance does not find buffers of the file
    check(*one_column(tmp_path, numbers, pages, global_buffers=[u64(3, 1, 2)]), ())


def test_zstd_without_length(tmp_path: Path) -> None:
    text = [f"value {i}" for i in range(1000)]
    ends = np.cumsum([len(value) for value in text])
    bare = pa.Codec("zstd").compress("".join(text).encode(), asbytes=True)
    pages = [(binary(int(ends[-1]) + 1, scheme="zstd"), [u64(*ends.tolist()), bare], 1000)]
    path, table = one_column(tmp_path, pa.array(text), pages)
    assert_tables_equal(
        lancelet.FileReader(str(path)).take_rows([5, 900, 5]).to_table(), table.take([5, 900, 5])
    )
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table)


def test_pages_without_rows(tmp_path: Path) -> None:
    empty: Page = (binary(0), [b"", b""], 0)
    full: Page = (binary(4), [u64(1, 3), b"abc"], 2)
    pages = [empty, full, empty, full, (all_nulls(), [], 0)]
    check(*one_column(tmp_path, pa.array(["a", "bc", "a", "bc"]), pages))


TEXT = pa.array(["ab", None, "", "cde"])
LISTS = pa.array([[1, 2], None, [], [3, None, 5]], pa.list_(pa.int32()))
ITEMS: Page = (
    some_nulls(flat(32, 1)),
    [b"\x17", b"".join(i.to_bytes(4, "little") for i in (1, 2, 3, 0, 5))],
    5,
)


def refused(
    path: Path, array: pa.Array, columns: list[list[Page]], error: type[Exception], text: str
) -> None:
    schema = pa.schema([pa.field("x", array.type)])
    made = write_columns(path / "made.lance", schema, len(array), columns)
    reader = lancelet.FileReader(str(made))
    for read in (
        lambda: reader.read_all().to_table(),
        lambda: list(reader.read_all(batch_size=len(array) + 1).to_batches()),
    ):
        with pytest.raises(error, match=text) as caught:
            read()
        if error is FormatError:
            assert "column" in str(caught.value)


BAD_TEXT: dict[str, tuple[Page, str]] = {
    "decreasing": ((binary(6), [u64(2, 8, 1, 5), b"abcde"], 4), "decrease"),
    "past the bytes": ((binary(7), [u64(2, 9, 2, 6), b"abcde"], 4), "outside"),
    "past the adjustment": ((binary(6), [u64(2, 13, 2, 5), b"abcde"], 4), "ends at 7"),
    "no adjustment": ((binary(0), [u64(2, 8, 2, 5), b"abcde"], 4), "adjustment"),
    "short indices": ((binary(6), [u64(2, 8, 2), b"abcde"], 4), "32 bytes"),
    "buffer missing": ((binary(6), [u64(2, 8, 2, 5)], 4), "page buffer 1"),
    "not UTF-8": ((binary(6), [u64(2, 8, 2, 5), b"ab\xff\xff\xff"], 4), "UTF-8"),
    "flat": ((no_nulls(flat(32)), [bytes(16)], 4), "do not fit the type string"),
    "nothing": ((pb.ArrayEncoding(), [], 4), "missing"),
    "list": ((lists(6, 5), [u64(2, 8, 2, 5)], 4), "column 1"),
    "rows missing": ((binary(6), [u64(2, 8, 2), b"abcde"], 3), "3 values, and 4"),
    "zstd": ((binary(6, scheme="zstd"), [u64(2, 8, 2, 5), b"abcdefghijkl"], 4), "zstd|declares"),
    "lz4": ((binary(6, scheme="lz4"), [u64(2, 8, 2, 5), b"\x05\0\0\0\xff"], 4), "lz4"),
    "no buffer": (
        (no_nulls(pb.ArrayEncoding(flat=pb.Flat(bits_per_value=8))), [], 4),
        "do not fit|names no buffer",
    ),
}


@pytest.mark.parametrize("name", BAD_TEXT)
def test_bad_text(name: str, tmp_path: Path) -> None:
    page, text = BAD_TEXT[name]
    refused(tmp_path, TEXT, [[page]], FormatError, text)


def test_good_text_and_lists(tmp_path: Path) -> None:
    check(*one_column(tmp_path, TEXT, [(binary(6), [u64(2, 8, 2, 5), b"abcde"], 4)]))
    table = pa.table({"x": LISTS})
    columns: list[list[Page]] = [[(lists(6, 5), [u64(2, 8, 2, 5)], 4)], [ITEMS]]
    check(write_columns(tmp_path / "lists.lance", table.schema, 4, columns), table)


BAD_LISTS: dict[str, tuple[list[list[Page]], str]] = {
    "decreasing": ([[(lists(6, 5), [u64(2, 8, 1, 5)], 4)], [ITEMS]], "decrease"),
    "too few items": ([[(lists(7, 6), [u64(2, 9, 2, 6)], 4)], [ITEMS]], "6 are needed"),
    "last end": ([[(lists(6, 5), [u64(2, 8, 2, 4)], 4)], [ITEMS]], "end at item 4"),
    "past the items": ([[(lists(6, 5), [u64(2, 8, 2, 12)], 4)], [ITEMS]], "ends at 6"),
    "huge": ([[(lists(1 << 63, (1 << 63) - 1), [u64(2, 8, 2, 5)], 4)], [ITEMS]], "impossible"),
    "flat": ([[(no_nulls(flat(64)), [u64(2, 8, 2, 5)], 4)], [ITEMS]], "encoding 'nullable'"),
    "column missing": ([[(lists(6, 5), [u64(2, 8, 2, 5)], 4)]], "needs column 1"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_bad_lists(name: str, tmp_path: Path) -> None:
    columns, text = BAD_LISTS[name]
    refused(tmp_path, LISTS, columns, FormatError, text)


HEADER: Page = (pb.ArrayEncoding(struct=pb.SimpleStruct()), [], 2)
BAD_STRUCTS: dict[str, tuple[list[list[Page]], str]] = {
    "two headers": ([[HEADER, HEADER], [(no_nulls(flat(64)), [u64(1, 2)], 2)]], "2 pages, not one"),
    "no header": ([[], [(no_nulls(flat(64)), [u64(1, 2)], 2)]], "0 pages, not one"),
    "flat header": ([[(no_nulls(flat(64)), [u64(1, 2)], 2)], [HEADER]], "encoding 'nullable'"),
    "short child": ([[HEADER], [(no_nulls(flat(64)), [u64(1)], 1)]], "2 are needed"),
}


@pytest.mark.parametrize("name", BAD_STRUCTS)
def test_bad_structs(name: str, tmp_path: Path) -> None:
    columns, text = BAD_STRUCTS[name]
    array = pa.array([{"a": 1}, {"a": 2}], pa.struct([("a", pa.int64())]))
    refused(tmp_path, array, columns, FormatError, text)


@pytest.mark.parametrize(
    "member",
    [
        "constant",
        "inline_bitpacking",
        "out_of_line_bitpacking",
        "variable",
        "packed_struct_fixed_width_mini_block",
        "block",
        "rle",
        "general_mini_block",
        "byte_stream_split",
    ],
)
def test_leftovers_are_not_handled(member: str, tmp_path: Path) -> None:
    message = pb.ArrayEncoding()
    getattr(message, member).SetInParent()
    refused(tmp_path, pa.array([1, 2]), [[(message, [], 2)]], UnsupportedError, f"column 0, page 0.*{member}")


def dictionary(indices: pb.ArrayEncoding, items: pb.ArrayEncoding, num_items: int) -> pb.ArrayEncoding:
    return pb.ArrayEncoding(
        dictionary=pb.Dictionary(indices=indices, items=items, num_dictionary_items=num_items)
    )


def test_dictionary_indices_are_checked(tmp_path: Path) -> None:
    items = [u64(1, 3), b"xyy"]
    text = dictionary(no_nulls(flat(8)), binary(4, 1, 2), 2)
    check(*one_column(tmp_path, pa.array(["x", None, "yy"]), [(text, [b"\x01\x00\x02", *items], 3)]))
    refused(tmp_path, TEXT[:3], [[(text, [b"\x01\x00\x03", *items], 3)]], FormatError, "no item 2")
    keys = dictionary(no_nulls(flat(32)), binary(4, 1, 2), 2)
    type_ = pa.dictionary(pa.int32(), pa.string())
    array = pa.array(["x", "yy"], type_)
    check(*one_column(tmp_path, array, [(keys, [bytes(4) + b"\x01\0\0\0", *items], 2)]))
    for bad in (b"\x02\0\0\0", b"\xff\xff\xff\xff"):
        refused(tmp_path, array, [[(keys, [bytes(4) + bad, *items], 2)]], FormatError, "no item")


def test_keys_that_are_negative_are_no_large_numbers(tmp_path: Path) -> None:
    keys = dictionary(no_nulls(flat(8)), no_nulls(flat(64, 1)), 250)
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(range(250)))
    refused(tmp_path, array, [[(keys, [b"\x00\xc8", u64(*range(250))], 2)]], FormatError, "no item -56")


def test_nulls_around_what_has_none(tmp_path: Path) -> None:
    keys = dictionary(no_nulls(flat(8, 1)), no_nulls(flat(64, 2)), 2)
    array = pa.array([1, 2], pa.dictionary(pa.int8(), pa.int64()))
    page = (some_nulls(keys), [b"\x03", b"\x00\x01", u64(1, 2)], 2)
    refused(tmp_path, array, [[page]], FormatError, "stand in a 'nullable'")
    message = pb.ArrayEncoding(packed_struct=pb.PackedStruct(buffer=pb.Buffer(buffer_index=1)))
    field = pa.field("x", pa.struct([("a", pa.int64())]), metadata={"packed": "true"})
    page = (some_nulls(message), [b"\x03", u64(1, 2)], 2)
    path = write_columns(tmp_path / "packed.lance", pa.schema([field]), 2, [[page]])
    with pytest.raises(FormatError, match="stand in a 'nullable'"):
        lancelet.FileReader(str(path)).read_all().to_table()


@pytest.mark.parametrize("kind", [-4, -1, 3])
def test_kinds_of_buffers_that_do_not_exist(kind: int, tmp_path: Path) -> None:
    message = pb.ArrayEncoding(flat=pb.Flat(bits_per_value=64, buffer=pb.Buffer(buffer_type=kind)))
    page = (no_nulls(message), [u64(1, 2)], 2)
    refused(tmp_path, pa.array([1, 2]), [[page]], FormatError, f"buffers of type {kind} do not exist")


def test_positions_do_not_wrap_around(tmp_path: Path) -> None:
    numbers = u64(*range(16))
    packed = len(numbers).to_bytes(8, "little") + pa.Codec("zstd").compress(numbers, asbytes=True)
    num_rows = (1 << 61) + 16
    page = (no_nulls(flat(64, scheme="zstd")), [packed], num_rows)
    schema = pa.schema([pa.field("x", pa.int64())])
    path = write_columns(tmp_path / "huge.lance", schema, num_rows, [[page]])
    with pytest.raises(FormatError, match="are impossible"):
        lancelet.FileReader(str(path)).take_rows([1 << 61]).to_table()


def test_huge_declared_sizes_are_refused(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.int64())])
    path = write_columns(tmp_path / "huge.lance", schema, 1 << 60, [[(all_nulls(), [], 1 << 60)]])
    reader = lancelet.FileReader(str(path))
    with pytest.raises(lancelet.errors.LanceletError):
        reader.read_all().to_table(max_result_bytes=1 << 20)
    assert reader.take_rows([1 << 50]).to_table()["x"].to_pylist() == [None]
