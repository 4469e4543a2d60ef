from __future__ import annotations

import numpy as np
import pytest

from lancelet.errors import FormatError
from lancelet.kernels import reference
from lancelet.pb import file2_pb2

native = pytest.importorskip("lancelet._native")

STOP = 4096
MAX = 2**63 - 1


@pytest.fixture(params=["native", "reference"])
def kernels(request):
    return native if request.param == "native" else reference


def direct(encoding=b"any"):
    return file2_pb2.Encoding(direct=file2_pb2.DirectEncoding(encoding=encoding))


def page(offsets=(0, 64), sizes=(3, 4), encoding=None, **fields):
    encoding = direct() if encoding is None else encoding
    return file2_pb2.ColumnMetadata.Page(
        buffer_offsets=offsets, buffer_sizes=sizes, encoding=encoding, **fields
    )


def block(*pages, encoding=None, **fields):
    encoding = direct(b"column") if encoding is None else encoding
    return file2_pb2.ColumnMetadata(encoding=encoding, pages=pages, **fields).SerializeToString()


def parse(kernels, blocks, *, stop=STOP, aligned=True):
    """Counts, columns, pages, buffers and encodings, as the kernels give them."""
    data = b"".join(blocks)
    edges = np.cumsum([0, *map(len, blocks)], dtype=np.int64)
    counts = np.full((len(blocks), 2), 77, dtype=np.int64)
    kernels.columns_measure(data, edges, stop, aligned, counts)
    num_pages, num_buffers = np.maximum(counts, 0).sum(axis=0).tolist()
    columns = np.full((len(blocks), 7), 77, dtype=np.int64)
    pages = np.full((num_pages, 5), 77, dtype=np.int64)
    buffers = np.full((num_buffers, 2), 77, dtype=np.int64)
    spans = np.full((len(blocks) + num_pages, 2), 77, dtype=np.int64)
    found = kernels.columns_parse(data, edges, stop, aligned, counts, columns, pages, buffers, spans)
    encodings = [data[start:end] for start, end in spans[:found].tolist()]
    return counts.tolist(), columns.tolist(), pages.tolist(), buffers.tolist(), encodings


def is_plain(kernels, data, **options):
    counts, columns, *_ = parse(kernels, [block(), data, block()], **options)
    assert counts[0] == counts[2] == [0, 0]
    assert (columns[1] == [-1] * 7) == (counts[1] == [-1, -1])
    return counts[1] != [-1, -1]


def test_columns_pages_and_buffers_in_order(kernels):
    blocks = [
        block(page(length=5), page((128,), (1,), direct(b"other"), length=7, priority=5)),
        block(),
        block(page((), (), length=2**63 - 1), buffer_offsets=[192], buffer_sizes=[9]),
    ]
    counts, columns, pages, buffers, encodings = parse(kernels, blocks)
    assert counts == [[2, 3], [0, 0], [1, 1]]
    assert encodings == [b"any", b"other", b"column"]
    assert columns == [[0, 2, 3, 0, 2, 12, 8], [2, 0, 3, 0, 2, 0, 0], [2, 1, 3, 1, 2, MAX, 0]]
    assert pages == [[0, 2, 5, 0, 0], [2, 1, 7, 5, 1], [3, 0, MAX, 0, 0]]
    assert buffers == [[0, 3], [64, 4], [128, 1], [192, 9]]


@pytest.mark.parametrize(
    "rows",
    [[(5, 0), (5, 6)], [(5, 1)], [(MAX, 0), (1, MAX)], [(5, 0), (5, 4), (5, 10)], [(0, 0), (0, 1), (0, 0)]],
)
def test_pages_that_do_not_follow_each_other(kernels, rows):
    pages = [page(length=length, priority=first) for length, first in rows]
    assert parse(kernels, [block(*pages)])[1][0][5] == -1


def test_the_bytes_of_absurdly_many_buffers(kernels):
    size = 2**62
    huge = page([0] * 3, [size] * 3)
    _, columns, *_ = parse(kernels, [block(huge, huge), block(page())], stop=MAX)
    assert [column[6] for column in columns] == [MAX, 7]


