from __future__ import annotations

import numpy as np
import pytest

from lancelet.buffers import allocate
from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.pages.base import PageInfo, RowRanges
from lancelet.pages.registry import PAGE_LAYOUT, parse_page
from miniblock_pages import File, encode, leaf_of, rows_of


def set_field(name, value):
    def change(file):
        setattr(file.message.mini_block_layout, name, value)

    return change


def clear_field(name):
    return lambda file: file.message.mini_block_layout.ClearField(name)


def flat_in(name):
    def change(file):
        getattr(file.message.mini_block_layout, name).flat.bits_per_value = 16

    return change


def layers(*numbers):
    def change(file):
        file.message.mini_block_layout.layers[:] = numbers

    return change


def drop_buffer(file):
    file.buffers.pop()


def extra_buffer(file):
    file.replace(-1, file.buffer(-1))
    file.buffers.append(file.buffers[-1])


def rows(num_rows):
    def change(file):
        file.num_rows = num_rows

    return change


def words(change_words):
    def change(file):
        array = np.frombuffer(file.buffer(0), "<u2").copy()
        file.replace(0, change_words(array).tobytes())

    return change


def rep_index(row, column, number):
    def change(file):
        array = np.frombuffer(file.buffer(2), "<u8").copy().reshape(-1, 2)
        array[row, column] = number
        file.replace(2, array.tobytes())

    return change


def patch_chunks(position, *numbers):
    def change(file):
        data = bytearray(file.buffer(1))
        for i, number in enumerate(numbers):
            data[position + 2 * i : position + 2 * i + 2] = number.to_bytes(2, "little")
        file.replace(1, bytes(data))

    return change


BAD = [
    pytest.param("flat", clear_field("value_compression"), FormatError, id="no value compression"),
    pytest.param("flat", clear_field("def_compression"), FormatError, id="no definition levels"),
    pytest.param("flat", flat_in("rep_compression"), FormatError, id="repetition levels without lists"),
    pytest.param("plain", flat_in("def_compression"), FormatError, id="definition levels without use"),
    pytest.param("list", clear_field("rep_compression"), FormatError, id="no repetition levels"),
    pytest.param("flat", set_field("repetition_index_depth", 1), FormatError, id="index without lists"),
    pytest.param("list", set_field("repetition_index_depth", 0), FormatError, id="lists without index"),
    pytest.param("list", set_field("repetition_index_depth", 2), UnsupportedError, id="deep index"),
    pytest.param("flat", set_field("num_buffers", 2), FormatError, id="too many value buffers"),
    pytest.param("flat", set_field("num_buffers", 2**64 - 1), FormatError, id="endless value buffers"),
    pytest.param("flat", set_field("num_buffers", 0), FormatError, id="no value buffers"),
    pytest.param("flat", set_field("num_items", 99), FormatError, id="fewer slots than rows"),
    pytest.param("flat", set_field("num_items", 2**64 - 1), FormatError, id="endless slots"),
    pytest.param("list", set_field("num_items", 2**64 - 1), FormatError, id="endless slots of lists"),
    pytest.param("list", set_field("num_items", 1), FormatError, id="too few slots for the chunks"),
    pytest.param("list", set_field("num_items", 100000), FormatError, id="too many slots for the chunks"),
    pytest.param("flat", set_field("has_large_chunk", True), FormatError, id="large words"),
    pytest.param("flat", layers(), FormatError, id="no layers"),
    pytest.param("flat", layers(0), FormatError, id="unspecified layer"),
    pytest.param("flat", layers(7), UnsupportedError, id="unknown layer"),
    pytest.param("flat", layers(*[3] * 70000), UnsupportedError, id="too many layers"),
    pytest.param("flat", layers(1), FormatError, id="levels without a layer"),
    pytest.param("flat", layers(3, 2), FormatError, id="flat page with a list layer"),
    pytest.param("list", layers(3), FormatError, id="list page without a list layer"),
    pytest.param("list", layers(3, 4), FormatError, id="level of a layer that is gone"),
    pytest.param("list", layers(1, 6, 3), FormatError, id="other visible levels"),
    pytest.param("flat", drop_buffer, FormatError, id="buffer missing"),
    pytest.param("flat", extra_buffer, FormatError, id="buffer too many"),
    pytest.param("flat", rows(99), FormatError, id="fewer rows than slots"),
    pytest.param("flat", rows(0), FormatError, id="no rows"),
    pytest.param("list", rows(99), FormatError, id="fewer rows than lists"),
    pytest.param("list", rows(101), FormatError, id="more rows than lists"),
    pytest.param("list", rows(2**62), FormatError, id="endless rows"),
    pytest.param("flat", words(lambda w: w[:-1]), FormatError, id="chunk missing"),
    pytest.param("flat", words(lambda w: w[::-1].copy()), FormatError, id="words reversed"),
    pytest.param("flat", words(lambda w: w + 16), FormatError, id="chunks too large"),
    pytest.param("list", rep_index(0, 0, 2**63), FormatError, id="endless rows in a chunk"),
    pytest.param("list", rep_index(-1, 1, 1), FormatError, id="row after the last chunk"),
    pytest.param("list", lambda file: file.replace(2, file.buffer(2)[:-8]), FormatError, id="short index"),
    pytest.param("flat", patch_chunks(0, 15), FormatError, id="fewer levels"),
    pytest.param("flat", patch_chunks(2, 30), FormatError, id="fewer level bytes"),
    pytest.param("flat", patch_chunks(2, 65535), FormatError, id="endless level bytes"),
    pytest.param("flat", patch_chunks(4, 60), FormatError, id="fewer value bytes"),
    pytest.param("flat", patch_chunks(8, 2), FormatError, id="definition level too large"),
    pytest.param("list", patch_chunks(8, 2), FormatError, id="repetition level too large"),
    pytest.param("list", patch_chunks(8, 0), FormatError, id="page begins inside of a row"),
]


