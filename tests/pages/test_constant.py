from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from lancelet.blocks import FixedSizeList, FixedWidth, VariableWidth
from lancelet.buffers import as_bytes, nbytes
from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.levels import Layer, Leaf
from lancelet.levels.build import build
from lancelet.levels.unravel import unravel
from lancelet.pages import constant
from lancelet.pages.base import ByteRange, EncodedPage, PageInfo, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page
from lancelet.pb.encodings21_pb2 import CompressiveEncoding, ConstantLayout, PageLayout
from levels.nested import kinds_of, random_row, random_type, rows_of, steps_of
from pages.raw import Raw, fixed, open_page, page_file, read, slots_of, strings

SIMPLE = Leaf(5, (Layer.NULLABLE_ITEM,), None, None, 5, None)
FLAT = Leaf(3, (Layer.ALL_VALID_ITEM,), None, None, 3, None)


@pytest.fixture(autouse=True, params=["native", "reference"])
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lancelet._native" if request.param == "native" else "lancelet.kernels.reference"
    monkeypatch.setattr("lancelet.pages.constant.kernels", pytest.importorskip(name))


def leaf_of(type_: Any, rows: Any) -> Leaf:
    return build(steps_of(type_, rows)[0], robust=False)


def contents(page: EncodedPage) -> list[str]:
    return [as_bytes(buffer).tobytes().hex() for buffer in page.buffers]


def test_simple_all_null() -> None:
    page = constant.encode_all_null(SIMPLE, level_codec=None)
    assert page.buffers == ()
    assert page.message.SerializeToString().hex() == "12032a0103"
    data, opened = open_page(page)
    leaf = read(data, opened, RowRanges.from_sorted(np.array([1, 4])))
    assert (leaf.num_rows, leaf.num_slots, leaf.values, leaf.def_) == (2, 2, None, None)
    (step,) = unravel(leaf, kinds_of(()))
    assert rows_of((), [step], [0, 0]) == [None, None]


def test_struct_of_nulls() -> None:
    page = constant.encode_all_null(leaf_of(("struct",), [("struct", None), None, None]), level_codec=None)
    assert contents(page) == ["", "010002000200"]
    assert page.message.SerializeToString().hex() == "12042a020303"
    data, opened = open_page(page)
    assert rows_of(("struct",), unravel(read(data, opened), kinds_of(("struct",))), [0, 0, 0]) == [
        ("struct", None),
        None,
        None,
    ]


def test_lists_without_items() -> None:
    page = constant.encode_all_null(leaf_of(("list",), [[], [], None, []]), level_codec=None)
    assert contents(page) == ["0100010001000100", "0200020001000200"]
    assert page.message.SerializeToString().hex() == "12042a020106"


def test_levels_at_odd_places() -> None:
    leaf = leaf_of(("list",), [[], [], None, []])
    for codec in (None, lambda levels, counts: Raw()):
        data, info = page_file(constant.encode_all_null(leaf, level_codec=codec))
        message = constant.encode_all_null(leaf, level_codec=codec).message.SerializeToString()
        layout = parse_page(PAGE_LAYOUT, message, info)
        moved = memoryview(b"#" + data)
        heads = [
            moved[1 + place.position : 1 + place.position + place.size] for place in layout.head_ranges()
        ]
        steps = unravel(read(data, layout.open(heads)), kinds_of(("list",)))
        assert rows_of(("list",), steps, []) == [[], [], None, []]


def test_compressed_levels() -> None:
    leaf = leaf_of(("list",), [[None], [None, None], [], None])
    page = constant.encode_all_null(leaf, level_codec=lambda levels, counts: Raw())
    message = page.message.constant_layout
    assert (message.num_rep_values, message.num_def_values) == (5, 5)
    assert message.HasField("rep_compression")
    data, opened = open_page(page)
    for rows, expected in [([0], [[None]]), ([1], [[None, None]]), ([0, 2, 3], [[None], [], None])]:
        some = read(data, opened, RowRanges.from_sorted(np.array(rows)))
        assert rows_of(("list",), unravel(some, kinds_of(("list",))), [0] * some.num_slots) == expected