FIELD = b"\x08\x01"  # field 1, a number


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain", block(page())),
        ("fields in another order", b"".join(reversed([block(page()), b"\x1a\x01\x40", b"\x22\x01\x01"]))),
        ("wasteful numbers", block(page()) + b"\x1a\x82\x00\x80\x00" + b"\x22\x01\x00"),
    ],
)
def test_blocks_that_are_plain(kernels, name, data):
    assert is_plain(kernels, data), name


def merged(*parts):
    return b"".join(part if isinstance(part, bytes) else part.SerializeToString() for part in parts)


def with_page(raw):
    return block() + b"\x12" + bytes([len(raw)]) + raw


PAGE = page().SerializeToString()


@pytest.mark.parametrize(
    "data",
    {
        "empty": b"",
        "no encoding": block(encoding=file2_pb2.Encoding()),
        "indirect": block(encoding=file2_pb2.Encoding(indirect={"buffer_location": 1})),
        "no bytes of an encoding": block(encoding=file2_pb2.Encoding(direct={})),
        "two encodings": block() + block(),
        "an unknown field": block() + b"\x2a\x00",
        "field 0": block() + b"\x02\x00",
        "a huge field number": block() + b"\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00",
        "a number in place of a message": block() + FIELD,
        "a fixed number": block() + b"\x0d\x00\x00\x00\x00",
        "a group": block() + b"\x13\x14",
        "a field that ends too late": block() + b"\x12\x05\x00",
        "half a number": block() + b"\x1a\x01\x80" + b"\x22\x01\x80",
        "half a tag": block() + b"\x80",
        "a number of 65 bits": block() + b"\x1a\x0a" + b"\x80" * 9 + b"\x02" + b"\x22\x01\x00",
        "a number of 11 bytes": block() + b"\x1a\x0b" + b"\x80" * 10 + b"\x00" + b"\x22\x01\x00",
        "offsets that are not packed": block() + b"\x18\x00" + b"\x22\x01\x00",
        "more offsets": block(buffer_offsets=[0, 64], buffer_sizes=[1]),
        "more sizes": block(buffer_offsets=[0], buffer_sizes=[1, 2]),
        "offsets twice": block() + b"\x1a\x01\x00\x1a\x01\x00\x22\x02\x00\x00",
        "beyond the data": block(page((STOP,), (1,))),
        "far beyond the data": block(page((2**64 - 64,), (128,))),
        "too large": block(page((64,), (2**64 - 1,))),
        "misaligned": block(page((8,), (1,))),
        "too many rows": block(page(length=2**63)),
        "too late a row": block(page(priority=2**63)),
        "no encoding of a page": block(page(encoding=file2_pb2.Encoding())),
        "a page without anything": block(file2_pb2.ColumnMetadata.Page()),
        "an encoding elsewhere": block(page(encoding=file2_pb2.Encoding(none={}))),
        "a length of a page twice": with_page(PAGE + b"\x18\x01\x18\x01"),
        "a length as bytes": with_page(PAGE + b"\x1a\x00"),
        "offsets as a number": with_page(b"\x08\x00" + page((), ()).SerializeToString()),
        "an unknown field of a page": with_page(PAGE + b"\x30\x01"),
        "an encoding with more": with_page(b"\x22\x07\x12\x03\x0a\x01a" + FIELD),
        "half a page": block() + b"\x12\x03\x0a\x05\x00",
    }.items(),
    ids=lambda item: item[0],
)
def test_blocks_that_are_not_plain(kernels, data):
    assert not is_plain(kernels, data[1])


def test_alignment_is_asked_for_or_not(kernels):
    assert is_plain(kernels, block(page((8,), (1,))), aligned=False)


