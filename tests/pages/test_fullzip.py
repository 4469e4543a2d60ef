from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lancelet.blocks import FixedWidth, VariableWidth
from lancelet.buffers import as_bytes, nbytes
from lancelet.codecs.base import EncodedValues
from lancelet.codecs.binary import Variable
from lancelet.codecs.fsst import Fsst
from lancelet.codecs.general import General
from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.levels import Layer, Leaf
from lancelet.levels.build import build
from lancelet.levels.unravel import unravel
from lancelet.pages import fullzip
from lancelet.pages.base import DoesNotFit, EncodedPage, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page
from lancelet.pb.encodings21_pb2 import PageLayout
from levels.nested import kinds_of, random_row, random_type, rows_of, steps_of
from pages.raw import Raw, fixed, open_page, page_file, read, slots_of, strings

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(autouse=True, params=["native", "reference"])
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lancelet._native" if request.param == "native" else "lancelet.kernels.reference"
    for module in ("pages.fullzip", "codecs.fsst"):
        monkeypatch.setattr(f"lancelet.{module}.kernels", pytest.importorskip(name))


def leaf_of(type_: Any, rows: Sequence[Any], *, robust: bool = False) -> tuple[Leaf, list[Any]]:
    steps, slots = steps_of(type_, rows)
    return build(steps, robust=robust), slots


def encode(leaf: Leaf, block: FixedWidth | VariableWidth) -> EncodedPage:
    return fullzip.encode(leaf, EncodedValues(Raw(), block))


def contents(page: EncodedPage) -> list[str]:
    return [as_bytes(buffer).tobytes().hex() for buffer in page.buffers]


def test_worked_example_of_any_length() -> None:
    leaf, slots = leaf_of(("list",), [[b"ab", None], None, [], [b"c", b""]])
    page = encode(leaf, strings(*slots))
    message = page.message.full_zip_layout
    assert contents(page) == [
        "04020000006162" + "01" + "06" + "07" + "040100000063" + "0000000000",
        "0008090a15",
    ]
    assert (message.bits_rep, message.bits_def, message.bits_per_offset) == (1, 2, 32)
    assert (message.num_items, message.num_visible_items) == (6, 4)
    assert list(message.layers) == [3, 6]
    assert page.num_rows == 4
    data, opened = open_page(page)
    assert slots_of(read(data, opened).values) == [b"ab", b"", b"c", b""]


def test_worked_example_of_one_width() -> None:
    leaf, _ = leaf_of(("list",), [[7, None], [], [8]])
    page = encode(leaf, fixed("<i4", 7, 0, 8))
    message = page.message.full_zip_layout
    assert contents(page) == ["0407000000" + "0100000000" + "06" + "0408000000", "000a0b10"]
    assert (message.bits_rep, message.bits_def, message.bits_per_value) == (1, 2, 32)
    assert (message.num_items, message.num_visible_items) == (4, 3)
    assert list(message.layers) == [3, 5]


def test_flat_strings_have_an_index_of_16_bits() -> None:
    leaf, slots = leaf_of((), [b"a" * 300, None, b"", b"b" * 400, b"c"])
    page = encode(leaf, strings(*slots))
    assert contents(page)[1] == "00003101320137 01cc02d202".replace(" ", "")
    assert page.message.full_zip_layout.bits_def == 1


def test_bytes_below_a_null_are_left_out() -> None:
    leaf, _ = leaf_of((), [b"a", None, b"b"])
    page = encode(leaf, strings(b"a", b"garbage", b"b"))
    assert contents(page)[0] == "000100000061" + "01" + "000100000062"
    data, opened = open_page(page)
    assert slots_of(read(data, opened).values) == [b"a", b"", b"b"]


def test_long_values_have_lengths_of_8_bytes() -> None:
    page = encode(Leaf(1, (Layer(1),), None, None, 1, None), strings(b"xyz", offset_bits=64))
    assert contents(page) == ["0300000000000000" + "78797a", "000b"]
    data, opened = open_page(page)
    assert slots_of(read(data, opened).values) == [b"xyz"]