def test_absent_levels_are_not_compressed() -> None:
    leaf = leaf_of(("struct",), [None])
    message = constant.encode_all_null(leaf, level_codec=lambda levels, counts: Raw()).message.constant_layout
    assert not message.HasField("rep_compression")
    assert (message.num_rep_values, message.num_def_values) == (0, 1)


def test_needed_levels_may_not_be_missing() -> None:
    with pytest.raises(ValueError, match="levels"):
        constant.encode_all_null(replace(SIMPLE, layers=(Layer(1), Layer(3))), level_codec=None)


@pytest.mark.parametrize(
    ("value", "inline"),
    [
        (FixedWidth(1, 1, b"\x03"), "01"),
        (FixedWidth(1, 1, b"\x02"), "00"),
        (fixed("<i4", 7), "07000000"),
        (FixedWidth(256, 1, bytes(range(32))), bytes(range(32)).hex()),
        (FixedWidth(24, 1, b"abc"), "616263"),
    ],
)
def test_inline_values(value: FixedWidth, inline: str) -> None:
    page = constant.encode_constant(FLAT, value)
    assert page.buffers == ()
    assert page.message.constant_layout.inline_value.hex() == inline
    data, opened = open_page(page)
    leaf = read(data, opened)
    assert [raw.hex() for raw in slots_of(leaf.values)] == [inline] * 3
    assert isinstance(leaf.values, FixedWidth)
    assert leaf.values.bits == 4 * len(inline)


@pytest.mark.parametrize(
    ("value", "buffer"),
    [
        (strings(b"hello"), "02000000 08000000 05000000 00000000 05000000 68656c6c6f"),
        (
            VariableWidth(32, 1, np.array([2, 7], "<u4"), b"..hello.."),
            "02000000 08000000 05000000 00000000 05000000 68656c6c6f",
        ),
        (strings(b"", offset_bits=64), "02000000 10000000 00000000" + "00" * 16),
        (FixedWidth(320, 1, b"x" * 40), "01000000 28000000" + "78" * 40),
    ],
)
def test_value_buffers(value: FixedWidth | VariableWidth, buffer: str) -> None:
    page = constant.encode_constant(FLAT, value)
    assert contents(page) == [buffer.replace(" ", "")]
    assert not page.message.constant_layout.HasField("inline_value")
    data, opened = open_page(page)
    assert slots_of(read(data, opened).values) == slots_of(value) * 3
    assert slots_of(read(data, opened, RowRanges.single(1, 2)).values) == slots_of(value)


@pytest.mark.parametrize("seed", range(60))
def test_random_constants(seed: int) -> None:
    rng = random.Random(seed)
    type_ = random_type(rng, 3)
    rows = [random_row(rng, type_, 0.2, 0.2) for _ in range(rng.choice((1, 5, 60)))]
    steps, slots = steps_of(type_, rows)
    leaf = build(steps, robust=seed % 2 == 0)
    values: list[Any] = [
        strings(b"xyz"),
        strings(b"", offset_bits=64),
        fixed("<u4", 9),
        FixedWidth(24, 1, b"abc"),
    ]
    value = values[seed % 4]
    data, opened = open_page(constant.encode_constant(leaf, value))
    full = read(data, opened)
    (single,) = slots_of(value)
    null = b"" if isinstance(value, VariableWidth) else single
    assert slots_of(full.values) == [null if slot is None else single for slot in slots]
    whole = rows_of(type_, unravel(full, kinds_of(type_)), slots_of(full.values))
    for _ in range(8):
        wanted = np.array(sorted(rng.sample(range(len(rows)), rng.randint(1, len(rows)))))
        some = read(data, opened, RowRanges.from_sorted(wanted))
        found = rows_of(type_, unravel(some, kinds_of(type_)), slots_of(some.values))
        assert found == [whole[row] for row in wanted]