def test_random_damage_is_seen_alike():
    rng = np.random.default_rng(0)
    good = [
        block(page(length=5), page((128,), (1,), direct(b"other"), length=7, priority=5)),
        block(page((0, 64, 192), (1, 2, 3), length=300), buffer_offsets=[192, 0], buffer_sizes=[9, 1]),
    ]
    num_plain = 0
    for _ in range(3000):
        blocks = []
        for data in good:
            changed = bytearray(data)
            for place in rng.integers(0, len(data), rng.integers(0, 3)).tolist():
                changed[place] = int(rng.integers(0, 256))
            cut = int(rng.integers(0, len(data))) if rng.random() < 0.2 else len(data)
            blocks.append(bytes(changed[:cut]))
        found = parse(native, blocks)
        assert found == parse(reference, blocks), blocks
        num_plain += sum(counts != [-1, -1] for counts in found[0])
    assert 1000 < num_plain < 5000


@pytest.mark.parametrize("missing", ["counts", "columns", "pages", "buffers", "encodings"])
def test_outputs_that_are_too_small(kernels, missing):
    data = block(page(length=1))
    edges = np.array([0, len(data)], dtype=np.int64)
    sizes = {"counts": 2, "columns": 7, "pages": 5, "buffers": 4, "encodings": 4}
    sizes[missing] -= 1
    counts, *outs = (np.zeros(size, dtype=np.int64) for size in sizes.values())
    if missing == "counts":
        with pytest.raises(ValueError, match="two counts"):
            kernels.columns_measure(data, edges, STOP, True, counts)
    else:
        kernels.columns_measure(data, edges, STOP, True, counts)
    with pytest.raises(ValueError, match="columns:"):
        kernels.columns_parse(data, edges, STOP, True, counts, *outs)


@pytest.mark.parametrize("edges", [[0, 99], [-1, 4], [4, 2]])
def test_blocks_that_lie_elsewhere(kernels, edges):
    counts = np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="outside"):
        kernels.columns_measure(block(), np.array(edges, dtype=np.int64), STOP, True, counts)


def test_counts_of_other_blocks(kernels):
    edges = np.array([0, 0], dtype=np.int64)
    outs = [np.zeros(size, dtype=np.int64) for size in (2, 7, 5, 4, 4)]
    with pytest.raises(ValueError, match="other blocks"):
        kernels.columns_parse(b"", edges, STOP, True, *outs)


# ---- where the buffers of pages lie

PAGES = np.array([(0, 2, 9, 0, 0), (2, 3, 9, 9, 1), (5, 2, 9, 18, 0)], np.int64)
BUFFERS = np.array([(64 * number, number) for number in range(7)], np.int64)


def places(kernels, wanted, num_buffers=(2, 3), pages=PAGES, buffers=BUFFERS):
    out = np.full((len(wanted), 10), 77, np.int64)
    kernels.page_places(
        np.array(wanted, np.int64).reshape(-1, 5), pages, buffers, np.array(num_buffers, np.int64), out
    )
    return out.tolist()