def test_wide_values_without_levels_are_not_copied() -> None:
    values = np.arange(4 * 1024, dtype=np.float32)
    leaf = Leaf(4, (Layer(1),), None, None, 4, None)
    page = encode(leaf, FixedWidth(32 * 1024, 4, values))
    assert len(page.buffers) == 1
    assert page.buffers[0] is values
    data, opened = open_page(page)
    part = opened.plan(RowRanges.single(1, 3))
    assert part.ranges == ((64 + 4096, 8192),)
    fetched = memoryview(data)[64 + 4096 : 64 + 4096 + 8192]
    block = opened.decode(part, [fetched], None).values  # type: ignore[arg-type]
    assert isinstance(block, FixedWidth)
    assert block.data is fetched
    leaf = read(data, opened, RowRanges.from_sorted(np.array([0, 3])))
    assert slots_of(leaf.values) == [values[:1024].tobytes(), values[3072:].tobytes()]


def test_values_of_one_width_with_nulls_need_no_index() -> None:
    leaf, _ = leaf_of((), [1, None, 3, 4])
    page = encode(leaf, fixed("<u2", 1, 9, 3, 4))
    assert contents(page) == ["000100" + "010900" + "000300" + "000400"]
    data, opened = open_page(page)
    assert opened.plan(RowRanges.single(1, 3)).ranges == ((64 + 3, 6),)
    leaf = read(data, opened, RowRanges.from_sorted(np.array([1, 3])))
    assert slots_of(leaf.values) == [b"\x09\x00", b"\x04\x00"]
    assert leaf.def_ is not None
    assert leaf.def_.tolist() == [1, 0]


def test_unused_levels_below_structs_are_stored() -> None:
    """Nullable layers without a null: pylance wants levels in every page of a column with structs around lists."""
    leaf, _ = leaf_of(("struct", "list"), [("struct", [1, 2])], robust=True)
    page = encode(leaf, fixed("<u4", 1, 2))
    assert page.message.full_zip_layout.bits_def == 1
    assert contents(page) == ["0201000000" + "0002000000", "000a"]
    data, opened = open_page(page)
    levels = read(data, opened).def_
    assert levels is not None
    assert levels.tolist() == [0, 0]


def test_null_struct_outside_of_a_list() -> None:
    """What is visible counts only the layers up to the list (structural.md 4.4)."""
    rows = [("struct", [b"x"]), None, ("struct", None)]
    leaf, slots = leaf_of(("struct", "list"), rows)
    page = encode(leaf, strings(*slots))
    data, opened = open_page(page)
    back = read(data, opened)
    steps = unravel(back, kinds_of(("struct", "list")))
    assert rows_of(("struct", "list"), steps, slots_of(back.values)) == rows


@pytest.mark.parametrize("seed", range(60))
def test_random_pages(seed: int) -> None:
    rng = random.Random(seed)
    type_ = random_type(rng, 3)
    rows = [random_row(rng, type_, 0.15, 0.2) for _ in range(rng.choice((1, 5, 60)))]
    leaf, slots = leaf_of(type_, rows, robust=seed % 2 == 0)
    if seed % 3:
        raw = [None if slot is None else b"%d" % slot * rng.choice((0, 1, 1, 30)) for slot in slots]
        block: Any = strings(*raw, offset_bits=rng.choice((32, 64)))
        expected = [value or b"" for value in raw]
    else:
        width = rng.choice((1, 3, 4, 16))
        expected = [rng.randbytes(width) for _ in slots]
        block = FixedWidth(8 * width, len(slots), b"".join(expected))
    data, opened = open_page(encode(leaf, block))
    full = read(data, opened)
    assert slots_of(full.values) == expected
    for before, after in ((leaf.rep, full.rep), (leaf.def_, full.def_)):
        assert (after is None) == (before is None or not before.any())
        assert after is None or before is None or after.tolist() == before.tolist()
    # a number a slot stands for it, so that rows can be compared
    whole = rows_of(type_, unravel(full, kinds_of(type_)), expected)
    for _ in range(10):
        wanted = np.array(sorted(rng.sample(range(len(rows)), rng.randint(1, len(rows)))))
        some = read(data, opened, RowRanges.from_sorted(wanted))
        found = rows_of(type_, unravel(some, kinds_of(type_)), slots_of(some.values))
        assert found == [whole[row] for row in wanted]