def base_page(kind):
    return File(encode(leaf_of({"plain": [1], "flat": [3], "list": [3, 6]}[kind], 100)))


@pytest.mark.parametrize(("kind", "change", "error"), BAD)
def test_bad_pages(kind, change, error):
    file = base_page(kind)
    file.read()
    change(file)
    with pytest.raises(error):
        file.read()


def test_index_that_contradicts_the_levels():
    file = base_page("list")
    index = np.frombuffer(file.buffer(2), "<u8").reshape(-1, 2).copy()
    inner = int(np.flatnonzero((index[:-1, 1] > 0) & (index[:-1, 0] > 0))[0])
    for row, pair in ((inner, (index[inner, 0], 60000)), (inner, (index[inner, 0] + 1, 0))):
        changed = index.copy()
        changed[row] = pair
        changed[row + 1, 0] -= pair[0] - index[inner, 0]
        file.replace(2, changed.tobytes())
        with pytest.raises(FormatError):
            file.read()


def test_truncated_data():
    file = base_page("flat")
    opened = file.open()
    for ranges in (RowRanges.single(0, 100), RowRanges.from_sorted(np.array([0, 99]))):
        part = opened.plan(ranges)
        data = file.fetch(part.ranges)
        with pytest.raises(FormatError):
            opened.decode(part, [*data[:-1], data[-1][:-1]], allocate)


@pytest.mark.parametrize("kind", ["plain", "flat", "list"])
def test_damaged_bytes_give_data_or_an_error(kind):
    file = base_page(kind)
    rng = np.random.default_rng(11)
    good = bytes(file.data)
    message = file.message.SerializeToString()
    outcomes = set()
    for _ in range(1500):
        file.data = bytearray(good)
        target = file.buffers[int(rng.integers(len(file.buffers)))]
        position = target.position + int(rng.integers(target.size))
        file.data[position] = int(rng.integers(256))
        try:
            leaf = file.read()[1]
            rows_of(leaf)
            outcomes.add("data")
        except LanceletError:
            outcomes.add("error")
    file.data = bytearray(good)
    info = PageInfo(tuple(file.buffers), file.num_rows)
    for i in range(len(message)):
        for number in (0, 1, 127, 255, message[i] ^ 1):
            changed = message[:i] + bytes([number]) + message[i + 1 :]
            try:
                layout = parse_page(PAGE_LAYOUT, changed, info)
                opened = layout.open(file.fetch(layout.head_ranges()))
                part = opened.plan(RowRanges.single(0, file.num_rows))
                opened.decode(part, file.fetch(part.ranges), allocate)
            except LanceletError:
                outcomes.add("error")
    assert outcomes == {"data", "error"}