def test_places_of_pages(kernels):
    assert places(kernels, []) == []
    assert places(kernels, [(4, 7, 0, 2, 1), (5, 8, 1, 1, 0), (6, 9, 1, 0, 0), (6, 9, 0, 1, 1)]) == [
        [4, 7, 0, 320, 5, 384, 6, 0, 0, 1],
        [5, 8, 1, 128, 2, 192, 3, 256, 4, 0],
        [6, 9, -1, 0, 0, 0, 0, 0, 0, 0],
        [6, 9, -1, 0, 0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("wanted", [(0, 0, 0, 3, 0), (0, 0, 0, -1, 0), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)])
def test_places_of_pages_that_do_not_exist(kernels, wanted):
    with pytest.raises(ValueError, match="no such row"):
        places(kernels, [wanted])


def test_places_of_pages_whose_buffers_do_not_exist(kernels):
    for first in (-1, 6, 2**62):
        pages = np.array([(first, 2, 9, 0, 0)], np.int64)
        with pytest.raises(ValueError, match="no such row"):
            places(kernels, [(0, 0, 0, 0, 0)], pages=pages)
    with pytest.raises(ValueError, match="two or three"):
        places(kernels, [(0, 0, 0, 0, 0)], num_buffers=(4,))
    for wanted, out in ((4, 10), (5, 9), (5, 20)):
        with pytest.raises(ValueError, match="five numbers"):
            kernels.page_places(
                np.zeros(wanted, np.int64),
                PAGES,
                BUFFERS,
                np.full(1, 2, np.int64),
                np.zeros(out, np.int64),
            )


# ---- pages that are moved


def moved(kernels, starts=(0,), shifts=(0,), first_row=0, columns=((0, 2), (2, 1)), **changes):
    pages = [page((0, 64), (3, 4), length=7), page((), (), length=9, priority=7), page((640,), (1,))]
    blocks = b"".join([block(*pages[:2]), block(pages[2])])
    edges = np.array([0, len(block(*pages[:2])), len(blocks)], np.int64)
    parsed = {
        "columns": np.zeros((2, 7), np.int64),
        "pages": np.zeros((3, 5), np.int64),
        "buffers": np.zeros((3, 2), np.int64),
        "spans": np.zeros((5, 2), np.int64),
    }
    counts = np.array([[2, 2], [1, 1]], np.int64)
    found = kernels.columns_parse(blocks, edges, STOP, True, counts, *parsed.values())
    arrays = {**parsed, "spans": parsed["spans"][:found]}
    for name, change in changes.items():
        change(arrays[name])
    return kernels.pages_moved(
        blocks,
        arrays["spans"],
        np.array(columns, np.int64).reshape(-1, 2),
        arrays["pages"],
        arrays["buffers"],
        np.array(starts, np.int64),
        np.array(shifts, np.int64),
        first_row,
    )


def test_moved_pages(kernels):
    def column(*pages):
        return file2_pb2.ColumnMetadata(pages=pages).SerializeToString(deterministic=True)

    assert moved(kernels) == [
        column(page((0, 64), (3, 4), length=7), page((), (), length=9, priority=7)),
        column(page((640,), (1,))),
    ]
    assert moved(kernels, (0, 64), (1 << 40, -64), 300, ((2, 1), (0, 1), (0, 0))) == [
        column(page((576,), (1,), priority=300)),
        column(page((1 << 40, 0), (3, 4), length=7, priority=300)),
        b"",
    ]
    assert moved(kernels, columns=()) == []
    most = moved(kernels, (0,), (MAX - 640,), MAX - 7)
    assert most[1] == column(page((MAX,), (1,), priority=MAX - 7))


def set_to(value, *place):
    def change(array):
        array[place] = value

    return change


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ((2, 2),)}, "no such pages"),
        ({"columns": ((-1, 1),)}, "no such pages"),
        ({"columns": ((0, -1),)}, "no such pages"),
        ({"starts": (1,)}, "before all"),
        ({"starts": (), "shifts": ()}, "before all"),
        ({"starts": (0, 0), "shifts": (0,)}, "a shift for each"),
        ({"starts": (64, 0), "shifts": (0, 0)}, "not in order"),
        ({"shifts": (-1,)}, "out of the file"),
        ({"shifts": (MAX,)}, "out of the file"),
        ({"first_row": -1}, "first row"),
        ({"first_row": MAX - 6}, "no such rows"),
        ({"pages": set_to(2, 0, 0)}, "no such buffers"),
        ({"pages": set_to(-1, 0, 0)}, "no such buffers"),
        ({"pages": set_to(9, 0, 4)}, "no such encoding"),
        ({"pages": set_to(-1, 0, 4)}, "no such encoding"),
        ({"pages": set_to(-1, 0, 2)}, "no such rows"),
    ],
)
def test_pages_that_cannot_be_moved(kernels, arguments, message):
    with pytest.raises(ValueError, match=message):
        moved(kernels, **arguments)


def test_moved_pages_with_encodings_outside_of_the_blocks(kernels):
    for place, value in (((0, 0), -1), ((0, 1), 1 << 40), ((0, 1), 0)):
        with pytest.raises(FormatError):
            moved(kernels, spans=set_to(value, *place))