def test_what_does_not_fit() -> None:
    leaf = Leaf(1, (Layer(1),), None, None, 1, None)
    with pytest.raises(DoesNotFit):
        encode(leaf, FixedWidth(1 << 32, 1, b""))
    with pytest.raises(ValueError, match="slots"):
        encode(leaf, FixedWidth(8, 2, b"ab"))
    with pytest.raises(ValueError, match="whole bytes"):
        encode(leaf, FixedWidth(1, 1, b"a"))


# ---------------------------------------------------------------- corrupt pages


def example(any_length: bool = True) -> EncodedPage:
    if any_length:
        leaf, slots = leaf_of(("list",), [[b"ab", None], None, [], [b"c", b""]])
        return encode(leaf, strings(*slots))
    leaf, _ = leaf_of(("list",), [[7, None], [], [8]])
    return encode(leaf, fixed("<i4", 7, 0, 8))


def changed(page: EncodedPage, buffers: dict[int, bytes] | None = None, **fields: Any) -> EncodedPage:
    message = PageLayout.FromString(page.message.SerializeToString())
    for name, value in fields.items():
        if name == "layers":
            del message.full_zip_layout.layers[:]
            message.full_zip_layout.layers.extend(value)
        elif value is None:
            message.full_zip_layout.ClearField(name)
        else:
            setattr(message.full_zip_layout, name, value)
    parts = tuple((buffers or {}).get(i, buffer) for i, buffer in enumerate(page.buffers))
    return replace(page, buffers=parts, message=message)


BAD_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"bits_rep": 17}, "at most 16"),
    ({"bits_def": 17}, "at most 16"),
    ({"bits_rep": 0}, "contradict"),
    ({"layers": [3]}, "contradict"),
    ({"layers": []}, "no layers"),
    ({"layers": [0, 6]}, "unspecified"),
    ({"bits_per_offset": 16}, "must have 32 or 64"),
    ({"bits_per_offset": None}, "neither"),
    ({"bits_per_value": 12}, "not whole bytes"),
    ({"bits_per_value": 0}, "0 bits cannot be"),
    ({"num_items": 3}, "cannot hold"),
    ({"num_visible_items": 7}, "cannot hold"),
    ({"num_items": 7}, "instead of"),
    ({"num_visible_items": 3}, "instead of"),
    ({"layers": [3, 5]}, "larger than the layers"),
    ({"layers": [6, 6], "bits_rep": 1}, "larger than the layers|does not start"),
    ({"bits_def": 1}, "larger than the layers"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_MESSAGES)
def test_bad_messages(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(*open_page(changed(example(), **fields)))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"\x00\x08\x09\x0a", "does not fit"),
        (b"\x00\x08\x09\x0a\x15" * 3, "does not fit"),
        (b"\x01\x08\x09\x0a\x15", "from 0"),
        (b"\x00\x08\x09\x0a\x14", "from 0"),
        (b"\x00\x09\x08\x0a\x15", "does not increase"),
        (b"\x00\x08\x08\x0a\x15", "does not increase"),
        (b"\x00\x07\x09\x0a\x15", "does not start"),
        (b"\x00\x02\x09\x0a\x15", "cut off"),
        (b"\x00\x08\x09\x0b\x15", "does not start"),
    ],
)
def test_bad_indexes(index: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(*open_page(changed(example(), {1: index})))


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0x00, 0x00, "does not start"),
        (0x07, 0x05, "does not start"),
        (0x01, 0x04, "longer than its row"),
        (0x01, 0x03, "instead of"),
        (0x04, 0xFF, "longer than its row"),
        (0x08, 0x04, "cut off"),
        (0x07, 0x00, "cut off"),
        (0x10, 0x03, "larger than the layers|cut off|longer|does not start"),
        (0x08, 0x08, "larger than the layers"),
    ],
)
def test_bad_records(position: int, value: int, message: str) -> None:
    page = example()
    records = bytearray(as_bytes(page.buffers[0]).tobytes())
    records[position] = value
    with pytest.raises(FormatError, match=message):
        read(*open_page(changed(page, {0: bytes(records)})))