def test_huge_pages_cost_nothing_until_they_are_read() -> None:
    for message in (
        ConstantLayout(layers=[3]),
        ConstantLayout(layers=[1], inline_value=b"\x01\x00"),
    ):
        serialised = PageLayout(constant_layout=message).SerializeToString()
        opened = parse_page(PAGE_LAYOUT, serialised, PageInfo((), (1 << 63) - 1)).open([])
        leaf = read(b"", opened, RowRanges.single((1 << 63) - 3, (1 << 63) - 1))
        assert leaf.num_slots == 2
        with pytest.raises(FormatError, match="cannot have"):
            parse_page(PAGE_LAYOUT, serialised, PageInfo((), 1 << 63))
    with pytest.raises(UnsupportedError, match="too large"):
        read(b"", opened)


def test_values_too_long_for_32_bit_offsets() -> None:
    page = constant.encode_constant(replace(FLAT, num_rows=1 << 30, num_slots=1 << 30), strings(b"abc"))
    data, opened = open_page(page)
    with pytest.raises(UnsupportedError, match="32-bit"):
        read(data, opened)


def test_other_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="one value"):
        constant.encode_constant(FLAT, fixed("<i4", 7, 7))
    with pytest.raises(ValueError, match="one value"):
        constant.encode_constant(FLAT, FixedSizeList(2, 1, fixed("<i4", 7, 7)))


# ---------------------------------------------------------------- corrupt pages

ZEROS = bytes(6)
ONES = np.ones(3, np.uint16).tobytes()
RAW = CompressiveEncoding(plugin=AnyMessage(type_url="/lancelet.test.Raw"))


