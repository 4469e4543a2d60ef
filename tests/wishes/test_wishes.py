"""Wishes: what is accepted, how they are merged, and what is refused where."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from lancelet import ColumnOptions, CompressionFieldParams, CompressionParams, OptionError
from lancelet.versions import Version
from lancelet.wishes.metadata import options_of_leaf, options_of_top
from lancelet.wishes.resolve import LeafKind, resolve
from lancelet.wishes.type_names import printed_type

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            {"structural_encoding": "sparse"},
            "structural_encoding is 'sparse'; it may be 'miniblock', 'fullzip'",
        ),
        ({"compression": "snappy"}, "compression is 'snappy'"),
        ({"compression": "ZSTD"}, "compression is 'ZSTD'"),
        ({"compression": 2}, "compression is 2"),
        ({"compression_level": 23}, "compression_level is 23"),
        ({"compression_level": 1.5}, "must be an integer"),
        ({"compression_level": True}, "must be an integer"),
        ({"rle_threshold": -0.1}, "must be at least 0"),
        ({"rle_threshold": float("nan")}, "must be at least 0"),
        ({"rle_threshold": float("inf")}, "must be at least 0"),
        ({"rle_threshold": "0.5"}, "must be a number"),
        ({"bss": "yes"}, "bss is 'yes'"),
        ({"minichunk_size": 0}, "minichunk_size is 0"),
        ({"minichunk_size": 2**31}, "at most 2147483647"),
        ({"dict_divisor": 0}, "dict_divisor is 0"),
        ({"dict_size_ratio": 0}, "above 0 and at most 1"),
        ({"dict_size_ratio": 1.1}, "at most 1"),
        ({"dict_max_bytes": -1}, "at least 0"),
        ({"dict_values_compression": "fsst"}, "dict_values_compression is 'fsst'"),
        ({"dict_values_compression_level": 99}, "dict_values_compression_level is 99"),
    ],
)
def test_values_are_checked_at_construction(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ColumnOptions(**wishes)


def test_only_what_is_wished_is_shown() -> None:
    assert repr(ColumnOptions()) == "ColumnOptions()"
    assert repr(ColumnOptions(bss="off", rle_threshold=0)) == "ColumnOptions(rle_threshold=0, bss='off')"


def test_each_member_is_merged_on_its_own() -> None:
    over = ColumnOptions(compression="zstd").over(ColumnOptions(compression="lz4", bss="off"))
    assert over == ColumnOptions(compression="zstd", bss="off")


# ---- names of types

TYPE_NAMES: list[tuple[pa.DataType, str]] = [
    (pa.null(), "Null"),
    (pa.bool_(), "Boolean"),
    (pa.int32(), "Int32"),
    (pa.uint64(), "UInt64"),
    (pa.float16(), "Float16"),
    (pa.float64(), "Float64"),
    (pa.string(), "Utf8"),
    (pa.large_string(), "LargeUtf8"),
    (pa.string_view(), "Utf8View"),
    (pa.binary(), "Binary"),
    (pa.large_binary(), "LargeBinary"),
    (pa.binary(7), "FixedSizeBinary(7)"),
    (pa.date32(), "Date32"),
    (pa.time32("ms"), "Time32(Millisecond)"),
    (pa.time64("ns"), "Time64(Nanosecond)"),
    (pa.duration("s"), "Duration(Second)"),
    (pa.timestamp("us"), "Timestamp(Microsecond, None)"),
    (pa.timestamp("us", "UTC"), 'Timestamp(Microsecond, Some("UTC"))'),
    (pa.decimal128(10, 2), "Decimal128(10, 2)"),
    (pa.decimal128(10, -2), "Decimal128(10, -2)"),
    (pa.decimal256(50, 0), "Decimal256(50, 0)"),
    (pa.decimal32(5, 1), "Decimal32(5, 1)"),
    (pa.month_day_nano_interval(), "Interval(MonthDayNano)"),
    (pa.uuid(), "FixedSizeBinary(16)"),
    (pa.dictionary(pa.int8(), pa.string()), "Dictionary(Int8, Utf8)"),
    (
        pa.list_(pa.float32(), 3),
        'FixedSizeList(Field { name: "item", data_type: Float32, nullable: true, dict_id: 0, '
        "dict_is_ordered: false, metadata: {} }, 3)",
    ),
    (
        pa.struct([pa.field("a", pa.int8(), nullable=False)]),
        'Struct([Field { name: "a", data_type: Int8, nullable: false, dict_id: 0, dict_is_ordered: false, '
        "metadata: {} }])",
    ),
]
NESTED = [
    pa.list_(pa.int8()),
    pa.large_list(pa.int8()),
    pa.list_view(pa.int8()),
    pa.large_list_view(pa.int8()),
    pa.map_(pa.string(), pa.int8()),
    pa.run_end_encoded(pa.int32(), pa.int8()),
    pa.dense_union([pa.field("a", pa.int8())]),
    pa.sparse_union([pa.field("a", pa.int8())]),
]


@pytest.mark.parametrize(("type_", "name"), TYPE_NAMES, ids=lambda value: str(value)[:30])
def test_types_are_printed_as_by_rust(type_: pa.DataType, name: str) -> None:
    assert printed_type(type_) == name


@pytest.mark.parametrize("type_", [*(type_ for type_, _ in TYPE_NAMES), *NESTED], ids=str)
@pytest.mark.parametrize("key", [printed_type, str, lambda type_: type_], ids=["rust", "pyarrow", "object"])
def test_rules_find_a_type_under_each_of_its_names(key: Callable[[Any], Any], type_: pa.DataType) -> None:
    if isinstance(type_, pa.BaseExtensionType) and key is str:
        type_ = type_.storage_type
    rules = CompressionParams(types={key(type_): CompressionFieldParams(compression="zstd")})
    assert rules.for_leaf("x", type_) == ColumnOptions(compression="zstd")
    assert rules.for_leaf("x", pa.time32("s")) == ColumnOptions()


# ---- rules


def threshold(value: float) -> CompressionFieldParams:
    return CompressionFieldParams(rle_threshold=value)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*"], "*"),
        (["*", "user_id"], "user_id"),
        (["*", "*_id"], "*_id"),
        (["*_id", "user_*"], "user_*"),
        (["use*", "*_id"], "*_id"),
        (["user*", "*r_id"], "*r_id"),
        (["user*r_id"], None),
        (["user_*_id"], None),
        (["user*_id"], "user*_id"),
        (["user_id*"], "user_id*"),
        (["*User_id", "id", "user_i"], None),
    ],
)
def test_longest_pattern_then_alphabet(patterns: list[str], found: str | None) -> None:
    rules = CompressionParams(columns={pattern: threshold(i + 1) for i, pattern in enumerate(patterns)})
    wanted = ColumnOptions() if found is None else threshold(patterns.index(found) + 1).as_options()
    assert rules.for_leaf("user_id", pa.int32()) == wanted


def test_names_come_before_types() -> None:
    rules = CompressionParams(
        types={"Int32": CompressionFieldParams(compression="zstd", compression_level=3, bss="on")},
        columns={"*_id": CompressionFieldParams(compression="lz4", rle_threshold=0.5)},
    )
    assert rules.for_leaf("a_id", pa.int32()) == ColumnOptions(
        compression="lz4", compression_level=3, rle_threshold=0.5, bss="on"
    )
    assert rules.for_leaf("a_id", pa.int64()) == ColumnOptions(compression="lz4", rle_threshold=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": {"Integer32": threshold(1)}}, "no Arrow type"),
        ({"types": {"int33": threshold(1)}}, "did you mean .*int32"),
        ({"types": {5: threshold(1)}}, "must be a type"),
        ({"types": {"Int32": threshold(1), pa.int32(): threshold(2)}}, "two rules"),
        ({"types": {"Int32": {"rle_threshold": 1}}}, "must be CompressionFieldParams"),
        ({"columns": {"a*b*": threshold(1)}}, "at most one star"),
        ({"columns": {"a": ColumnOptions()}}, "must be CompressionFieldParams"),
    ],
)
def test_bad_rules_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        CompressionParams(**arguments)


def test_two_names_of_one_type_are_refused() -> None:
    rules = CompressionParams(types={"Utf8": threshold(1), "string": threshold(2)})
    with pytest.raises(OptionError, match="two rules for one type"):
        rules.for_leaf("x", pa.string())


def test_bad_values_of_rules_are_refused() -> None:
    with pytest.raises(OptionError, match="bss is 'maybe'"):
        CompressionFieldParams(bss="maybe")


# ---- field metadata


def keys(**values: str) -> dict[str, str]:
    return {f"lance-encoding:{key.replace('_', '-')}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (keys(compression="zstd", compression_level="6"), {"compression": "zstd", "compression_level": 6}),
        (keys(compression_level="many"), {}),
        (keys(compression_level="100"), {"compression_level": 22}),
        (keys(rle_threshold="0.25"), {"rle_threshold": 0.25}),
        (keys(rle_threshold="-1"), {"rle_threshold": 0.0}),
        (keys(rle_threshold="nan"), {"rle_threshold": 0.0}),
        (keys(rle_threshold="often"), {}),
        (keys(bss="ON"), {"bss": "on"}),
        (keys(minichunk_size="-1"), {"minichunk_size": 1}),
        (keys(dict_divisor="0"), {"dict_divisor": 1}),
        (keys(dict_divisor="-3"), {}),
        (keys(dict_size_ratio="small"), {}),
        (keys(dict_size_ratio="0.5"), {"dict_size_ratio": 0.5}),
        (keys(dict_max_size="100"), {"dict_max_bytes": 100}),
        (
            keys(dict_values_compression="zstd", dict_values_compression_level="7"),
            {"dict_values_compression": "zstd", "dict_values_compression_level": 7},
        ),
        ({"compression": "zstd", "lance-encoding:packed": "true"}, {}),
    ],
)
def test_metadata_is_read_as_by_the_reference(metadata: dict[str, str], expected: dict[str, Any]) -> None:
    assert options_of_leaf(metadata).given == expected


@pytest.mark.parametrize(
    "metadata",
    [
        keys(compression="ZSTD"),
        keys(dict_values_compression="fsst"),
        keys(dict_size_ratio="0"),
        keys(dict_size_ratio="nan"),
        keys(dict_max_size="big"),
    ],
)
def test_values_that_the_format_calls_errors(metadata: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="lance-encoding:"):
        options_of_leaf(metadata)


@pytest.mark.parametrize("metadata", [keys(bss="maybe"), keys(minichunk_size="big")])
def test_values_that_are_ignored_with_a_warning(metadata: dict[str, str]) -> None:
    with pytest.warns(RuntimeWarning, match="is ignored"):
        assert options_of_leaf(metadata) == ColumnOptions()


def test_the_layout_is_read_from_the_top() -> None:
    assert options_of_top(keys(structural_encoding="FullZip")) == ColumnOptions(structural_encoding="fullzip")
    assert options_of_leaf(keys(structural_encoding="fullzip")) == ColumnOptions()
    with pytest.raises(OptionError, match="structural-encoding is 'sparse'"):
        options_of_top(keys(structural_encoding="sparse"))


# ---- the order, and what cannot be fulfilled


def resolved(type_: pa.DataType, version: str, **arguments: Any) -> ColumnOptions:
    given = {"leaf": {}, "top": {}, "options": ColumnOptions(), "rules": ColumnOptions()} | arguments
    return resolve(LeafKind.of(type_), Version.parse(version), **given)


def test_metadata_then_options_then_rules() -> None:
    found = resolved(
        pa.int32(),
        "2.2",
        leaf=keys(compression="zstd"),
        options=ColumnOptions(compression="lz4", bss="on"),
        rules=ColumnOptions(compression="none", bss="off", rle_threshold=0.3),
    )
    assert found == ColumnOptions(compression="zstd", bss="on", rle_threshold=0.3)


WIDE = pa.binary(256)
REFUSED: list[tuple[pa.DataType, str, dict[str, Any], str]] = [
    (pa.int32(), "2.2", {"compression": "fsst"}, "text and binary only"),
    (pa.list_(pa.int8(), 2), "2.2", {"compression": "zstd"}, "fixed-size lists are stored as they are"),
    (pa.struct([("a", pa.int8())]), "2.2", {"compression": "lz4"}, "packed structs are stored as they are"),
    (pa.struct([("a", pa.string())]), "2.2", {"structural_encoding": "miniblock"}, "need full-zip pages"),
    (pa.struct([("a", pa.int8())]), "2.1", {"structural_encoding": "fullzip"}, "full-zip pages of packed"),
    (pa.null(), "2.2", {"compression": "lz4"}, "nulls are stored"),
    (WIDE, "2.2", {"compression": "lz4"}, "values of one width as they are"),
    (pa.int32(), "2.2", {"compression": "lz4", "structural_encoding": "fullzip"}, "values of one width"),
    (pa.string(), "2.2", {"compression": "lz4", "structural_encoding": "fullzip"}, "with zstd only"),
    (pa.int32(), "2.2", {"compression_level": 3}, "only compression='zstd' has levels"),
    (pa.int32(), "2.2", {"compression": "lz4", "compression_level": 3}, "has levels"),
    (pa.bool_(), "2.2", {"rle_threshold": 0.5}, "of 8, 16, 32 and 64 bits only"),
    (pa.decimal256(50, 0), "2.2", {"rle_threshold": 0.5}, "of 8, 16, 32 and 64 bits only"),
    (pa.int8(), "2.2", {"rle_threshold": 0.5, "structural_encoding": "fullzip"}, "have no runs"),
    (pa.int8(), "2.2", {"rle_threshold": 0.5, "compression": "none"}, "leaves values"),
    (pa.int32(), "2.2", {"bss": "on"}, "only under compression"),
    (pa.int32(), "2.2", {"bss": "on", "compression": "none"}, "only under compression"),
    (pa.int16(), "2.2", {"bss": "on", "compression": "lz4"}, "32 and 64 bits only"),
    (pa.string(), "2.2", {"bss": "on", "compression": "lz4"}, "32 and 64 bits only"),
    (pa.int32(), "2.2", {"minichunk_size": 8192}, "text and binary"),
    (pa.string(), "2.2", {"minichunk_size": 8192, "structural_encoding": "fullzip"}, "mini-block"),
    (pa.string(), "2.1", {"minichunk_size": 32768}, "2.2 has larger ones"),
    (pa.int64(), "2.1", {"dict_divisor": 3}, "64 from version 2.2 on"),
    (pa.int32(), "2.2", {"dict_size_ratio": 0.5}, "of 64 and 128 bits only"),
    (pa.int64(), "2.2", {"dict_max_bytes": 100}, "text and binary only"),
    (pa.string(), "2.2", {"dict_divisor": 2, "structural_encoding": "fullzip"}, "no dictionary"),
    (pa.dictionary(pa.int8(), pa.string()), "2.2", {"dict_divisor": 2}, "keep theirs"),
    (pa.dictionary(pa.int8(), pa.string()), "2.2", {"structural_encoding": "fullzip"}, "no dictionary"),
    (pa.struct([("a", pa.string())]), "2.2", {"compression": "none"}, "wishes of their own"),
    (pa.string(), "2.1", {"dict_values_compression": "zstd"}, "2.2 compresses them"),
    (pa.int32(), "2.2", {"dict_values_compression": "zstd"}, "text, binary and values"),
    (pa.string(), "2.2", {"dict_values_compression_level": 3}, "has levels"),
]
FULFILLED: list[tuple[pa.DataType, str, dict[str, Any]]] = [
    (pa.string(), "2.1", {"compression": "fsst"}),
    (pa.string(), "2.1", {"compression": "zstd", "structural_encoding": "fullzip", "compression_level": 1}),
    (pa.bool_(), "2.1", {"compression": "lz4"}),
    (pa.struct([("a", pa.int8())]), "2.2", {"structural_encoding": "fullzip"}),
    (pa.struct([("a", pa.string())]), "2.2", {"structural_encoding": "fullzip"}),
    (pa.struct([("a", pa.int8())]), "2.1", {"structural_encoding": "miniblock"}),
    (WIDE, "2.1", {"compression": "lz4", "structural_encoding": "miniblock"}),
    (pa.list_(pa.int8(), 2), "2.1", {"compression": "none"}),
    (pa.struct([("a", pa.int8())]), "2.1", {"compression": "none"}),
    (pa.decimal128(5, 2), "2.1", {"rle_threshold": 0.5, "dict_divisor": 3}),
    (pa.int64(), "2.2", {"dict_divisor": 3, "dict_values_compression": "none"}),
    (pa.int32(), "2.1", {"bss": "on", "compression": "zstd"}),
    (pa.bool_(), "2.1", {"bss": "off"}),
    (pa.string(), "2.1", {"minichunk_size": 32767, "dict_max_bytes": 0}),
    (pa.string(), "2.2", {"minichunk_size": 1 << 20}),
    (pa.dictionary(pa.int8(), pa.string()), "2.2", {"dict_values_compression": "zstd", "compression": "lz4"}),
    (pa.null(), "2.1", {"structural_encoding": "fullzip"}),
]


@pytest.mark.parametrize(("type_", "version", "wishes", "reason"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_fulfilled_is_refused(
    type_: pa.DataType, version: str, wishes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(OptionError, match=f"cannot be fulfilled: .*{reason}"):
        resolved(type_, version, options=ColumnOptions(**wishes))


@pytest.mark.parametrize(("type_", "version", "wishes", "reason"), REFUSED, ids=lambda value: str(value)[:60])
def test_the_same_in_metadata_is_logged_and_in_rules_let_be(
    type_: pa.DataType, version: str, wishes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    spelled = {"dict_max_bytes": "dict_max_size"}
    metadata = keys(**{spelled.get(name, name): str(value) for name, value in wishes.items()})
    with caplog.at_level(logging.WARNING, "lancelet"):
        assert resolved(type_, version, leaf=metadata, top=metadata) == ColumnOptions(**wishes)
    assert reason.replace("\\", "") in caplog.text
    assert "in field metadata is ignored" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lancelet"):
        assert resolved(type_, version, rules=ColumnOptions(**wishes)) == ColumnOptions(**wishes)
    assert not caplog.text


def test_blobs_are_stored_as_they_are() -> None:
    for wishes in ({"structural_encoding": "fullzip"}, {"compression": "zstd"}, {"dict_divisor": 2}):
        with pytest.raises(OptionError, match="cannot be fulfilled"):
            resolve(
                LeafKind.of(pa.large_binary(), blob=True),
                Version.V2_2,
                leaf={},
                top={},
                options=ColumnOptions(**wishes),
                rules=ColumnOptions(),
            )


@pytest.mark.parametrize(("type_", "version", "wishes"), FULFILLED, ids=lambda value: str(value)[:60])
def test_what_can_be_fulfilled(type_: pa.DataType, version: str, wishes: dict[str, Any]) -> None:
    assert resolved(type_, version, options=ColumnOptions(**wishes)) == ColumnOptions(**wishes)