def test_too_few_or_many_buffers() -> None:
    page = example()
    with pytest.raises(FormatError, match="must have 2 buffers"):
        open_page(replace(page, buffers=page.buffers[:1]))
    leaf, _ = leaf_of((), [1, None])
    flat = encode(leaf, fixed("<u2", 1, 2))
    with pytest.raises(FormatError, match="must have 1 buffers"):
        open_page(replace(flat, buffers=flat.buffers * 2))


def test_pages_of_one_width_are_filled_exactly() -> None:
    leaf, _ = leaf_of((), [1, None])
    page = encode(leaf, fixed("<u2", 1, 2))
    with pytest.raises(FormatError, match="do not fill"):
        open_page(changed(page, {0: as_bytes(page.buffers[0]).tobytes() + b"\x00"}))
    with pytest.raises(FormatError, match="without lists"):
        open_page(changed(page, num_items=3))
    with pytest.raises(FormatError, match="without lists"):
        open_page(changed(page, num_visible_items=1))
    with pytest.raises(FormatError, match="larger than the layers"):
        read(*open_page(changed(page, {0: b"\x02" + as_bytes(page.buffers[0]).tobytes()[1:]})))


def test_rows_of_one_record_are_checked_by_their_size() -> None:
    leaf, slots = leaf_of((), [b"ab", None, b"c"])
    page = encode(leaf, strings(*slots))
    assert contents(page)[1] == "0007080e"
    for index in (b"\x00\x02\x08\x0e", b"\x00\x06\x08\x0e", b"\x00\x08\x0c\x0e", b"\x00\x01\x08\x0e"):
        with pytest.raises(FormatError):
            read(*open_page(changed(page, {1: index})))


def test_unknown_compression() -> None:
    page = example()
    message = PageLayout.FromString(page.message.SerializeToString())
    message.full_zip_layout.value_compression.plugin.type_url = "/nobody.Knows"
    with pytest.raises(UnsupportedError, match="nobody"):
        open_page(replace(page, message=message))


@pytest.mark.parametrize("any_length", [True, False])
def test_every_changed_byte_gives_rows_or_an_error(any_length: bool) -> None:
    page = example(any_length)
    kinds = kinds_of(("list",))
    for number, buffer in enumerate(page.buffers):
        for position in range(nbytes(buffer)):
            for value in (0x00, 0x01, 0x7F, 0xFF):
                data = bytearray(as_bytes(buffer).tobytes())
                data[position] = value
                try:
                    unravel(read(*open_page(changed(page, {number: bytes(data)}))), kinds)
                except FormatError:
                    continue


def test_every_changed_byte_of_the_message_gives_rows_or_an_error() -> None:
    page = example()
    data, info = page_file(page)
    good = page.message.SerializeToString()
    for position in range(len(good)):
        for value in (0x00, 0x01, 0x08, 0x7F, 0xFF):
            bad = good[:position] + bytes([value]) + good[position + 1 :]
            try:
                layout = parse_page(PAGE_LAYOUT, bad, info)
                opened = layout.open([data[p : p + n] for p, n in layout.head_ranges()])
                unravel(read(data, opened), kinds_of(("list",)))
            except LanceletError:
                continue


def zstd_page(values: Sequence[bytes], offset_bits: int) -> EncodedPage:
    leaf, slots = leaf_of((), list(values))
    codec = General("zstd", None, Variable(offset_bits))
    return fullzip.encode(leaf, codec.encode_values(strings(*slots, offset_bits=offset_bits)))