@pytest.mark.parametrize(
    ("message", "buffers", "num_rows", "text"),
    [
        (ConstantLayout(layers=[3], inline_value=b"a"), [b""], 3, "must have 0 or 2"),
        (ConstantLayout(layers=[3], inline_value=b"a"), [b"", ONES, b""], 3, "must have 0 or 2"),
        (ConstantLayout(layers=[3]), [b""] * 4, 3, "buffers"),
        (ConstantLayout(layers=[1], inline_value=b""), [], 3, "no bytes"),
        (ConstantLayout(layers=[1]), [], 3, "needs definition"),
        (ConstantLayout(layers=[3, 3]), [], 3, "needs definition"),
        (ConstantLayout(layers=[1, 6]), [], 3, "repetition levels"),
        (ConstantLayout(layers=[1, 2], inline_value=b"a"), [], 3, "repetition levels"),
        (ConstantLayout(layers=[3], rep_compression=RAW), [], 3, "no buffers"),
        (ConstantLayout(layers=[3]), [b"", b""], 3, "needs definition"),
        (ConstantLayout(layers=[3]), [b"", ONES[1:]], 3, "16 bits"),
        (ConstantLayout(layers=[3], num_def_values=2), [b"", ONES], 3, "16 bits"),
        (ConstantLayout(layers=[3]), [b"", ONES], 4, "do not fit"),
        (ConstantLayout(layers=[3]), [b"", ZEROS], 3, "is valid"),
        (ConstantLayout(layers=[3]), [b"", ONES[:4] + b"\x02\x00"], 3, "larger than"),
        (ConstantLayout(layers=[3]), [ONES, ONES], 3, "repetition levels"),
        (ConstantLayout(layers=[1], inline_value=b"a"), [b"", ONES], 3, "takes any"),
        (ConstantLayout(layers=[1, 4]), [b"", ONES], 3, "repetition levels"),
        (ConstantLayout(layers=[1, 4]), [ONES, b""], 3, "needs definition"),
        (ConstantLayout(layers=[1, 4]), [ONES, ONES[:4]], 3, "do not fit"),
        (ConstantLayout(layers=[1, 4]), [ONES, ONES], 4, "too few"),
        (ConstantLayout(layers=[1, 4]), [ONES, ONES], 2, "not the number of rows"),
        (ConstantLayout(layers=[1, 4]), [ZEROS, ONES], 3, "does not start"),
        (ConstantLayout(layers=[1, 4]), [b"\x02\x00" * 3, ONES], 3, "larger than"),
        (ConstantLayout(layers=[3], def_compression=RAW, num_def_values=3), [b"", ONES[:4]], 3, "wrong size"),
        (ConstantLayout(layers=[3], def_compression=RAW), [b"", ONES], 3, "needs definition"),
        (ConstantLayout(layers=[1]), [b""], 3, "0 Arrow buffers"),
        (ConstantLayout(layers=[1]), [b"\x03" + bytes(30)], 3, "3 Arrow buffers"),
        (ConstantLayout(layers=[1]), [b"\x01\0\0\0\x02\0\0\0a"], 3, "take 10 bytes of 9"),
        (ConstantLayout(layers=[1]), [b"\x01\0\0\0\x02\0\0\0abc"], 3, "take 10 bytes of 11"),
        (ConstantLayout(layers=[1]), [b"\x01\0\0\0\0\0\0\0"], 3, "no bytes"),
        (ConstantLayout(layers=[1]), [b"\x02\0\0\0\x04\0\0\0\0\0\0\0" + bytes(4)], 3, "instead of 8 or 16"),
        (
            ConstantLayout(layers=[1]),
            [b"\x02\0\0\0\x08\0\0\0\0\0\0\0" + b"\0\0\0\0\x01\0\0\0"],
            3,
            "goes from",
        ),
        (
            ConstantLayout(layers=[1]),
            [b"\x02\0\0\0\x08\0\0\0\0\0\0\0" + b"\x01\0\0\0\0\0\0\0"],
            3,
            "goes from",
        ),
    ],
)
def test_bad_pages(message: ConstantLayout, buffers: list[bytes], num_rows: int, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        open_page(EncodedPage(tuple(buffers), PageLayout(constant_layout=message), num_rows))


def test_levels_are_not_believed_to_be_many() -> None:
    message = ConstantLayout(layers=[3], def_compression=RAW, num_def_values=1 << 40)
    info = PageInfo((ByteRange(0, 0), ByteRange(0, 6)), 1 << 40)
    with pytest.raises(UnsupportedError, match="not believed"):
        parse_page(PAGE_LAYOUT, PageLayout(constant_layout=message).SerializeToString(), info)


def test_every_changed_byte_gives_rows_or_an_error() -> None:
    leaf = leaf_of(("list",), [[1, None], None, [], [1]])
    pages = [
        (("list",), constant.encode_constant(leaf, strings(b"ab"))),
        (("list",), constant.encode_constant(leaf, fixed("<u4", 1))),
        (
            ("list",),
            constant.encode_all_null(leaf_of(("list",), [[None], None, []]), level_codec=lambda *_: Raw()),
        ),
    ]
    for type_, page in pages:
        data, info = page_file(page)
        good = page.message.SerializeToString()
        inside = [p for place in info.buffers for p in range(place.position, place.position + place.size)]
        changes = [(True, i) for i in range(len(good))] + [(False, i) for i in inside]
        assert sum(map(nbytes, page.buffers)) == len(inside)
        for in_message, position in changes:
            for value in (0x00, 0x01, 0x08, 0x7F, 0xFF):
                bad = bytearray(good if in_message else data)
                bad[position] = value
                message, raw = (bytes(bad), data) if in_message else (good, bytes(bad))
                try:
                    layout = parse_page(PAGE_LAYOUT, message, info)
                    opened = layout.open([raw[p : p + n] for p, n in layout.head_ranges()])
                    unravel(read(raw, opened), kinds_of(type_))
                except LanceletError:
                    continue