@pytest.mark.parametrize("offset_bits", [32, 64])
def test_large_values_are_decompressed_where_they_lie(
    offset_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the copy of the records, whatever rows are read."""
    rng = random.Random(offset_bits)
    values = [rng.randbytes(rng.randrange(300)) for _ in range(60)]
    data, opened = open_page(zstd_page(values, offset_bits))
    wanted = [RowRanges.single(0, 60), RowRanges.single(7, 9)]
    wanted += [RowRanges.from_sorted(np.array(rows)) for rows in ([3], [0, 59], [1, 2, 3, 30, 31, 50])]
    for rows in wanted:
        expected = [values[i] for a, b in zip(rows.starts, rows.stops, strict=True) for i in range(a, b)]
        for limit in (0, 1 << 30):
            monkeypatch.setattr(fullzip, "_LARGE_VALUE", limit)
            assert slots_of(read(data, opened, rows).values) == expected


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_lengths_of_large_values_are_checked(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullzip, "_LARGE_VALUE", limit)
    page = zstd_page([b"one" * 50, b"two" * 50], 32)
    records = as_bytes(page.buffers[0]).tobytes()
    length = int.from_bytes(records[:4], "little")
    for wrong in (0, length - 1, length + 1, 1 << 31):
        with pytest.raises(LanceletError):
            read(*open_page(changed(page, {0: wrong.to_bytes(4, "little") + records[4:]})))


def fsst_page(offset_bits: int, type_: Any, rows: Sequence[Any]) -> EncodedPage:
    leaf, slots = leaf_of(type_, rows)
    values = Fsst(Variable(offset_bits)).encode_values(strings(*slots, offset_bits=offset_bits))
    assert isinstance(values.codec, Fsst)
    return fullzip.encode(leaf, values)


def some_text(rng: random.Random) -> bytes:
    words = ["the", "zipped", "records", "lie", "where", "they", "are", "größer", "\x00", "42"]
    return " ".join(rng.choices(words, k=rng.randrange(200, 300))).encode()


@pytest.mark.parametrize("offset_bits", [32, 64])
@pytest.mark.parametrize("shape", ["plain", "nulls", "lists"])
def test_many_values_are_decompressed_where_they_lie(
    shape: str, offset_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lancelet.codecs.fsst._MANY_BYTES", 1000)
    rng = random.Random(f"{shape} {offset_bits}")
    texts = [some_text(rng) for _ in range(300)]
    rows: list[Any] = texts
    if shape == "nulls":
        rows = [None if i % 7 == 3 else text for i, text in enumerate(texts)]
    elif shape == "lists":
        rows = [None if i % 50 == 3 else texts[i : i + i % 3] for i in range(300)]
    page = fsst_page(offset_bits, ("list",) if shape == "lists" else (), rows)
    data, opened = open_page(page)
    taken: list[bool] = []
    decode = Fsst.decode_zipped

    def counted(self: Fsst, records: Any, allocate: Any) -> VariableWidth | None:
        found = decode(self, records, allocate)
        taken.append(found is not None)
        return found

    for wanted in (None, RowRanges.single(10, 280), RowRanges.single(5, 50), RowRanges(*RANGES)):
        with monkeypatch.context() as patched:
            patched.setattr(Fsst, "decode_zipped", counted)
            found = read(data, opened, wanted)
            patched.setattr(Fsst, "decode_zipped", lambda *_: None)
            expected = read(data, opened, wanted)
        assert slots_of(found.values) == slots_of(expected.values)
        for levels, others in ((found.rep, expected.rep), (found.def_, expected.def_)):
            assert (levels is None) == (others is None)
            assert levels is None or np.array_equal(levels, others)  # type: ignore[arg-type]
    assert taken == [True, True, False, False]


#: Some rows here and there: too few at the beginning to know how much room they take.
RANGES = np.array([0, 30]), np.array([20, 290])


def test_room_that_the_first_values_do_not_promise() -> None:
    """Values that grow more than the first ones are copied out and measured, as always."""
    rng = random.Random(1)
    texts = [rng.randbytes(400) for _ in range(150)] + [b"the same words" * 200 for _ in range(150)]
    page = fsst_page(32, (), texts)
    assert slots_of(read(*open_page(page)).values) == texts


def test_changed_bytes_of_many_values_give_rows_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lancelet.codecs.fsst._MANY_BYTES", 1000)
    rng = random.Random(2)
    page = fsst_page(32, (), [some_text(rng) if i % 9 else None for i in range(200)])
    for number, buffer in enumerate(page.buffers):
        good = as_bytes(buffer).tobytes()
        for _ in range(60):
            data = bytearray(good)
            data[rng.randrange(len(data))] = rng.choice((0x00, 0x01, 0x7F, 0xFF))
            try:
                read(*open_page(changed(page, {number: bytes(data)})))
            except FormatError:
                continue
